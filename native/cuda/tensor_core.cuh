#pragma once

#include <cstdint>

// What CUDA C++ has no words for: products of 16 x 16 by 16 x 8 bf16 on the tensor cores of sm_80 and later, and the
// operands' way into registers (PTX ISA, "Matrix multiply-accumulate" and "ldmatrix"). A warp acts as one.
namespace folio::cuda {

/// The bits of a bf16.
using Bf16 = std::uint16_t;

/// Two numbers, each rounded to nearest even, `low` in the lower half.
__device__ inline std::uint32_t pack_bf16(float low, float high) {
    std::uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

/// Four 8 x 8 tiles out of shared memory: lane i names row i % 8 (16 aligned bytes) of tile i / 8. A lane gets elements
/// [lane / 4][lane % 4 * 2, + 1] of each tile.
__device__ inline void load_tiles(std::uint32_t (&tiles)[4], const Bf16* row) {
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(address)
                 : "memory");
}

/// The same of the transposed tiles: elements [lane % 4 * 2, + 1][lane / 4].
__device__ inline void load_tiles_transposed(std::uint32_t (&tiles)[4], const Bf16* row) {
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(address)
                 : "memory");
}

/// c += a b, a [16, 16], b [16, 8], c [16, 8]. With g = lane / 4, t = lane % 4 a lane holds of a the tiles at (0, 0),
/// (8, 0), (0, 8), (8, 8), of b those at (0, 0), (8, 0) transposed, and c[g][2 t, + 1], c[g + 8][2 t, + 1].
__device__ inline void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace folio::cuda
