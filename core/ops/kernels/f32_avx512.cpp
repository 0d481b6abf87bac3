#define FOLIO_SET avx512
#define FOLIO_LANES 16
#define FOLIO_TILE_ROWS 6
#define FOLIO_TILE_VECTORS 4
#define FOLIO_DEPTH_BLOCK 128
#define FOLIO_ROW_BLOCK 258
#include "core/ops/kernels/f32.inl"

namespace folio {

extern const Microkernels microkernels_avx512;
const Microkernels microkernels_avx512 = avx512::table;

}  // namespace folio
