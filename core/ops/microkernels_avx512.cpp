#define FOLIO_SET avx512
#define FOLIO_LANES 16
#define FOLIO_TILE_ROWS 6
#define FOLIO_TILE_VECTORS 4
#define FOLIO_DEPTH_BLOCK 128
#define FOLIO_ROW_BLOCK 258
#include "core/ops/microkernels.inl"

namespace folio {
namespace avx512 {
namespace {

bool supported() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

}  // namespace
}  // namespace avx512

extern const Microkernels microkernels_avx512;
const Microkernels microkernels_avx512 = avx512::table("avx512", avx512::supported, nullptr);

}  // namespace folio
