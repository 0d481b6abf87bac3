#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/ops/training_ops.h"

/// The seam between instruction sets: tables of the few inner loops that decide the speed, filled once per set from one
/// source (kernels/f32.inl, kernels/integer.inl). Everything above it is ordinary code.
namespace folio {

/// Operands of matmuls: f32; operands rounded to bf16, with f32 sums; or integers (I8 weights, see exact_ops.h).
enum class Precision { f32, bf16, int8 };

/// C [rows, cols] = A B for one register tile, on packed panels. A panel of B holds `cols` columns, a packed panel of A
/// `rows` rows; both go depth first in steps of `depth_step`, zero-padded, `element_size` bytes an element, so that a
/// depth range of a panel (a multiple of depth_step) is contiguous.
struct Product {
    int rows, cols;
    int depth_step;
    int depth_block;  // depth of a panel of B that stays in the first cache
    int row_block;    // rows of A that stay in the second cache
    int element_size;
    /// Element (lane, k) of the source is source[lane * lane_stride + k * depth_stride]; one of the strides is 1.
    void (*pack_a)(void* panel, const float* source, std::ptrdiff_t lane_stride, std::ptrdiff_t depth_stride, int lanes,
                   int depth);
    void (*pack_b)(void* panel, const float* source, std::ptrdiff_t lane_stride, std::ptrdiff_t depth_stride, int lanes,
                   int depth);
    /// c [rows, cols], contiguous, (+)= A B over `depth`. A is a packed panel.
    void (*tile)(float* c, const void* a, const void* b, int depth, bool accumulate);
    /// The same with A read in place: row i begins at a + i * row_stride, depth is contiguous. Null where A must be
    /// packed.
    void (*tile_in_place)(float* c, const float* a, std::ptrdiff_t row_stride, const void* b, int depth,
                          bool accumulate);
};

/// The loops in f32. Sums over a row go in one order on every set (kernels/vectors.inl).
struct Microkernels {
    Product product;

    /// out = in / sqrt(mean(in^2) + eps).
    void (*rms_norm)(float* out, const float* in, int n, float eps);
    /// dx += the gradient of norm at x.
    void (*rms_norm_backward)(float* dx, const float* dy, const float* x, int n, float eps);
    /// Rotates one head and norms it; returns 1 / rms. rope: cos [n / 2] | sin [n / 2].
    float (*rope_qk_norm)(float* x, const float* rope, int n, float eps);
    /// dx back through the norm (x is its output) and the rotation.
    void (*rope_qk_norm_backward)(float* dx, const float* x, const float* rope, int n, float inverse_rms);
    /// x = exp(scale * x + shift); returns the sum.
    float (*exp_sum)(float* x, int n, float scale, float shift);
    /// p = exp(scale * p - log_sum_exp), ds = p * (ds - dot) * scale: a row of attention's backward pass.
    void (*softmax_backward)(float* p, float* ds, int n, float scale, float log_sum_exp, float dot);
    float (*dot)(const float* a, const float* b, int n);
    /// y = factor * x.
    void (*scale)(float* y, const float* x, int n, float factor);
    /// x = max(0, x)^2.
    void (*relu2)(float* y, const float* x, int n);
    /// dx *= 2 sqrt(relu2_out).
    void (*relu2_backward)(float* dx, const float* relu2_out, int n);
    /// y = a + b.
    void (*add)(float* y, const float* a, const float* b, int n);
    /// y = x + a_0 * b_0 + a_1 * b_1 + ..., in this order, for `count` rows of a and of b.
    void (*add_products)(float* y, const float* x, const float* a, std::ptrdiff_t a_stride, const float* b,
                         std::ptrdiff_t b_stride, int count, int n);
    /// y += factor * x.
    void (*add_scaled)(float* y, const float* x, int n, float factor);
    /// y [rows, cols] = x * mask / (1 - rate), its first element being [row, col] of a matrix `width` wide.
    void (*dropout)(float* y, std::ptrdiff_t y_stride, const float* x, std::ptrdiff_t x_stride, int rows, int cols,
                    int row, int col, int width, const Dropout& dropout);
    /// As TrainingOps::adamw, with the scale given.
    void (*adamw)(float* parameters, float* moment1, float* moment2, const float* gradient, std::size_t count,
                  float scale, const AdamW& options);
};

/// C [rows, cols] = A B in 32-bit integers for one register tile. A lies row after row in elements of `a_size` bytes,
/// panels of B hold `cols` columns in elements of `b_size` bytes: [depth / group][cols][group]. Both are zero-padded to
/// a multiple of depth_step.
struct IntegerProduct {
    int rows, cols;
    int group, depth_step;
    int a_size, b_size;
    /// c [rows, cols]; row i of A begins at a + i * a_stride bytes.
    void (*tile)(std::int32_t* c, std::ptrdiff_t c_stride, const void* a, std::ptrdiff_t a_stride, const void* b,
                 int depth);
};

/// Factors that turn an integer product into floats: out = ((sum - zero[row] weight_sum[col]) weight_scale[col])
/// scale[row], in this order, then as the epilogue's kind has it. Rows and columns of a tile.
struct Dequantise {
    const std::int32_t* weight_sum;
    const float* weight_scale;
    const std::int32_t* zero;
    const float* scale;
    Epilogue::Kind kind;
    const float* residual;
    std::ptrdiff_t residual_stride;
};

/// The largest magnitude of a wide input's n elements, by which no sum of products with s8 leaves 32 bits.
constexpr int wide_levels(int n) { return n > 512 ? (1 << 24) / n - 1 : 32760; }

/// The loops of the exact path. Every set gives the same bits.
struct IntegerKernels {
    /// u7 (0 .. 127) times s8.
    IntegerProduct u7s8;
    /// i16 times i16, in groups of two.
    IntegerProduct i16;

