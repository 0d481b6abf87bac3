// The kernels of the exact path. Beside what vectors.inl asks for, the set's file defines, before including this,
//   FOLIO_DOT_U7S8 and FOLIO_DOT_I16: types with
//     group, depth_step, a_size, b_size   as IntegerProduct has them
//     rows, vectors                 the register tile
//     Ints add(Ints sum, Ints a, Ints b)   sum + a * b over each lane's group; a: one group in every lane
// Compiled without contraction: these loops give the same bits on every set.

#include <type_traits>

#include "core/ops/kernels/vectors.inl"

namespace folio {
namespace FOLIO_SET {
namespace {

typedef std::int32_t LooseInts __attribute__((vector_size(FOLIO_LANES * 4), aligned(4), may_alias));

inline Ints load(const std::int32_t* p) { return *reinterpret_cast<const LooseInts*>(p); }
inline void store(std::int32_t* p, Ints v) { *reinterpret_cast<LooseInts*>(p) = v; }

inline Ints bits_of(Floats v) {
    Ints bits;
    std::memcpy(&bits, &v, sizeof bits);
    return bits;
}

// 1.5 * 2^23: adding it to a number below 2^22 rounds that to an integer, ties to even, in the low bits.
constexpr float magic = 12582912.f;
constexpr std::int32_t magic_bits = 0x4B400000;

inline std::int32_t to_int(float x) {
    const float biased = x + magic;
    std::uint32_t bits;
    std::memcpy(&bits, &biased, sizeof bits);
    return static_cast<std::int32_t>(bits - static_cast<std::uint32_t>(magic_bits));
}

/// The least bits of a float that is not finite: all ones in the exponent.
constexpr std::int32_t not_finite = 0x7F800000;

/// 2^x for |x| <= 100, relative error 3e-6: what becomes of it has eleven bits.
inline Floats power_of_two(Floats x) {
    const Floats biased = x + magic, f = x - (biased - magic);
    const Floats p =
        (((9.570101276e-3f * f + 5.591785908e-2f) * f + 0.2402474433f) * f + 0.6931217909f) * f + 0.9999992847f;
    const Ints bits = bits_of(p) + ((bits_of(biased) - magic_bits) << 23);
    Floats power;
    std::memcpy(&power, &bits, sizeof power);
    return power;
}

inline Floats lesser(Floats a, Floats b) { return a < b ? a : b; }
inline Floats greater(Floats a, Floats b) { return a > b ? a : b; }
inline Ints greater(Ints a, Ints b) { return a > b ? a : b; }

/// The extremes of a row. Their order is free, so four of each go side by side.
struct Extent {
    float low = 0, high = 0;  // 0 is always among them
    std::int32_t bits = 0;    // of the largest magnitude

