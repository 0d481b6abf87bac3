#include <immintrin.h>

#define FOLIO_SET exact_avx2
#define FOLIO_LANES 8
#define FOLIO_TILE_ROWS 6
#define FOLIO_TILE_VECTORS 2
#define FOLIO_DEPTH_BLOCK 256
#define FOLIO_ROW_BLOCK 258
#include "core/ops/kernels/f32.inl"

namespace folio {
namespace exact_avx2 {
namespace {

struct DotU7S8 {
    static constexpr int group = 4, depth_step = 4, a_size = 1, b_size = 1, rows = 4, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) {
        // Two products of 127 * 128 at most: nothing saturates.
        return sum + (Ints)_mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)a, (__m256i)b), _mm256_set1_epi16(1));
    }
};

struct DotI16 {
    static constexpr int group = 2, depth_step = 2, a_size = 2, b_size = 2, rows = 6, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) { return sum + (Ints)_mm256_madd_epi16((__m256i)a, (__m256i)b); }
};

}  // namespace
}  // namespace exact_avx2
}  // namespace folio

#define FOLIO_DOT_U7S8 DotU7S8
#define FOLIO_DOT_I16 DotI16
#include "core/ops/kernels/integer.inl"

namespace folio {

extern const Microkernels uncontracted_avx2;
const Microkernels uncontracted_avx2 = exact_avx2::table;
extern const IntegerKernels integers_avx2;
const IntegerKernels integers_avx2 = exact_avx2::integers;

}  // namespace folio
