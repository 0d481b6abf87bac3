#include <immintrin.h>

#define FOLIO_SET exact_avx512
#define FOLIO_LANES 16
#define FOLIO_TILE_ROWS 6
#define FOLIO_TILE_VECTORS 4
#define FOLIO_DEPTH_BLOCK 128
#define FOLIO_ROW_BLOCK 258
#include "core/ops/kernels/f32.inl"

namespace folio {
namespace exact_avx512 {
namespace {

struct DotU7S8 {
    static constexpr int group = 4, depth_step = 64, a_size = 1, b_size = 1, rows = 8, vectors = 3;
    static Ints add(Ints sum, Ints a, Ints b) {
        // Two products of 127 * 128 at most: nothing saturates.
        return sum + (Ints)_mm512_madd_epi16(_mm512_maddubs_epi16((__m512i)a, (__m512i)b), _mm512_set1_epi16(1));
    }
};

struct DotI16 {
    static constexpr int group = 2, depth_step = 2, a_size = 2, b_size = 2, rows = 8, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) { return sum + (Ints)_mm512_madd_epi16((__m512i)a, (__m512i)b); }
};

}  // namespace
}  // namespace exact_avx512
}  // namespace folio

#define FOLIO_DOT_U7S8 DotU7S8
#define FOLIO_DOT_I16 DotI16
#include "core/ops/kernels/integer.inl"

namespace folio {

extern const Microkernels uncontracted_avx512;
const Microkernels uncontracted_avx512 = exact_avx512::table;
extern const IntegerKernels integers_avx512;
const IntegerKernels integers_avx512 = exact_avx512::integers;

}  // namespace folio