    Extent(const float* in, int n) {
        Floats least[4] = {}, most[4] = {};
        Ints largest[4] = {};
        const auto take = [&](int j, Floats x) {
            least[j] = lesser(x, least[j]);
            most[j] = greater(x, most[j]);
            largest[j] = greater(bits_of(x) & 0x7FFFFFFF, largest[j]);
        };
        int i = 0;
        for (; i + 4 * lanes <= n; i += 4 * lanes) {
            FOLIO_UNROLL for (int j = 0; j < 4; ++j) take(j, load(in + i + j * lanes));
        }
        for (; i < n; i += lanes) take(0, load(in + i, n - i < lanes ? n - i : lanes));
        for (int j = 1; j < 4; ++j) {
            least[0] = lesser(least[j], least[0]);
            most[0] = greater(most[j], most[0]);
            largest[0] = greater(largest[j], largest[0]);
        }
        for (int lane = 0; lane < lanes; ++lane) {
            low = least[0][lane] < low ? least[0][lane] : low;
            high = most[0][lane] > high ? most[0][lane] : high;
            bits = largest[0][lane] > bits ? largest[0][lane] : bits;
        }
    }
};

template <class Dot>
void integer_tile(std::int32_t* c, std::ptrdiff_t c_stride, const void* a, std::ptrdiff_t a_stride, const void* b,
                  int depth) {
    constexpr int row_count = Dot::rows, vectors = Dot::vectors, a_step = Dot::group * Dot::a_size;
    constexpr int b_vector = lanes * Dot::group * Dot::b_size;
    Ints sums[row_count][vectors];
    FOLIO_UNROLL for (int i = 0; i < row_count; ++i) {
        FOLIO_UNROLL for (int v = 0; v < vectors; ++v) sums[i][v] = Ints{};
    }
    const char *left = static_cast<const char*>(a), *right = static_cast<const char*>(b);
    for (int k = 0; k < depth; k += Dot::group, left += a_step, right += vectors * b_vector) {
        Ints columns[vectors];
        FOLIO_UNROLL for (int v = 0; v < vectors; ++v) columns[v] =
            load(reinterpret_cast<const std::int32_t*>(right + v * b_vector));
        FOLIO_UNROLL for (int i = 0; i < row_count; ++i) {
            std::int32_t group;
            std::memcpy(&group, left + i * a_stride, sizeof group);
            const Ints row = group - Ints{};
            FOLIO_UNROLL for (int v = 0; v < vectors; ++v) sums[i][v] = Dot::add(sums[i][v], row, columns[v]);
        }
    }
    FOLIO_UNROLL for (int i = 0; i < row_count; ++i) {
        FOLIO_UNROLL for (int v = 0; v < vectors; ++v) store(c + i * c_stride + v * lanes, sums[i][v]);
    }
}

template <class Dot>
constexpr IntegerProduct integer_product{Dot::rows,   Dot::vectors* lanes, Dot::group,       Dot::depth_step,
                                         Dot::a_size, Dot::b_size,         integer_tile<Dot>};

template <class Element>
bool quantise_row(void* to, float* scale, std::int32_t* zero, const float* in, int n) {
    const Extent extent(in, n);
    const float range = extent.high - extent.low;
    *scale = 0;
    *zero = 0;
    if (extent.bits >= not_finite || !(range < 3.4e38f)) return false;
    // So small that 127 / range would overflow: nothing is lost by calling it 0.
    const bool nothing = range < 1e-35f;
    const float inverse = nothing ? 0.f : 127.f / range;
    const std::int32_t offset = to_int(-extent.low * inverse);
    *scale = nothing ? 0.f : range / 127.f;
    *zero = offset;
    Element* out = static_cast<Element*>(to);
    for (int i = 0; i < n; ++i) {
        const std::int32_t number = to_int(in[i] * inverse) + offset;
        out[i] = static_cast<Element>(number < 0 ? 0 : number > 127 ? 127 : number);
    }
    return true;
}

bool to_i16(std::int16_t* out, const float* in, int n, float factor) {
    std::uint32_t beyond = 0;
    for (int i = 0; i < n; ++i) {
        const std::int32_t number = to_int(in[i] * factor);
        out[i] = static_cast<std::int16_t>(number);
        beyond |= static_cast<std::uint32_t>(number) + 0x8000u;
    }
    return beyond < 0x10000u;
}

bool quantise_value(std::int16_t* out, float* scale, const float* in, int n) {
    const Extent extent(in, n);
    float most;
    std::memcpy(&most, &extent.bits, sizeof most);
    *scale = 0;
    if (!(most < 1e24f))
        return false;  // times e^sqrt(head_dim), which a probability can be before it is scaled, it stays in f32
    const bool nothing = most < 1e-35f;
    *scale = nothing ? 0.f : most / 1023.f;
    to_i16(out, in, n, nothing ? 0.f : 1023.f / most);
    return true;
}

float softmax(std::int16_t* p, float* scratch, const std::int32_t* scores, const float* value_scale, int n,
              float scale) {
    Floats high{};
    const float sum = reduce(n, [&](Floats total, int i, int count) {
        Floats score;
        if (count == lanes) {
            score = __builtin_convertvector(load(scores + i), Floats);
        } else {
            float part[lanes] = {};
            for (int j = 0; j < count; ++j) part[j] = static_cast<float>(scores[i + j]);
            score = load(part);
        }
        Floats e = power_of_two(score * scale);
        if (count < lanes) {
            store_part(scratch + i, e, count);
            e = load_part(scratch + i, count);
        }
        const Floats weighted = e * load(value_scale + i, count);
        store(scratch + i, weighted, count);
        high = greater(weighted, high);
        return total + e;
    });
    float most = 0;
    for (int i = 0; i < lanes; ++i) most = high[i] > most ? high[i] : most;
    const bool nothing = most < 1e-33f;
    const float factor = nothing ? 0.f : 2047.f / most;
    to_i16(p, scratch, n, factor);
    return nothing ? 0.f : most / (2047.f * sum);
}

template <Epilogue::Kind kind>
inline void dequantise_rows(float* out, std::ptrdiff_t stride, const std::int32_t* sums, int sum_stride, int rows,
                            int cols, const Dequantise& how) {
    for (int j = 0; j < cols; j += lanes) {
        const int count = cols - j < lanes ? cols - j : lanes;
        const Ints weight_sum = load(how.weight_sum + j);
        const Floats weight_scale = load(how.weight_scale + j);
        for (int i = 0; i < rows; ++i) {
            const Ints number = load(sums + i * sum_stride + j) - weight_sum * how.zero[i];
            Floats value = __builtin_convertvector(number, Floats) * weight_scale * how.scale[i];
            if (kind == Epilogue::Kind::relu2) {
                value = at_least(Floats{}, value);
                value = value * value;
            } else if (kind == Epilogue::Kind::residual) {
                value = load(how.residual + i * how.residual_stride + j, count) + value;
            }
            store(out + i * stride + j, value, count);
        }
    }
}

void dequantise(float* out, std::ptrdiff_t stride, const std::int32_t* sums, int sum_stride, int rows, int cols,
                const Dequantise& how) {
    switch (how.kind) {
        case Epilogue::Kind::store:
            return dequantise_rows<Epilogue::Kind::store>(out, stride, sums, sum_stride, rows, cols, how);
        case Epilogue::Kind::relu2:
            return dequantise_rows<Epilogue::Kind::relu2>(out, stride, sums, sum_stride, rows, cols, how);
        case Epilogue::Kind::residual:
            return dequantise_rows<Epilogue::Kind::residual>(out, stride, sums, sum_stride, rows, cols, how);
    }
}

void scale_rows(float* out, std::ptrdiff_t stride, const std::int32_t* sums, int sum_stride, int rows, int cols,
                const float* factor) {
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < cols; ++j) out[i * stride + j] = static_cast<float>(sums[i * sum_stride + j]) * factor[i];
}

template <class U7S8>
using Quantised = std::conditional_t<U7S8::a_size == 1, std::uint8_t, std::int16_t>;

constexpr IntegerKernels integers{integer_product<FOLIO_DOT_U7S8>,
                                  integer_product<FOLIO_DOT_I16>,
                                  quantise_row<Quantised<FOLIO_DOT_U7S8>>,
                                  to_i16,
                                  quantise_value,
                                  softmax,
                                  dequantise,
                                  scale_rows};

}  // namespace
}  // namespace FOLIO_SET
}  // namespace folio
