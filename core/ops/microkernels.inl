// The one source of every micro-kernel set. An instruction set's file defines
//   FOLIO_SET (namespace and name), FOLIO_LANES (floats per vector), FOLIO_TILE_ROWS, FOLIO_TILE_VECTORS (register tile),
//   FOLIO_DEPTH_BLOCK, FOLIO_ROW_BLOCK, and FOLIO_MADD(a, b, c) where a fused multiply-add has to be asked for,
// and includes this. No std:: code is instantiated here: the linker might keep the copy made for the widest set.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/ops/microkernels.h"

#ifndef FOLIO_MADD
#define FOLIO_MADD(a, b, c) ((a) * (b) + (c))
#endif
#if defined(__clang__)
#define FOLIO_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FOLIO_UNROLL _Pragma("GCC unroll 32")
#endif

namespace folio {
namespace FOLIO_SET {
namespace {

constexpr int lanes = FOLIO_LANES;
constexpr int tile_rows = FOLIO_TILE_ROWS;
constexpr int tile_vectors = FOLIO_TILE_VECTORS;
constexpr int tile_cols = lanes * tile_vectors;

typedef float Floats __attribute__((vector_size(FOLIO_LANES * 4)));
typedef std::int32_t Ints __attribute__((vector_size(FOLIO_LANES * 4)));
typedef float LooseFloats __attribute__((vector_size(FOLIO_LANES * 4), aligned(4), may_alias));

inline Floats load(const float* p) { return *reinterpret_cast<const LooseFloats*>(p); }
inline void store(float* p, Floats v) { *reinterpret_cast<LooseFloats*>(p) = v; }
inline Floats splat(float x) { return x - Floats{}; }  // not 0 + x, which would have to turn -0 into 0

inline float sum(Floats v) {
    float total[lanes];
    std::memcpy(total, &v, sizeof v);
    for (int half = lanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) total[i] += total[i + half];
    return total[0];
}

// A NaN in x stays: whatever it spoils must be seen by the trainer's guard.
inline Floats at_least(Floats bound, Floats x) { return bound > x ? bound : x; }
inline Floats at_most(Floats bound, Floats x) { return bound < x ? bound : x; }

inline Floats square_root(Floats v) {
    float x[lanes];
    std::memcpy(x, &v, sizeof v);
    for (int i = 0; i < lanes; ++i) x[i] = __builtin_sqrtf(x[i]);
    std::memcpy(&v, x, sizeof v);
    return v;
}

/// Loads n < lanes floats, zeros behind them.
inline Floats load_part(const float* p, int n) {
    float x[lanes] = {};
    for (int i = 0; i < n; ++i) x[i] = p[i];
    Floats v;
    std::memcpy(&v, x, sizeof v);
    return v;
}

inline void store_part(float* p, Floats v, int n) {
    float x[lanes];
    std::memcpy(x, &v, sizeof v);
    for (int i = 0; i < n; ++i) p[i] = x[i];
}

/// out = f(in) over n elements, vector by vector.
template <class F>
inline void map(float* out, const float* in, int n, F f) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) store(out + i, f(load(in + i)));
    if (i < n) store_part(out + i, f(load_part(in + i, n - i)), n - i);
}

template <class F>
inline void map(float* out, const float* a, const float* b, int n, F f) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) store(out + i, f(load(a + i), load(b + i)));
    if (i < n) store_part(out + i, f(load_part(a + i, n - i), load_part(b + i, n - i)), n - i);
}

/// exp by 2^n times a polynomial of degree 6 on [-ln 2 / 2, ln 2 / 2]; relative error about 1e-7, 0 below -87.
inline Floats exponential(Floats x) {
    const Floats clamped = at_most(splat(88.f), at_least(splat(-87.f), x));
    const Floats magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
    const Floats biased = FOLIO_MADD(clamped, splat(1.44269504088896341f), magic);
    const Floats n = biased - magic;
    Floats r = FOLIO_MADD(n, splat(-0.693359375f), clamped);
    r = FOLIO_MADD(n, splat(2.12194440e-4f), r);
    Floats p = splat(1.9875691500e-4f);
    p = FOLIO_MADD(p, r, splat(1.3981999507e-3f));
    p = FOLIO_MADD(p, r, splat(8.3334519073e-3f));
    p = FOLIO_MADD(p, r, splat(4.1665795894e-2f));
    p = FOLIO_MADD(p, r, splat(1.6666665459e-1f));
    p = FOLIO_MADD(p, r, splat(5.0000001201e-1f));
    p = FOLIO_MADD(p, r * r, r + 1.f);
    Ints bits, exponent;
    std::memcpy(&bits, &p, sizeof bits);
    std::memcpy(&exponent, &biased, sizeof exponent);
    bits += (exponent - 0x4B400000) << 23;
    std::memcpy(&p, &bits, sizeof p);
    return x < splat(-87.f) ? Floats{} : p + (clamped - clamped);
}

