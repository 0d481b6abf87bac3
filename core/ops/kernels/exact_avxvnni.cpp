#include <immintrin.h>

#define FOLIO_SET exact_avxvnni
#define FOLIO_LANES 8
#include "core/ops/kernels/vectors.inl"

namespace folio {
namespace exact_avxvnni {
namespace {

inline __m256i as_bits(Ints v) { return reinterpret_cast<__m256i>(v); }
inline Ints as_ints(__m256i v) { return reinterpret_cast<Ints>(v); }
inline Ints load_bytes(const char* p) { return as_ints(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }

struct DotU7S8 {
    static constexpr int group = 4, a_size = 1, b_size = 1, rows = 6, vectors = 2;
    static Ints load(const char* b) { return load_bytes(b); }
    static Ints add(Ints sum, Ints a, Ints b) { return as_ints(_mm256_dpbusd_avx_epi32(as_bits(sum), as_bits(a), as_bits(b))); }
};

struct DotI16 {
    static constexpr int group = 2, a_size = 2, b_size = 2, rows = 6, vectors = 2;
    static Ints load(const char* b) { return load_bytes(b); }
    static Ints add(Ints sum, Ints a, Ints b) { return as_ints(_mm256_dpwssd_avx_epi32(as_bits(sum), as_bits(a), as_bits(b))); }
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
