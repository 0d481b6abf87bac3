// bf16 products by VDPBF16PS (AVX-512 BF16: Cooper Lake, Zen 4 and later).

#include "core/ops/kernels/bf16_panels.inl"
#include "core/ops/kernels/microkernels.h"
#include "core/ops/kernels/unroll.h"

namespace folio {
namespace {

constexpr int tile_rows = 12, tile_vectors = 2, tile_cols = 16 * tile_vectors;

inline __m512bh pairs(const void* from) { return reinterpret_cast<__m512bh>(_mm512_load_si512(from)); }
inline __m512bh splat_pair(const void* from) {
    int pair;
    __builtin_memcpy(&pair, from, sizeof pair);
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
}

void tile_bf16(float* c, const void* a, const void* b, int depth, bool accumulate) {
    __m512 sums[tile_rows][tile_vectors];
    FOLIO_UNROLL for (int i = 0; i < tile_rows; ++i) {
        FOLIO_UNROLL for (int v = 0; v < tile_vectors; ++v) sums[i][v] =
            accumulate ? _mm512_loadu_ps(c + i * tile_cols + 16 * v) : _mm512_setzero_ps();
    }
    const char *left = static_cast<const char*>(a), *right = static_cast<const char*>(b);
    for (int k = 0; k < depth; k += bf16_step, left += 64 * tile_rows, right += bf16_block * tile_vectors) {
        for (int pair = 0; pair < 16; ++pair) {
            __m512bh columns[tile_vectors];
            FOLIO_UNROLL for (int v = 0; v < tile_vectors; ++v) columns[v] = pairs(right + bf16_block * v + 64 * pair);
            FOLIO_UNROLL for (int i = 0; i < tile_rows; ++i) {
                const __m512bh row = splat_pair(left + 64 * i + 4 * pair);
                FOLIO_UNROLL for (int v = 0; v < tile_vectors; ++v) sums[i][v] =
                    _mm512_dpbf16_ps(sums[i][v], columns[v], row);
            }
        }
    }
    FOLIO_UNROLL for (int i = 0; i < tile_rows; ++i) {
        FOLIO_UNROLL for (int v = 0; v < tile_vectors; ++v) _mm512_storeu_ps(c + i * tile_cols + 16 * v, sums[i][v]);
    }
}

}  // namespace

extern const Product bf16_avx512;
const Product bf16_avx512{
    tile_rows, tile_cols, bf16_step, 256, 192, 2, pack_bf16<tile_rows, true>, pack_bf16<tile_cols, false>,
    tile_bf16, nullptr};

}  // namespace folio