// ---- products ----

/// One register tile: `row_stride` and `depth_stride` say where A's elements lie. A loop over depth of outer products.
__attribute__((always_inline)) inline void multiply_tile(float* c, const float* a, std::ptrdiff_t row_stride,
                                                         std::ptrdiff_t depth_stride, const float* b, int depth, bool accumulate) {
    Floats sums[tile_rows][tile_vectors];
    if (accumulate) {
        FOLIO_UNROLL for (int i = 0; i < tile_rows; ++i) {
            FOLIO_UNROLL for (int v = 0; v < tile_vectors; ++v) sums[i][v] = load(c + i * tile_cols + v * lanes);
        }
    } else {
        FOLIO_UNROLL for (int i = 0; i < tile_rows; ++i) {
            FOLIO_UNROLL for (int v = 0; v < tile_vectors; ++v) sums[i][v] = Floats{};
        }
    }
    for (int k = 0; k < depth; ++k) {
        Floats right[tile_vectors];
        FOLIO_UNROLL for (int v = 0; v < tile_vectors; ++v) right[v] = load(b + v * lanes);
        FOLIO_UNROLL for (int i = 0; i < tile_rows; ++i) {
            const Floats left = splat(a[i * row_stride]);
            FOLIO_UNROLL for (int v = 0; v < tile_vectors; ++v) sums[i][v] = FOLIO_MADD(left, right[v], sums[i][v]);
        }
        a += depth_stride;
        b += tile_cols;
    }
    FOLIO_UNROLL for (int i = 0; i < tile_rows; ++i) {
        FOLIO_UNROLL for (int v = 0; v < tile_vectors; ++v) store(c + i * tile_cols + v * lanes, sums[i][v]);
    }
}

void tile(float* c, const void* a, const void* b, int depth, bool accumulate) {
    multiply_tile(c, static_cast<const float*>(a), 1, tile_rows, static_cast<const float*>(b), depth, accumulate);
}

void tile_in_place(float* c, const float* a, std::ptrdiff_t row_stride, const void* b, int depth, bool accumulate) {
    multiply_tile(c, a, row_stride, 1, static_cast<const float*>(b), depth, accumulate);
}

/// panel[k][lane] for `width` lanes, those from `count` on being zero.
template <int width>
void pack(void* panel, const float* source, std::ptrdiff_t lane_stride, std::ptrdiff_t depth_stride, int count, int depth) {
    float* out = static_cast<float*>(panel);
    if (lane_stride == 1) {
        for (int k = 0; k < depth; ++k, out += width) {
            const float* row = source + k * depth_stride;
            if (count == width) {
                std::memcpy(out, row, sizeof(float) * width);
            } else {
                for (int i = 0; i < width; ++i) out[i] = i < count ? row[i] : 0.f;
            }
        }
        return;
    }
    // Depth is contiguous: a transposition, in small blocks so that both sides stay in cache lines already open.
    constexpr int block = 16;
    for (int k = 0; k < depth; k += block) {
        const int steps = depth - k < block ? depth - k : block;
        for (int i = 0; i < width; ++i) {
            const float* row = source + i * lane_stride + k;
            if (i < count) {
                for (int s = 0; s < steps; ++s) out[(k + s) * width + i] = row[s];
            } else {
                for (int s = 0; s < steps; ++s) out[(k + s) * width + i] = 0.f;
            }
        }
    }
}

// ---- rows ----

