// The relaxed product of bytes in two forms, on weights packed alike. Where the CPU has VNNI the first is one
// instruction; elsewhere the second is the faster.

#include <wasm_simd128.h>

#define FOLIO_SET exact_wasm_relaxed
#define FOLIO_LANES 4
#include "core/ops/kernels/vectors.inl"

namespace folio {
namespace exact_wasm_relaxed {
namespace {

struct DotU7S8 {
    static constexpr int group = 4, depth_step = 4, a_size = 1, b_size = 1, rows = 6, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) {
        return (Ints)wasm_i32x4_relaxed_dot_i8x16_i7x16_add((v128_t)b, (v128_t)a, (v128_t)sum);
    }
};

struct DotU7S8InPairs : DotU7S8 {
    static constexpr int rows = 4;
    static Ints add(Ints sum, Ints a, Ints b) {
        const v128_t pairs = wasm_i16x8_relaxed_dot_i8x16_i7x16((v128_t)b, (v128_t)a);
        return sum + (Ints)wasm_i32x4_dot_i16x8(pairs, wasm_i16x8_const_splat(1));
    }
};

struct DotI16 {
    static constexpr int group = 2, depth_step = 2, a_size = 2, b_size = 2, rows = 4, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) { return sum + (Ints)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b); }
};

}  // namespace
}  // namespace exact_wasm_relaxed
}  // namespace folio

#define FOLIO_DOT_U7S8 DotU7S8
#define FOLIO_DOT_I16 DotI16
#include "core/ops/kernels/integer.inl"

namespace folio {
namespace exact_wasm_relaxed {
namespace {

constexpr IntegerKernels in_pairs() {
    IntegerKernels kernels = integers;
    kernels.u7s8 = integer_product<DotU7S8InPairs>;
    return kernels;
}

}  // namespace
}  // namespace exact_wasm_relaxed

extern const IntegerKernels integers_wasm_relaxed, integers_wasm_relaxed_i16;
const IntegerKernels integers_wasm_relaxed = exact_wasm_relaxed::integers;
const IntegerKernels integers_wasm_relaxed_i16 = exact_wasm_relaxed::in_pairs();

}  // namespace folio
