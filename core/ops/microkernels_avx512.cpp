#define FOLIO_SET avx512
#define FOLIO_LANES 16
#define FOLIO_TILE_ROWS 8
#define FOLIO_TILE_VECTORS 2
#define FOLIO_DEPTH_BLOCK 256
#define FOLIO_ROW_BLOCK 256
#include "core/ops/microkernels.inl"

namespace folio {

extern const Microkernels microkernels_avx512;
const Microkernels microkernels_avx512 = avx512::table("avx512", [] { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"); }, nullptr);

}  // namespace folio