float dot(const float* a, const float* b, int n) {
    Floats total0{}, total1{};
    int i = 0;
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
        total0 = FOLIO_MADD(load(a + i), load(b + i), total0);
        total1 = FOLIO_MADD(load(a + i + lanes), load(b + i + lanes), total1);
    }
    for (; i + lanes <= n; i += lanes) total0 = FOLIO_MADD(load(a + i), load(b + i), total0);
    if (i < n) total1 = FOLIO_MADD(load_part(a + i, n - i), load_part(b + i, n - i), total1);
    return sum(total0 + total1);
}

void scale(float* y, const float* x, int n, float factor) {
    map(y, x, n, [=](Floats v) { return v * factor; });
}

void norm(float* out, const float* in, int n, float eps) {
    scale(out, in, n, 1.f / __builtin_sqrtf(dot(in, in, n) / static_cast<float>(n) + eps));
}

void norm_backward(float* dx, const float* dy, const float* x, int n, float eps) {
    const float inverse = 1.f / __builtin_sqrtf(dot(x, x, n) / static_cast<float>(n) + eps);
    const float along = dot(dy, x, n) / static_cast<float>(n) * inverse * inverse * inverse;
    int i = 0;
    for (; i + lanes <= n; i += lanes)
        store(dx + i, load(dx + i) + load(dy + i) * inverse - load(x + i) * along);
    for (; i < n; ++i) dx[i] += dy[i] * inverse - x[i] * along;
}

float rope_norm(float* x, const float* rope, int n, float eps) {
    const int half = n / 2;
    const float *cosine = rope, *sine = rope + half;
    int i = 0;
    for (; i + lanes <= half; i += lanes) {
        const Floats a = load(x + i), b = load(x + half + i), c = load(cosine + i), s = load(sine + i);
        store(x + i, a * c + b * s);
        store(x + half + i, b * c - a * s);
    }
    for (; i < half; ++i) {
        const float a = x[i], b = x[half + i];
        x[i] = a * cosine[i] + b * sine[i];
        x[half + i] = b * cosine[i] - a * sine[i];
    }
    const float inverse = 1.f / __builtin_sqrtf(dot(x, x, n) / static_cast<float>(n) + eps);
    scale(x, x, n, inverse);
    return inverse;
}

void rope_norm_backward(float* dx, const float* x, const float* rope, int n, float inverse_rms) {
    const int half = n / 2;
    const float *cosine = rope, *sine = rope + half;
    const float along = dot(dx, x, n) / static_cast<float>(n);
    int i = 0;
    for (; i + lanes <= half; i += lanes) {
        const Floats a = (load(dx + i) - load(x + i) * along) * inverse_rms;
        const Floats b = (load(dx + half + i) - load(x + half + i) * along) * inverse_rms;
        const Floats c = load(cosine + i), s = load(sine + i);
        store(dx + i, a * c - b * s);
        store(dx + half + i, a * s + b * c);
    }
    for (; i < half; ++i) {
        const float a = (dx[i] - x[i] * along) * inverse_rms;
        const float b = (dx[half + i] - x[half + i] * along) * inverse_rms;
        dx[i] = a * cosine[i] - b * sine[i];
        dx[half + i] = a * sine[i] + b * cosine[i];
    }
}

float exp_sum(float* x, int n, float scale, float shift) {
    Floats total{};
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const Floats e = exponential(load(x + i) * scale + shift);
        store(x + i, e);
        total += e;
    }
    float tail = 0.f;
    if (i < n) {
        float e[lanes];
        store(e, exponential(load_part(x + i, n - i) * scale + shift));
        for (int j = 0; i + j < n; ++j) {
            x[i + j] = e[j];
            tail += e[j];
        }
    }
    return sum(total) + tail;
}

void softmax_backward(float* p, float* ds, int n, float scale, float log_sum_exp, float dot) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const Floats e = exponential(load(p + i) * scale - log_sum_exp);
        store(p + i, e);
        store(ds + i, e * (load(ds + i) - dot) * scale);
    }
    if (i < n) {
        const Floats e = exponential(load_part(p + i, n - i) * scale - log_sum_exp);
        store_part(p + i, e, n - i);
        store_part(ds + i, e * (load_part(ds + i, n - i) - dot) * scale, n - i);
    }
}

void relu2(float* y, const float* x, int n) {
    map(y, x, n, [](Floats v) {
        const Floats r = at_least(Floats{}, v);
        return r * r;
    });
}

