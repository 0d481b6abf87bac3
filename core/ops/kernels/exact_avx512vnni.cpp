// VNNI, and AMX for the products of the linear layers: a tile of A is sixteen rows as they lie.

#include <immintrin.h>

#include "core/ops/kernels/amx_tiles.h"

#define FOLIO_SET exact_avx512vnni
#define FOLIO_LANES 16
#include "core/ops/kernels/vectors.inl"

namespace folio {
namespace exact_avx512vnni {
namespace {

struct DotU7S8 {
    static constexpr int group = 4, a_size = 1, b_size = 1, rows = 8, vectors = 3;
    static Ints add(Ints sum, Ints a, Ints b) { return (Ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b); }
};

struct DotI16 {
    static constexpr int group = 2, a_size = 2, b_size = 2, rows = 12, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) { return (Ints)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b); }
};

}  // namespace
}  // namespace exact_avx512vnni
}  // namespace folio

#define FOLIO_DOT_U7S8 DotU7S8
#define FOLIO_DOT_I16 DotI16
#include "core/ops/kernels/integer.inl"

namespace folio {
namespace exact_avx512vnni {
namespace {

constexpr int side = 32;   // rows and columns of a product tile: 2 x 2 hardware tiles of 16 x 16
constexpr int step = 64;   // bytes of depth in one hardware tile

void tile_amx(std::int32_t* c, std::ptrdiff_t c_stride, const void* a, std::ptrdiff_t a_stride, const void* b, int depth) {
    amx::configure();
    constexpr int bytes = side * 4;
    const std::ptrdiff_t c_bytes = c_stride * 4;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const char *left = static_cast<const char*>(a), *right = static_cast<const char*>(b);
    const char* lower = left + 16 * a_stride;
    for (int k = 0; k < depth; k += step, left += step, lower += step, right += step * side) {
        _tile_loadd(4, left, a_stride);
        _tile_loadd(6, right, bytes);
        _tile_dpbusd(0, 4, 6);
        _tile_loadd(7, right + 64, bytes);
        _tile_dpbusd(1, 4, 7);
        _tile_loadd(5, lower, a_stride);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    _tile_stored(0, c, c_bytes);
    _tile_stored(1, c + 16, c_bytes);
    _tile_stored(2, c + 16 * c_stride, c_bytes);
    _tile_stored(3, c + 16 * c_stride + 16, c_bytes);
}

constexpr IntegerKernels with_amx() {
    IntegerKernels kernels = integers;
    kernels.u7s8 = {side, side, 4, step, 1, 1, tile_amx};
    return kernels;
}

}  // namespace
}  // namespace exact_avx512vnni

extern const IntegerKernels integers_avx512vnni, integers_amx;
const IntegerKernels integers_avx512vnni = exact_avx512vnni::integers;
const IntegerKernels integers_amx = exact_avx512vnni::with_amx();

}  // namespace folio
