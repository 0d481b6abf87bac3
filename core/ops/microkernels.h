#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/result.h"
#include "core/ops/ops.h"

/// The seam between instruction sets: one table of the few inner loops that decide the speed, filled once per set from one
/// source (microkernels.inl). Everything above it is ordinary code.
namespace folio {

/// What products multiply: f32, or operands rounded to bf16 with f32 sums.
enum class Precision { f32, bf16 };

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
    /// The same with A read in place: row i begins at a + i * row_stride, depth is contiguous. Null where A must be packed.
    void (*tile_in_place)(float* c, const float* a, std::ptrdiff_t row_stride, const void* b, int depth, bool accumulate);
};

struct Microkernels {
    std::string_view name;
    bool (*supported)();
    Product f32;
    const Product* bf16;  // null: this set has none

    /// out = in / sqrt(mean(in^2) + eps).
    void (*norm)(float* out, const float* in, int n, float eps);
    /// dx += the gradient of norm at x.
    void (*norm_backward)(float* dx, const float* dy, const float* x, int n, float eps);
    /// Rotates one head and norms it; returns 1 / rms. rope: cos [n / 2] | sin [n / 2].
    float (*rope_norm)(float* x, const float* rope, int n, float eps);
    /// dx back through the norm (x is its output) and the rotation.
    void (*rope_norm_backward)(float* dx, const float* x, const float* rope, int n, float inverse_rms);
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
    /// y [rows, cols] = x * mask / (1 - rate), its first element being [row, col] of a matrix `width` wide.
    void (*dropout)(float* y, std::ptrdiff_t y_stride, const float* x, std::ptrdiff_t x_stride, int rows, int cols, int row, int col,
                    int width, const Dropout& dropout);
    /// As TrainingOps::adamw, with the scale given.
    void (*adamw)(float* parameters, float* moment1, float* moment2, const float* gradient, std::size_t count, float scale,
                  const AdamW& options);
};

/// The sets that this machine can run, best first; `portable` is always the last.
std::span<const Microkernels* const> available_microkernels();
/// The best set, or the one forced by name; an unknown or unsupported name is one sentence.
Result<const Microkernels*> select_microkernels(std::string_view forced_name);

}  // namespace folio
