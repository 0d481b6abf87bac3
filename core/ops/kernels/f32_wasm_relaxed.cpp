#include <wasm_simd128.h>

#define FOLIO_SET wasm_relaxed
#define FOLIO_LANES 4
#define FOLIO_TILE_ROWS 6
#define FOLIO_TILE_VECTORS 2
#define FOLIO_DEPTH_BLOCK 256
#define FOLIO_ROW_BLOCK 48
#define FOLIO_MADD(a, b, c) __builtin_wasm_relaxed_madd_f32x4((a), (b), (c))
#include "core/ops/kernels/f32.inl"

namespace folio {

extern const Microkernels microkernels_wasm_relaxed;
const Microkernels microkernels_wasm_relaxed = wasm_relaxed::table;

}  // namespace folio
