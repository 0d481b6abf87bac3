#pragma once

#include <immintrin.h>

#include <cstddef>

/// Panels of bf16 for the kernels that multiply pairs of them (VDPBF16PS, TDPBF16PS): for every 32 of depth, blocks of
/// 16 lanes. A block of A holds a row of 64 bytes for each lane, a block of B a row for each pair of depth, its word i
/// the pair of lane i. Every file that includes this is compiled with flags of its own, so that nothing here is shared
/// between them.
namespace folio {
namespace {

constexpr int bf16_step = 32;        // depth of a block, in elements
constexpr int bf16_block = 16 * 64;  // bytes

inline __m512i to_bf16(__m512 low, __m512 high) { return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)); }

inline __mmask16 first_lanes(int n) {
    return n >= 16 ? static_cast<__mmask16>(0xFFFF) : n <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << n) - 1);
}

/// Transposes 16 rows of 16 words in registers.
inline void transpose(__m512i (&r)[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/// Sixteen lanes of depth-contiguous rows: out[lane] = 16 words, each a pair of bf16 along depth.
inline void pairs_of_rows(__m512i (&out)[16], const float* source, std::ptrdiff_t lane_stride, int count, int depth) {
    const __mmask16 low = first_lanes(depth), high = first_lanes(depth - 16);
    for (int i = 0; i < 16; ++i) {
        const float* row = source + i * lane_stride;
        out[i] = i < count ? to_bf16(_mm512_maskz_loadu_ps(low, row), _mm512_maskz_loadu_ps(high, row + 16))
                           : _mm512_setzero_si512();
    }
}

/// Thirty-two steps of depth with contiguous lanes: out[pair] = 16 words, word i the pair of lane i.
inline void pairs_of_columns(__m512i (&out)[16], const float* source, std::ptrdiff_t depth_stride, int count,
                             int depth) {
    const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                                6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __mmask16 mask = first_lanes(count);
    for (int p = 0; p < 16; ++p) {
        const __mmask16 even = 2 * p < depth ? mask : __mmask16{0}, odd = 2 * p + 1 < depth ? mask : __mmask16{0};
        const __m512 a = _mm512_maskz_loadu_ps(even, source + 2 * p * depth_stride);
        const __m512 b = _mm512_maskz_loadu_ps(odd, source + (2 * p + 1) * depth_stride);
        out[p] = _mm512_permutexvar_epi16(interleave, to_bf16(a, b));
    }
}

/// Panel of `lanes` lanes, those from `count` on being zero.
template <int lanes, bool lanes_are_rows>
void pack_bf16(void* panel, const float* source, std::ptrdiff_t lane_stride, std::ptrdiff_t depth_stride, int count,
               int depth) {
    char* out = static_cast<char*>(panel);
    for (int k = 0; k < depth; k += bf16_step) {
        for (int lane = 0; lane < lanes; lane += 16) {
            __m512i block[16];
            const float* from = source + lane * lane_stride + k * depth_stride;
            if (lane >= count) {
                for (auto& row : block) row = _mm512_setzero_si512();
            } else if (depth_stride == 1) {
                pairs_of_rows(block, from, lane_stride, count - lane, depth - k);
                if (!lanes_are_rows) transpose(block);
            } else {
                pairs_of_columns(block, from, depth_stride, count - lane, depth - k);
                if (lanes_are_rows) transpose(block);
            }
            const int rows = lanes_are_rows && lanes - lane < 16 ? lanes - lane : 16;
            for (int i = 0; i < rows; ++i, out += 64) _mm512_store_si512(out, block[i]);
        }
    }
}

}  // namespace
}  // namespace folio
