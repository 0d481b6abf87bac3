#include "bench/peak.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace folio::bench {
namespace {

/// A loop and how many operations one round of it is.
struct Loop {
    void (*run)(long rounds) = nullptr;
    double flops_per_round = 0;
};

volatile float sink;

/// Enough independent chains to hide the latency, few enough to stay in registers.
constexpr int chains = 12;

template <class Vector>
[[gnu::always_inline]] inline void multiply_add(long rounds) {
    constexpr int lanes = sizeof(Vector) / sizeof(float);
    Vector sums[chains], factor = Vector{} + 0.999f, term = Vector{} + sink;
    for (int i = 0; i < chains; ++i) sums[i] = Vector{} + static_cast<float>(i);
    for (; rounds > 0; --rounds) {
#pragma GCC unroll 12
        for (int i = 0; i < chains; ++i) sums[i] = sums[i] * factor + term;
    }
    for (const Vector& sum : sums) sink = sum[0] + sum[lanes - 1];
}

template <class Vector>
constexpr double flops = 2.0 * chains * sizeof(Vector) / sizeof(float);

using Vector4 = float __attribute__((vector_size(16)));
void portable(long rounds) { multiply_add<Vector4>(rounds); }

#if defined(__x86_64__)
using Vector8 = float __attribute__((vector_size(32)));
using Vector16 = float __attribute__((vector_size(64)));

__attribute__((target("avx2,fma"))) void avx2(long rounds) { multiply_add<Vector8>(rounds); }
__attribute__((target("avx512f,fma,prefer-vector-width=512"))) void avx512(long rounds) {
    multiply_add<Vector16>(rounds);
}

/// Four tiles of sums, as a 2 x 2 product has them. The permission has been asked for by the set's `supported`; the
/// shape stays loaded, as it is the set's own, which it loads but once a thread.
__attribute__((target("amx-tile,amx-bf16"))) void amx(long rounds) {
    struct Shape {
        unsigned char palette, start_row, reserved[14];
        unsigned short bytes[16];
        unsigned char rows[16];
    };
    // Static, since GCC 12 believes that the instruction reads just the first eight bytes.
    static const Shape shape{1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&shape);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (; rounds > 0; --rounds) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}
#endif

Loop loop_of([[maybe_unused]] std::string_view set, [[maybe_unused]] Precision precision) {
#if defined(__x86_64__)
    if (precision == Precision::bf16) return set == "amx" ? Loop{amx, 4 * 2.0 * 16 * 16 * 32} : Loop{};
    if (set == "avx512" || set == "amx") return {avx512, flops<Vector16>};
    if (set == "avx2") return {avx2, flops<Vector8>};
#endif
    return set == "portable" ? Loop{portable, flops<Vector4>} : Loop{};
}

}  // namespace

double register_peak(std::string_view set, Precision precision, Parallel& parallel) {
    const Loop loop = loop_of(set, precision);
    if (!loop.run) return 0;
    constexpr long rounds = 100'000;
    double best = 0;
    for (int i = 0; i < 5; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        parallel.each(parallel.width(), [&](int, int) { loop.run(rounds); });
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
        best = std::max(best, loop.flops_per_round * rounds * parallel.width() / time.count() * 1e-9);
    }
    return best;
}

}  // namespace folio::bench