    /// One row as u7 in elements of u7s8.a_size bytes: in ~ (out - zero) * scale, 0 among the numbers it can be, so a
    /// row without negative ones loses no range. False where a number is not finite.
    bool (*quantise)(void* out, float* scale, std::int32_t* zero, const float* in, int n);
    /// out = in * factor, rounded. False where one lies outside of 16 bits.
    bool (*to_i16)(std::int16_t* out, const float* in, int n, float factor);
    /// out = in / scale within +-1023. False where a number is not finite, or near the end of f32.
    bool (*quantise_value)(std::int16_t* out, float* scale, const float* in, int n);
    /// p = 2^(scores * scale), to the sum 1, * value_scale as 0 .. 2047; returns the value of one unit of p.
    /// `scratch`: n floats.
    float (*softmax)(std::int16_t* p, float* scratch, const std::int32_t* scores, const float* value_scale, int n,
                     float scale);
    void (*dequantise)(float* out, std::ptrdiff_t stride, const std::int32_t* sums, int sum_stride, int rows, int cols,
                       const Dequantise& how);
    /// out = sums * factor[row].
    void (*scale_rows)(float* out, std::ptrdiff_t stride, const std::int32_t* sums, int sum_stride, int rows, int cols,
                       const float* factor);
};

/// An instruction set under the name that FOLIO_KERNELS takes.
struct KernelSet {
    std::string_view name;
    bool (*supported)();
    const Microkernels* f32;
    const Product* bf16;               // null: this set has none
    const Microkernels* uncontracted;  // f32 without fused multiply-adds: what the exact path does in f32
    const IntegerKernels* integer;
};

/// The sets that this machine can run, best first; the last one is the baseline.
std::span<const KernelSet* const> available_kernels();
/// Available sets with kernels of that precision, best first; of sets that share these kernels, the last one alone.
std::vector<const KernelSet*> distinct_kernels(Precision precision);
/// The set of that name; an unknown or unsupported one is a sentence.
Result<const KernelSet*> kernels_named(std::string_view name);

}  // namespace folio
