#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/ops/kernels/microkernels.h"

/// The blocked product that every linear layer, attention and weight gradient runs on: packed panels of B, register
/// tiles, sums that are finished (stored, squared, added ...) tile by tile while they are still in the first cache.
namespace folio::gemm {

constexpr std::size_t alignment = 64;

inline std::size_t align(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }
inline int divide_up(int n, int by) { return (n + by - 1) / by; }
inline int round_up(int n, int to) { return divide_up(n, to) * to; }

/// One side of a product: element (lane, k) is data[lane * lane_stride + k * depth_stride]; one of the strides is 1.
struct Operand {
    const float* data;
    std::ptrdiff_t lane_stride;
    std::ptrdiff_t depth_stride;

    Operand from_lane(int lane) const { return {data + lane * lane_stride, lane_stride, depth_stride}; }
};

inline int panels(const Product& product, int cols) { return divide_up(cols, product.cols); }

inline std::size_t panel_bytes(const Product& product, int lanes, int depth) {
    return align(static_cast<std::size_t>(lanes) * round_up(depth, product.depth_step) * product.element_size);
}

/// Bytes of B [depth, cols] packed.
inline std::size_t packed_bytes(const Product& product, int cols, int depth) {
    return panels(product, cols) * panel_bytes(product, product.cols, depth);
}

inline void pack_panel(const Product& product, void* packed, Operand b, int cols, int depth, int panel) {
    const int first = panel * product.cols;
    product.pack_b(static_cast<char*>(packed) + panel * panel_bytes(product, product.cols, depth),
                   b.from_lane(first).data, b.lane_stride, b.depth_stride, std::min(product.cols, cols - first), depth);
}

/// Scratch that multiply_block needs for blocks of up to `rows` rows.
inline std::size_t scratch_bytes(const Product& product, int rows, int depth) {
    const int tiles = divide_up(rows, product.rows);
    return align(sizeof(float) * tiles * product.rows * product.cols) +
           tiles * panel_bytes(product, product.rows, depth);
}

/// A [rows, depth] times the panels of packed B in [first_panel, last_panel). Every tile of the result ends in
/// finish(sums, sums_stride, first_row, rows, first_col, cols) with sums [rows, cols].
template <class Finish>
void multiply_block(const Product& product, void* scratch, Operand a, int rows, const void* packed, int cols, int depth,
                    int first_panel, int last_panel, Finish&& finish) {
    const int tiles = divide_up(rows, product.rows);
    const int padded = round_up(depth, product.depth_step);
    const std::size_t a_bytes = panel_bytes(product, product.rows, depth);
    const std::size_t b_bytes = panel_bytes(product, product.cols, depth);
    float* sums = static_cast<float*>(scratch);
    char* a_panels = static_cast<char*>(scratch) + align(sizeof(float) * tiles * product.rows * product.cols);

    const int in_place = product.tile_in_place && a.depth_stride == 1 ? rows / product.rows : 0;
    for (int t = in_place; t < tiles; ++t) {
        const int first = t * product.rows;
        product.pack_a(a_panels + t * a_bytes, a.from_lane(first).data, a.lane_stride, a.depth_stride,
                       std::min(product.rows, rows - first), depth);
    }
    for (int panel = first_panel; panel < last_panel; ++panel) {
        const char* b_panel = static_cast<const char*>(packed) + panel * b_bytes;
        for (int k = 0; k < padded; k += product.depth_block) {
            const int steps = std::min(product.depth_block, padded - k);
            const std::size_t step_bytes = static_cast<std::size_t>(product.cols) * product.element_size;
            const char* b = b_panel + static_cast<std::size_t>(k) * step_bytes;
            // Each tile fetches its share of what comes after this part of B, so that weights arrive while others
            // multiply.
            const char* next = b + static_cast<std::size_t>(steps) * step_bytes;
            const std::size_t next_bytes =
                panel + 1 < last_panel || k + steps < padded ? step_bytes * std::min(product.depth_block, padded) : 0;
            for (int t = 0; t < tiles; ++t) {
                for (std::size_t at = next_bytes * t / tiles / 64 * 64; at < next_bytes * (t + 1) / tiles; at += 64)
                    __builtin_prefetch(next + at, 0, 2);
                float* c = sums + static_cast<std::size_t>(t) * product.rows * product.cols;
                if (t < in_place) {
                    product.tile_in_place(c, a.from_lane(t * product.rows).data + k, a.lane_stride, b, steps, k > 0);
                } else {
                    const char* left =
                        a_panels + t * a_bytes + static_cast<std::size_t>(k) * product.rows * product.element_size;
                    product.tile(c, left, b, steps, k > 0);
                }
                if (k + steps >= padded) {
                    finish(c, product.cols, t * product.rows, std::min(product.rows, rows - t * product.rows),
                           panel * product.cols, std::min(product.cols, cols - panel * product.cols));
                }
            }
        }
    }
}

/// Cuts a worker's scratch into pieces.
struct Pieces {
    char* next;

    template <class T = void>
    T* carve(std::size_t bytes) {
        char* piece = next;
        next += align(bytes);
        return reinterpret_cast<T*>(piece);
    }
};

/// Packs all of b [depth, cols].
inline void pack_all(const Product& product, void* packed, Operand b, int cols, int depth) {
    for (int panel = 0; panel < panels(product, cols); ++panel) pack_panel(product, packed, b, cols, depth, panel);
}

/// c [rows, cols] = a b for one block of rows.
inline void multiply(const Product& product, void* scratch, Operand a, int rows, const void* packed, int cols,
                     int depth, float* c, std::ptrdiff_t c_stride) {
    multiply_block(product, scratch, a, rows, packed, cols, depth, 0, panels(product, cols),
                   [&](const float* sums, int stride, int row, int count, int col, int width) {
                       for (int i = 0; i < count; ++i)
                           std::memcpy(c + (row + i) * c_stride + col, sums + i * stride, sizeof(float) * width);
                   });
}

}  // namespace folio::gemm
