#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "core/base/host_device.h"

/// exp, log, sin and cos made of + - * / alone, so that every compiler and machine that leaves IEEE doubles
/// uncontracted gets the same bits; the C library's differ between glibc and WebAssembly. Good to 5e-16 relative.
namespace folio::elementary {

/// e^x. Results that would be subnormal are 0, those beyond the range infinity.
FOLIO_HOST_DEVICE inline double exp(double x) {
    if (!(x > -708.0)) return x != x ? x : 0.0;
    if (x > 709.0) return std::numeric_limits<double>::infinity();
    // x = k ln 2 + r, |r| <= ln 2 / 2. ln 2 in two parts: the first has so few bits that k times it is exact.
    const int k = static_cast<int>(x * 1.4426950408889634 + (x < 0 ? -0.5 : 0.5));
    const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double sum = 1.0 / 6227020800.0;  // Taylor's series up to r^13 / 13!
    sum = sum * r + 1.0 / 479001600.0;
    sum = sum * r + 1.0 / 39916800.0;
    sum = sum * r + 1.0 / 3628800.0;
    sum = sum * r + 1.0 / 362880.0;
    sum = sum * r + 1.0 / 40320.0;
    sum = sum * r + 1.0 / 5040.0;
    sum = sum * r + 1.0 / 720.0;
    sum = sum * r + 1.0 / 120.0;
    sum = sum * r + 1.0 / 24.0;
    sum = sum * r + 1.0 / 6.0;
    sum = sum * r + 0.5;
    sum = sum * r + 1.0;
    sum = sum * r + 1.0;
    return sum * std::bit_cast<double>(static_cast<std::uint64_t>(k + 1023) << 52);
}

/// The natural logarithm; -infinity at 0, not a number below.
FOLIO_HOST_DEVICE inline double log(double x) {
    if (!(x > 0)) return x == 0 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
    if (x == std::numeric_limits<double>::infinity()) return x;
    int k = 0;
    if (x < std::numeric_limits<double>::min()) {
        x *= 18014398509481984.0;  // 2^54: subnormals become normal
        k = -54;
    }
    const auto bits = std::bit_cast<std::uint64_t>(x);
    k += static_cast<int>(bits >> 52) - 1023;
    double m = std::bit_cast<double>((bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        ++k;
    }
    // log m = 2 artanh s with |s| <= 0.172: its series up to s^23 / 23.
    const double s = (m - 1.0) / (m + 1.0), s2 = s * s;
    double sum = 1.0 / 23.0;
    for (int odd = 21; odd >= 1; odd -= 2) sum = sum * s2 + 1.0 / odd;
    return k * 6.93147180369123816490e-01 + (2.0 * s * sum + k * 1.90821492927058770002e-10);
}

/// Both at once, for |x| up to 1e6.
FOLIO_HOST_DEVICE inline void sin_cos(double x, double& sine, double& cosine) {
    // x = k pi / 2 + r, |r| <= pi / 4; pi / 2 in three parts, of which k times the first two is exact.
    const auto k = static_cast<std::int64_t>(x * 0.63661977236758134 + (x < 0 ? -0.5 : 0.5));
    const auto turns = static_cast<double>(k);
    const double r = ((x - turns * 1.57079632673412561417e+00) - turns * 6.07710050630396597660e-11) -
                     turns * 2.02226624879595063154e-21;
    const double square = r * r;
    double s = 0, c = 0;  // Taylor's series up to r^19 / 19! and r^18 / 18!
    for (int n = 18; n >= 2; n -= 2) {
        s = -(1.0 + s) * square / (n * (n + 1));
        c = -(1.0 + c) * square / (n * (n - 1));
    }
    s = r * (1.0 + s);
    c = 1.0 + c;
    const bool odd = k & 1;
    sine = odd ? c : s;
    cosine = odd ? s : c;
    if (k & 2) sine = -sine;
    if ((k + 1) & 2) cosine = -cosine;
}

}  // namespace folio::elementary