void relu2_backward(float* dx, const float* relu2_out, int n) {
    map(dx, dx, relu2_out, n, [](Floats d, Floats r) { return d * square_root(r) * 2.f; });
}

void add(float* y, const float* a, const float* b, int n) {
    map(y, a, b, n, [](Floats u, Floats v) { return u + v; });
}

void dropout(float* y, std::ptrdiff_t y_stride, const float* x, std::ptrdiff_t x_stride, int rows, int cols, int row, int col,
             int width, const Dropout& options) {
    const float keep = 1.f / (1.f - options.rate);
    const std::uint32_t limit = dropout_limit(options.rate);
    constexpr int block = 16;
    // Whole counters in blocks, as separate arrays of words so that the rounds become vector code.
    std::uint32_t c[4][block];
    for (int i = 0; i < rows;) {
        const std::uint64_t at = options.first_row + static_cast<std::uint64_t>(row + i);
        const int skip = static_cast<int>(at % 8), here = rows - i < 8 - skip ? rows - i : 8 - skip;
        for (int j = 0; j < cols; j += block) {
            const std::uint64_t counter = at / 8 * static_cast<std::uint64_t>(width) + static_cast<std::uint64_t>(col + j);
            for (int lane = 0; lane < block; ++lane) {
                c[0][lane] = static_cast<std::uint32_t>(counter + static_cast<std::uint64_t>(lane));
                c[1][lane] = static_cast<std::uint32_t>((counter + static_cast<std::uint64_t>(lane)) >> 32);
                c[2][lane] = options.step;
                c[3][lane] = options.purpose;
            }
            std::uint32_t k0 = static_cast<std::uint32_t>(options.seed), k1 = static_cast<std::uint32_t>(options.seed >> 32);
            for (int round = 0; round < 10; ++round) {
                for (int lane = 0; lane < block; ++lane) {
                    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0][lane];
                    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2][lane];
                    c[0][lane] = static_cast<std::uint32_t>(p1 >> 32) ^ c[1][lane] ^ k0;
                    c[2][lane] = static_cast<std::uint32_t>(p0 >> 32) ^ c[3][lane] ^ k1;
                    c[1][lane] = static_cast<std::uint32_t>(p1);
                    c[3][lane] = static_cast<std::uint32_t>(p0);
                }
                k0 += 0x9E3779B9u;
                k1 += 0xBB67AE85u;
            }
            const int lanes = cols - j < block ? cols - j : block;
            for (int r = 0; r < here; ++r) {
                const std::uint32_t* word = c[(skip + r) / 2];
                const int shift = (skip + r) % 2 * 16;
                const float* from = x + (i + r) * x_stride + j;
                float* to = y + (i + r) * y_stride + j;
                for (int lane = 0; lane < lanes; ++lane)
                    to[lane] = (word[lane] >> shift & 0xffffu) >= limit ? from[lane] * keep : 0.f;
            }
        }
        i += here;
    }
}

void adamw(float* parameters, float* moment1, float* moment2, const float* gradient, std::size_t count, float scale,
           const AdamW& o) {
    const float rate = o.lr / o.correction1, decay = 1.f - o.lr * o.weight_decay, spread = 1.f / o.correction2;
    for (std::size_t i = 0; i < count; ++i) {
        const float g = gradient[i] * scale;
        moment1[i] = o.beta1 * moment1[i] + (1.f - o.beta1) * g;
        moment2[i] = o.beta2 * moment2[i] + (1.f - o.beta2) * g * g;
        parameters[i] = parameters[i] * decay - rate * moment1[i] / (__builtin_sqrtf(moment2[i] * spread) + o.eps);
    }
}

constexpr Microkernels table(std::string_view name, bool (*supported)(), const Product* bf16) {
    return Microkernels{name,
                        supported,
                        Product{tile_rows, tile_cols, 1, FOLIO_DEPTH_BLOCK, FOLIO_ROW_BLOCK, 4, pack<tile_rows>,
                                pack<tile_cols>, tile, tile_in_place},
                        bf16,
                        norm,
                        norm_backward,
                        rope_norm,
                        rope_norm_backward,
                        exp_sum,
                        softmax_backward,
                        dot,
                        scale,
                        relu2,
                        relu2_backward,
                        add,
                        dropout,
                        adamw};
}

}  // namespace
}  // namespace FOLIO_SET
}  // namespace folio
