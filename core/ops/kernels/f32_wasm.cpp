#define FOLIO_SET wasm
#define FOLIO_LANES 4
#define FOLIO_TILE_ROWS 3
#define FOLIO_TILE_VECTORS 3
#define FOLIO_DEPTH_BLOCK 256
#define FOLIO_ROW_BLOCK 48
#include "core/ops/kernels/f32.inl"

namespace folio {

extern const Microkernels microkernels_wasm;
const Microkernels microkernels_wasm = wasm::table;

}  // namespace folio
