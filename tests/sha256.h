#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

namespace folio::test {

/// Lower-case hexadecimal SHA-256 (FIPS 180-4), for targets to which libcrypto is not ported.
inline std::string sha256(std::string text) {
    const auto first_bits = [](double root) {  // 32 bits of the fraction
        return static_cast<std::uint32_t>((root - std::floor(root)) * 4294967296.0);
    };
    std::array<std::uint32_t, 64> k{};
    std::array<std::uint32_t, 8> state{};
    int found = 0;
    for (int n = 2; found < 64; ++n) {
        bool prime = true;
        for (int i = 2; i * i <= n; ++i) prime = prime && n % i != 0;
        if (!prime) continue;
        if (found < 8) state[static_cast<std::size_t>(found)] = first_bits(std::sqrt(n));
        k[static_cast<std::size_t>(found++)] = first_bits(std::cbrt(n));
    }
    const std::uint64_t bits = 8 * text.size();
    text += '\x80';
    while (text.size() % 64 != 56) text += '\0';
    for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(bits >> shift);
    for (std::size_t block = 0; block < text.size(); block += 64) {
        std::array<std::uint32_t, 64> w{};
        for (std::size_t i = 0; i < 64; ++i) w[i / 4] = w[i / 4] << 8 | static_cast<unsigned char>(text[block + i]);
        for (std::size_t i = 16; i < 64; ++i) {
            const std::uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[i - 7] +
                   (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
        }
        auto [a, b, c, d, e, f, g, h] = state;
        for (std::size_t i = 0; i < 64; ++i) {
            const std::uint32_t t1 =
                h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
            const std::uint32_t t2 =
                (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
        }
        const std::uint32_t sums[] = {a, b, c, d, e, f, g, h};
        for (std::size_t i = 0; i < 8; ++i) state[i] += sums[i];
    }
    std::string hex;
    for (const std::uint32_t word : state) {
        char digits[9];
        std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(word));
        hex += digits;
    }
    return hex;
}

}  // namespace folio::test
