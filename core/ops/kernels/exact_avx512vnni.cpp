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
    static constexpr int group = 4, depth_step = 64, a_size = 1, b_size = 1, rows = 8, vectors = 3;
    static Ints add(Ints sum, Ints a, Ints b) {
        return (Ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
    }
};

struct DotI16 {
    static constexpr int group = 2, depth_step = 2, a_size = 2, b_size = 2, rows = 12, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) {
        return (Ints)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
    }
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

constexpr int rows = 32, cols = 48;  // a product tile: 2 x 3 hardware tiles of 16 x 16, on panels like those of VNNI
constexpr int step = 64;             // bytes of depth in one hardware tile

void tile_amx(std::int32_t* c, std::ptrdiff_t c_stride, const void* a, std::ptrdiff_t a_stride, const void* b,
              int depth) {
    amx::configure();
    constexpr int bytes = cols * 4;
    const std::ptrdiff_t c_bytes = c_stride * 4;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    const char *upper = static_cast<const char*>(a), *right = static_cast<const char*>(b);
    const char* lower = upper + 16 * a_stride;
    for (int k = 0; k < depth; k += step, upper += step, lower += step, right += step * cols) {
        _tile_loadd(6, upper, a_stride);
        _tile_loadd(7, right, bytes);
        _tile_dpbusd(0, 6, 7);
        _tile_loadd(7, right + 64, bytes);
        _tile_dpbusd(1, 6, 7);
        _tile_loadd(7, right + 128, bytes);
        _tile_dpbusd(2, 6, 7);
        _tile_loadd(6, lower, a_stride);
        _tile_dpbusd(5, 6, 7);
        _tile_loadd(7, right + 64, bytes);
        _tile_dpbusd(4, 6, 7);
        _tile_loadd(7, right, bytes);
        _tile_dpbusd(3, 6, 7);
    }
    std::int32_t* below = c + 16 * c_stride;
    _tile_stored(0, c, c_bytes);
    _tile_stored(1, c + 16, c_bytes);
    _tile_stored(2, c + 32, c_bytes);
    _tile_stored(3, below, c_bytes);
    _tile_stored(4, below + 16, c_bytes);
    _tile_stored(5, below + 32, c_bytes);
}

constexpr IntegerKernels with_amx() {
    IntegerKernels kernels = integers;
    kernels.u7s8 = {rows, cols, 4, step, 1, 1, tile_amx};
    return kernels;
}

}  // namespace
}  // namespace exact_avx512vnni

extern const IntegerKernels integers_avx512vnni, integers_amx;
const IntegerKernels integers_avx512vnni = exact_avx512vnni::integers;
const IntegerKernels integers_amx = exact_avx512vnni::with_amx();

}  // namespace folio
