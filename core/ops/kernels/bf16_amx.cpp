// bf16 products on AMX tiles.

#include <immintrin.h>

#include "core/ops/kernels/amx_tiles.h"
#include "core/ops/kernels/bf16_panels.inl"
#include "core/ops/kernels/microkernels.h"

namespace folio {
namespace amx {
namespace {

constexpr int side = 32;  // rows and columns of a product tile: 2 x 2 hardware tiles of 16 x 16

void tile_bf16(float* c, const void* a, const void* b, int depth, bool accumulate) {
    configure();
    const int bytes = side * 4;
    if (accumulate) {
        _tile_loadd(0, c, bytes);
        _tile_loadd(1, c + 16, bytes);
        _tile_loadd(2, c + 16 * side, bytes);
        _tile_loadd(3, c + 16 * side + 16, bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    const char *left = static_cast<const char*>(a), *right = static_cast<const char*>(b);
    for (int k = 0; k < depth; k += bf16_step, left += 2 * bf16_block, right += 2 * bf16_block) {
        _tile_loadd(4, left, 64);
        _tile_loadd(6, right, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, right + bf16_block, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, left + bf16_block, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, bytes);
    _tile_stored(1, c + 16, bytes);
    _tile_stored(2, c + 16 * side, bytes);
    _tile_stored(3, c + 16 * side + 16, bytes);
}

}  // namespace
}  // namespace amx

extern const Product bf16_amx;
const Product bf16_amx{
    amx::side,      amx::side, bf16_step, 512, 128, 2, pack_bf16<amx::side, true>, pack_bf16<amx::side, false>,
    amx::tile_bf16, nullptr};

}  // namespace folio
