#include <immintrin.h>

#define FOLIO_SET exact_avxvnni
#define FOLIO_LANES 8
#include "core/ops/kernels/vectors.inl"

namespace folio {
namespace exact_avxvnni {
namespace {

struct DotU7S8 {
    static constexpr int group = 4, depth_step = 4, a_size = 1, b_size = 1, rows = 6, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) {
        return (Ints)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
    }
};

struct DotI16 {
    static constexpr int group = 2, depth_step = 2, a_size = 2, b_size = 2, rows = 6, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) {
        return (Ints)_mm256_dpwssd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
    }
};

}  // namespace
}  // namespace exact_avxvnni
}  // namespace folio

#define FOLIO_DOT_U7S8 DotU7S8
#define FOLIO_DOT_I16 DotI16
#include "core/ops/kernels/integer.inl"

namespace folio {

extern const IntegerKernels integers_avxvnni;
const IntegerKernels integers_avxvnni = exact_avxvnni::integers;

}  // namespace folio
