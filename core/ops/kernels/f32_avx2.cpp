#define FOLIO_SET avx2
#define FOLIO_LANES 8
#define FOLIO_TILE_ROWS 6
#define FOLIO_TILE_VECTORS 2
#define FOLIO_DEPTH_BLOCK 256
#define FOLIO_ROW_BLOCK 258
#include "core/ops/kernels/f32.inl"

namespace folio {

extern const Microkernels microkernels_avx2;
const Microkernels microkernels_avx2 = avx2::table;

}  // namespace folio
