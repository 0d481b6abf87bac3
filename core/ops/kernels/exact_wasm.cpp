#include <wasm_simd128.h>

#define FOLIO_SET exact_wasm
#define FOLIO_LANES 4
#include "core/ops/kernels/vectors.inl"

namespace folio {
namespace exact_wasm {
namespace {

/// SIMD128 multiplies bytes slowly and pairs of i16 well, so both sides are widened beforehand.
struct DotI16 {
    static constexpr int group = 2, depth_step = 2, a_size = 2, b_size = 2, rows = 4, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) { return sum + (Ints)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b); }
};

}  // namespace
}  // namespace exact_wasm
}  // namespace folio

#define FOLIO_DOT_U7S8 DotI16
#define FOLIO_DOT_I16 DotI16
#include "core/ops/kernels/integer.inl"

namespace folio {

extern const IntegerKernels integers_wasm;
const IntegerKernels integers_wasm = exact_wasm::integers;

}  // namespace folio
