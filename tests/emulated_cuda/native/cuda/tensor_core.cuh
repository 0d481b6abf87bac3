#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>
#include <cstring>

// Emulation of native/cuda/tensor_core.cuh, by the PTX manual's description of who holds what.
namespace folio::cuda {

using Bf16 = std::uint16_t;

inline std::uint32_t pack_bf16(float low, float high) {
    const auto round = [](float x) -> std::uint32_t {
        if (std::isnan(x)) return 0x7FFF;
        std::uint32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    };
    return round(high) << 16 | round(low);
}

inline void load_tiles(std::uint32_t (&tiles)[4], const Bf16* row) {
    if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) std::abort();
    const auto rows = emulated::show(row);
    for (int tile = 0; tile < 4; ++tile)
        std::memcpy(&tiles[tile], rows[8 * tile + emulated::lane() / 4] + emulated::lane() % 4 * 2, 4);
}

inline void load_tiles_transposed(std::uint32_t (&tiles)[4], const Bf16* row) {
    if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) std::abort();
    const auto rows = emulated::show(row);
    const int g = emulated::lane() / 4, t = emulated::lane() % 4 * 2;
    for (int tile = 0; tile < 4; ++tile)
        tiles[tile] = rows[8 * tile + t][g] | static_cast<std::uint32_t>(rows[8 * tile + t + 1][g]) << 16;
}

inline void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    const auto shown = emulated::show(std::array{a[0], a[1], a[2], a[3], b0, b1});
    const auto value = [](std::uint32_t pair, int which) {
        const std::uint32_t bits = which == 0 ? pair << 16 : pair & 0xFFFF0000u;
        float x;
        std::memcpy(&x, &bits, sizeof x);
        return x;
    };
    for (int e = 0; e < 4; ++e) {
        const int row = emulated::lane() / 4 + e / 2 * 8, col = emulated::lane() % 4 * 2 + e % 2;
        for (int k = 0; k < 16; ++k) {
            const std::uint32_t left = shown[row % 8 * 4 + k % 8 / 2][static_cast<std::size_t>(k / 8 * 2 + row / 8)];
            const std::uint32_t right = shown[col * 4 + k % 8 / 2][static_cast<std::size_t>(4 + k / 8)];
            c[e] += value(left, k % 2) * value(right, k % 2);
        }
    }
}

}  // namespace folio::cuda
