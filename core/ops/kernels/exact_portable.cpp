// The exact path by the compiler's vectors alone: what every other set is held against, and NEON on ARM.

#define FOLIO_SET exact_portable
#define FOLIO_LANES 4
#define FOLIO_TILE_ROWS 4
#define FOLIO_TILE_VECTORS 2
#define FOLIO_DEPTH_BLOCK 256
#define FOLIO_ROW_BLOCK 48
#include "core/ops/kernels/f32.inl"

namespace folio {
namespace exact_portable {
namespace {

typedef std::int16_t Shorts __attribute__((vector_size(16)));

struct DotU7S8 {
    static constexpr int group = 4, depth_step = 4, a_size = 1, b_size = 1, rows = 4, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) {
        const Shorts left = (Shorts)a, right = (Shorts)b;
        // Two products of 127 * 128 at most: their sum stays within 16 bits.
        const Shorts pairs = (left & 0xFF) * ((right << 8) >> 8) + (left >> 8) * (right >> 8);
        const Ints words = (Ints)pairs;
        return sum + ((words << 16) >> 16) + (words >> 16);
    }
};

struct DotI16 {
    static constexpr int group = 2, depth_step = 2, a_size = 2, b_size = 2, rows = 4, vectors = 2;
    static Ints add(Ints sum, Ints a, Ints b) {
        return sum + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);  // the halves of every word
    }
};

}  // namespace
}  // namespace exact_portable
}  // namespace folio

#define FOLIO_DOT_U7S8 DotU7S8
#define FOLIO_DOT_I16 DotI16
#include "core/ops/kernels/integer.inl"

namespace folio {

extern const Microkernels uncontracted_portable;
const Microkernels uncontracted_portable = exact_portable::table;
extern const IntegerKernels integers_portable;
const IntegerKernels integers_portable = exact_portable::integers;

}  // namespace folio
