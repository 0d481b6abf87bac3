#pragma once

#include <cassert>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/ops/cpu/gemm.h"
#include "core/ops/kernels/microkernels.h"

/// How integer operands lie in memory for the kernels: panels of weights, rows of activations.
namespace folio {

/// Elements of B [cols, depth] as an integer product takes them: panels of [depth / group][cols][group].
struct Packing {
    const IntegerProduct& product;
    int cols, depth;

    int panels() const { return gemm::divide_up(cols, product.cols); }
    int padded_cols() const { return panels() * product.cols; }
    int padded_depth() const { return gemm::round_up(depth, product.depth_step); }
    std::size_t panel_bytes() const {
        return gemm::align(static_cast<std::size_t>(product.cols) * padded_depth() * product.b_size);
    }
    std::size_t bytes() const { return panels() * panel_bytes(); }
    std::size_t a_stride() const { return static_cast<std::size_t>(padded_depth()) * product.a_size; }

    /// Lays column `col` out, as numbers of type T.
    template <class T, class S>
    void put(void* packed, int col, const S* source) const {
        T* to = column<T>(packed, col);
        const int jump = product.cols * product.group;
        int k = 0;
        const auto whole_groups = [&](auto group) {
            for (; k + group <= depth; k += group, to += jump)
                for (int i = 0; i < group; ++i) to[i] = source[k + i];
        };
        if (product.group == 2)
            whole_groups(std::integral_constant<int, 2>());
        else
            whole_groups(std::integral_constant<int, 4>());
        for (; k < padded_depth(); k += product.group, to += jump)
            for (int i = 0; i < product.group; ++i) to[i] = k + i < depth ? static_cast<T>(source[k + i]) : T{0};
    }
    /// Lays elements k and k + 1 of all columns out, in groups of two; `second` null: zeros.
    void put_pair(void* packed, int k, const std::int16_t* first, const std::int16_t* second) const {
        for (int panel = 0; panel < panels(); ++panel) {
            const int col = panel * product.cols, here = std::min(product.cols, cols - col);
            std::int16_t* to = column<std::int16_t>(packed, col) + k * product.cols;
            for (int i = 0; i < here; ++i) {
                to[2 * i] = first[col + i];
                to[2 * i + 1] = second ? second[col + i] : std::int16_t{0};
            }
        }
    }
    /// Zeros from the last column to the end of its panel.
    template <class T>
    void pad(void* packed) const {
        for (int col = cols; col < padded_cols(); ++col) {
            T* to = column<T>(packed, col);
            for (int k = 0; k < padded_depth(); k += product.group, to += product.cols * product.group)
                std::fill_n(to, product.group, T{0});
        }
    }

private:
    template <class T>
    T* column(void* packed, int col) const {
        assert(sizeof(T) == static_cast<std::size_t>(product.b_size));
        return reinterpret_cast<T*>(static_cast<char*>(packed) + col / product.cols * panel_bytes()) +
               col % product.cols * product.group;
    }
};

/// A weight as pack() leaves it in memory: its panels, then each column's scale and sum, padded like the panels.
struct IntegerPanels {
    Packing packing;
    char* panels;
    float* scales;
    std::int32_t* sums;

    IntegerPanels(const Packing& packing, void* data) : packing(packing) {
        gemm::Pieces pieces{static_cast<char*>(data)};
        panels = pieces.carve<char>(packing.bytes());
        scales = pieces.carve<float>(sizeof(float) * packing.padded_cols());
        sums = pieces.carve<std::int32_t>(sizeof(std::int32_t) * packing.padded_cols());
    }
    static std::size_t bytes(const Packing& packing) {
        return packing.bytes() + 2 * gemm::align(sizeof(float) * packing.padded_cols());
    }
};

inline std::size_t tile_bytes(const IntegerProduct& product) {
    return sizeof(std::int32_t) * product.rows * product.cols;
}

/// Scratch of a worker for a block of A, of whole tiles: its rows as u7, their scales and zeros, and the sums of a
/// tile.
struct QuantisedRows {
    char* rows;
    float* scale;
    std::int32_t *zero, *tile;

    QuantisedRows(const Packing& packing, int count, void* data) {
        gemm::Pieces pieces{static_cast<char*>(data)};
        rows = pieces.carve<char>(count * packing.a_stride());
        scale = pieces.carve<float>(sizeof(float) * count);
        zero = pieces.carve<std::int32_t>(sizeof(std::int32_t) * count);
        tile = pieces.carve<std::int32_t>(tile_bytes(packing.product));
    }
    static std::size_t bytes(const Packing& packing, int count) {
        return gemm::align(count * packing.a_stride()) + 2 * gemm::align(sizeof(float) * count) +
               tile_bytes(packing.product);
    }
};

/// One row as 16 bits, out ~ in / scale. False where a number is not finite.
inline bool quantise_wide(const IntegerKernels& integers, std::int16_t* out, float* scale, const float* in, int n) {
    float largest = 0;
    for (int i = 0; i < n; ++i) largest = std::max(largest, std::abs(in[i]));
    const bool nothing = !(largest >= 1e-30f);
    const auto levels = static_cast<float>(wide_levels(n));
    *scale = nothing ? 0.f : largest / levels;
    return integers.to_i16(out, in, n, nothing ? 0.f : levels / largest);
}

constexpr double log2_e = 1.4426950408889634;
constexpr int row_block = 256;  // rows whose numbers stay in the second cache

/// Calls f(sums, first_row, rows, first_col, cols) for every tile of A [rows, depth] times the panels of packed B; A's
/// rows are there up to a multiple of the tile's.
template <class F>
void multiply(const Packing& packing, const void* a, int rows, const void* packed, int first_panel, int last_panel,
              std::int32_t* sums, F&& f) {
    const IntegerProduct& product = packing.product;
    for (int panel = first_panel; panel < last_panel; ++panel) {
        const char* b = static_cast<const char*>(packed) + panel * packing.panel_bytes();
        const int col = panel * product.cols;
        const std::size_t next_bytes = panel + 1 < last_panel ? packing.panel_bytes() : 0;
        std::size_t fetched = 0;
        for (int row = 0; row < rows; row += product.rows) {
            // Each tile fetches its share of the next panel, so that weights arrive while others multiply.
            for (const std::size_t end = next_bytes * std::min(rows, row + product.rows) / rows; fetched < end;
                 fetched += 64)
                __builtin_prefetch(b + packing.panel_bytes() + fetched, 0, 2);
            product.tile(sums, product.cols, static_cast<const char*>(a) + row * packing.a_stride(),
                         static_cast<std::ptrdiff_t>(packing.a_stride()), b, packing.padded_depth());
            f(sums, row, std::min(product.rows, rows - row), col, std::min(product.cols, packing.cols - col));
        }
    }
}

/// Zeros from the end of what is used: of a row, or of the rows of a tile.
inline void clear_tail(void* begin, std::size_t used, std::size_t all) {
    std::memset(static_cast<char*>(begin) + used, 0, all - used);
}

}  // namespace folio
