#define FOLIO_SET portable
#define FOLIO_LANES 4
#define FOLIO_TILE_ROWS 4
#define FOLIO_TILE_VECTORS 2
#define FOLIO_DEPTH_BLOCK 256
#define FOLIO_ROW_BLOCK 48
#include "core/ops/kernels/f32.inl"

namespace folio {

extern const Microkernels microkernels_portable;
const Microkernels microkernels_portable = portable::table;

}  // namespace folio
