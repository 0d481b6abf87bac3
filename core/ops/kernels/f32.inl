// The f32 kernels of a set. Beside what vectors.inl asks for, the set's file defines
//   FOLIO_TILE_ROWS, FOLIO_TILE_VECTORS (register tile), FOLIO_DEPTH_BLOCK, FOLIO_ROW_BLOCK.

#include "core/ops/kernels/vectors.inl"

namespace folio {
namespace FOLIO_SET {
namespace {

constexpr int tile_rows = FOLIO_TILE_ROWS;
constexpr int tile_vectors = FOLIO_TILE_VECTORS;
constexpr int tile_cols = lanes * tile_vectors;

// ---- products ----

/// One register tile: `row_stride` and `depth_stride` say where A's elements lie. A loop over depth of outer products.
__attribute__((always_inline)) inline void multiply_tile(float* c, const float* a, std::ptrdiff_t row_stride,
                                                         std::ptrdiff_t depth_stride, const float* b, int depth,
                                                         bool accumulate) {
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
void pack(void* panel, const float* source, std::ptrdiff_t lane_stride, std::ptrdiff_t depth_stride, int count,
          int depth) {
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
    return reduce(
        n, [=](Floats sum, int i, int count) { return FOLIO_MADD(load(a + i, count), load(b + i, count), sum); });
}

void scale(float* y, const float* x, int n, float factor) {
    map(y, x, n, [=](Floats v) { return v * factor; });
}

/// 1 / rms; NaN where the squares leave f32, for 0 would pass for a row of zeros.
float inverse_rms(const float* x, int n, float eps) {
    const float squares = dot(x, x, n);
    return 1.f / __builtin_sqrtf(squares / static_cast<float>(n) + eps) + (squares - squares);
}

void rms_norm(float* out, const float* in, int n, float eps) { scale(out, in, n, inverse_rms(in, n, eps)); }

void rms_norm_backward(float* dx, const float* dy, const float* x, int n, float eps) {
    const float inverse = inverse_rms(x, n, eps);
    const float along = dot(dy, x, n) / static_cast<float>(n) * inverse * inverse * inverse;
    int i = 0;
    for (; i + lanes <= n; i += lanes) store(dx + i, load(dx + i) + load(dy + i) * inverse - load(x + i) * along);
    for (; i < n; ++i) dx[i] += dy[i] * inverse - x[i] * along;
}

float rope_qk_norm(float* x, const float* rope, int n, float eps) {
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
    const float inverse = inverse_rms(x, n, eps);
    scale(x, x, n, inverse);
    return inverse;
}

void rope_qk_norm_backward(float* dx, const float* x, const float* rope, int n, float inverse_rms) {
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
    return reduce(n, [=](Floats sum, int i, int count) {
        const Floats e = exponential(load(x + i, count) * scale + shift);
        store(x + i, e, count);
        return sum + (count == lanes ? e : load_part(x + i, count));
    });
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

void add_scaled(float* y, const float* x, int n, float factor) {
    map(y, y, x, n, [=](Floats sum, Floats v) { return FOLIO_MADD(v, splat(factor), sum); });
}

/// Columns first .. of add_products, `vectors` vectors at a time; returns where it stopped.
template <int vectors>
__attribute__((always_inline)) inline int add_product_columns(float* y, const float* x, const float* a,
                                                              std::ptrdiff_t a_stride, const float* b,
                                                              std::ptrdiff_t b_stride, int count, int first, int n) {
    int i = first;
    for (; i + vectors * lanes <= n; i += vectors * lanes) {
        Floats sums[vectors];
        FOLIO_UNROLL for (int v = 0; v < vectors; ++v) sums[v] = load(x + i + v * lanes);
        for (int t = 0; t < count; ++t) {
            const float *left = a + t * a_stride + i, *right = b + t * b_stride + i;
            FOLIO_UNROLL for (int v = 0; v < vectors; ++v) sums[v] =
                FOLIO_MADD(load(left + v * lanes), load(right + v * lanes), sums[v]);
        }
        FOLIO_UNROLL for (int v = 0; v < vectors; ++v) store(y + i + v * lanes, sums[v]);
    }
    return i;
}

void add_products(float* y, const float* x, const float* a, std::ptrdiff_t a_stride, const float* b,
                  std::ptrdiff_t b_stride, int count, int n) {
    int i = add_product_columns<4>(y, x, a, a_stride, b, b_stride, count, 0, n);
    i = add_product_columns<1>(y, x, a, a_stride, b, b_stride, count, i, n);
    for (; i < n; ++i) {
        float sum = x[i];
        for (int t = 0; t < count; ++t) sum += a[t * a_stride + i] * b[t * b_stride + i];
        y[i] = sum;
    }
}

void dropout(float* y, std::ptrdiff_t y_stride, const float* x, std::ptrdiff_t x_stride, int rows, int cols, int row,
             int col, int width, const Dropout& options) {
    const float keep = 1.f / (1.f - options.rate);
    const std::uint32_t limit = dropout_limit(options.rate);
    constexpr int block = 16;
    // Whole counters in blocks, as separate arrays of words so that the rounds become vector code.
    std::uint32_t c[4][block];
    for (int i = 0; i < rows;) {
        const std::uint64_t at = options.first_row + static_cast<std::uint64_t>(row + i);
        const int skip = static_cast<int>(at % 8), here = rows - i < 8 - skip ? rows - i : 8 - skip;
        for (int j = 0; j < cols; j += block) {
            const std::uint64_t counter =
                at / 8 * static_cast<std::uint64_t>(width) + static_cast<std::uint64_t>(col + j);
            for (int lane = 0; lane < block; ++lane) {
                c[0][lane] = static_cast<std::uint32_t>(counter + static_cast<std::uint64_t>(lane));
                c[1][lane] = static_cast<std::uint32_t>((counter + static_cast<std::uint64_t>(lane)) >> 32);
                c[2][lane] = *options.step;
                c[3][lane] = options.purpose;
            }
            std::uint32_t k0 = static_cast<std::uint32_t>(options.seed),
                          k1 = static_cast<std::uint32_t>(options.seed >> 32);
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

constexpr Microkernels table{{tile_rows, tile_cols, 1, FOLIO_DEPTH_BLOCK, FOLIO_ROW_BLOCK, 4, pack<tile_rows>,
                              pack<tile_cols>, tile, tile_in_place},
                             rms_norm,
                             rms_norm_backward,
                             rope_qk_norm,
                             rope_qk_norm_backward,
                             exp_sum,
                             softmax_backward,
                             dot,
                             scale,
                             relu2,
                             relu2_backward,
                             add,
                             add_products,
                             add_scaled,
                             dropout,
                             adamw};

}  // namespace
}  // namespace FOLIO_SET
}  // namespace folio
