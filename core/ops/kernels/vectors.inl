// What the kernels of a set are written with: vectors of FOLIO_LANES floats, partial loads, the one order of sums, exp.
// An instruction set's file defines
//   FOLIO_SET (a namespace), FOLIO_LANES (floats per vector), and FOLIO_MADD(a, b, c) where a fused multiply-add has to
//   be asked for,
// and includes f32.inl, integer.inl or both. No std:: code is instantiated here: the linker might keep the copy made
// for the widest set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/ops/kernels/microkernels.h"
#include "core/ops/kernels/unroll.h"

#ifndef FOLIO_MADD
#define FOLIO_MADD(a, b, c) ((a) * (b) + (c))
#endif

namespace folio {
namespace FOLIO_SET {
namespace {

constexpr int lanes = FOLIO_LANES;

typedef float Floats __attribute__((vector_size(FOLIO_LANES * 4)));
typedef std::int32_t Ints __attribute__((vector_size(FOLIO_LANES * 4)));
typedef float LooseFloats __attribute__((vector_size(FOLIO_LANES * 4), aligned(4), may_alias));

inline Floats load(const float* p) { return *reinterpret_cast<const LooseFloats*>(p); }
inline void store(float* p, Floats v) { *reinterpret_cast<LooseFloats*>(p) = v; }
inline Floats splat(float x) { return x - Floats{}; }  // not 0 + x, which would have to turn -0 into 0

// A NaN in x stays: the trainer checks losses and gradients for it.
inline Floats at_least(Floats bound, Floats x) { return bound > x ? bound : x; }
inline Floats at_most(Floats bound, Floats x) { return bound < x ? bound : x; }

inline Floats square_root(Floats v) {
    float x[lanes];
    std::memcpy(x, &v, sizeof v);
    for (int i = 0; i < lanes; ++i) x[i] = __builtin_sqrtf(x[i]);
    std::memcpy(&v, x, sizeof v);
    return v;
}

/// Loads n < lanes floats, zeros behind them.
inline Floats load_part(const float* p, int n) {
    float x[lanes] = {};
    for (int i = 0; i < n; ++i) x[i] = p[i];
    Floats v;
    std::memcpy(&v, x, sizeof v);
    return v;
}

inline void store_part(float* p, Floats v, int n) {
    float x[lanes];
    std::memcpy(x, &v, sizeof v);
    for (int i = 0; i < n; ++i) p[i] = x[i];
}

/// out = f(in) over n elements, vector by vector.
template <class F>
inline void map(float* out, const float* in, int n, F f) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) store(out + i, f(load(in + i)));
    if (i < n) store_part(out + i, f(load_part(in + i, n - i)), n - i);
}

template <class F>
inline void map(float* out, const float* a, const float* b, int n, F f) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) store(out + i, f(load(a + i), load(b + i)));
    if (i < n) store_part(out + i, f(load_part(a + i, n - i), load_part(b + i, n - i)), n - i);
}

/// A sum in one order on every set: number i goes to lane i % 16, then lane j takes in lane j + 8, j + 4, j + 2, j + 1.
struct Sum {
    static constexpr int parts = 16 / lanes;
    Floats part[parts] = {};

    float total() const {
        float lane[16];
        std::memcpy(lane, part, sizeof lane);
        for (int half = 8; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
        return lane[0];
    }
};

/// The sum of f(sum so far, i, count) over n elements: f takes the vector at i, of which `count` elements are there.
template <class F>
inline float reduce(int n, F f) {
    Sum sum;
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        FOLIO_UNROLL for (int p = 0; p < Sum::parts; ++p) sum.part[p] = f(sum.part[p], i + p * lanes, lanes);
    }
    FOLIO_UNROLL for (int p = 0; p < Sum::parts; ++p) {
        const int left = n - i - p * lanes;
        if (left > 0) sum.part[p] = f(sum.part[p], i + p * lanes, left < lanes ? left : lanes);
    }
    return sum.total();
}

inline Floats load(const float* p, int count) { return count == lanes ? load(p) : load_part(p, count); }
inline void store(float* p, Floats v, int count) {
    if (count == lanes)
        store(p, v);
    else
        store_part(p, v, count);
}

/// exp by 2^n times a polynomial of degree 6 on [-ln 2 / 2, ln 2 / 2]; relative error about 1e-7, 0 below -87.
inline Floats exponential(Floats x) {
    const Floats clamped = at_most(splat(88.f), at_least(splat(-87.f), x));
    const Floats magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
    const Floats biased = FOLIO_MADD(clamped, splat(1.44269504088896341f), magic);
    const Floats n = biased - magic;
    Floats r = FOLIO_MADD(n, splat(-0.693359375f), clamped);
    r = FOLIO_MADD(n, splat(2.12194440e-4f), r);
    Floats p = splat(1.9875691500e-4f);
    p = FOLIO_MADD(p, r, splat(1.3981999507e-3f));
    p = FOLIO_MADD(p, r, splat(8.3334519073e-3f));
    p = FOLIO_MADD(p, r, splat(4.1665795894e-2f));
    p = FOLIO_MADD(p, r, splat(1.6666665459e-1f));
    p = FOLIO_MADD(p, r, splat(5.0000001201e-1f));
    p = FOLIO_MADD(p, r * r, r + 1.f);
    Ints bits, exponent;
    std::memcpy(&bits, &p, sizeof bits);
    std::memcpy(&exponent, &biased, sizeof exponent);
    bits += (exponent - 0x4B400000) << 23;
    std::memcpy(&p, &bits, sizeof p);
    return x < splat(-87.f) ? Floats{} : p + (clamped - clamped);
}

}  // namespace
}  // namespace FOLIO_SET
}  // namespace folio
