#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/elementary.h"
#include "core/base/philox.h"

namespace folio {

/// Four independent N(0, 1) out of one counter's words (Box & Muller 1958): the first two words give the first two.
FOLIO_HOST_DEVICE inline std::array<double, 4> box_muller(const Words& words) {
    std::array<double, 4> normal;
    for (int pair = 0; pair < 4; pair += 2) {
        const double radius = std::sqrt(-2.0 * elementary::log(uniform(words.word[pair])));
        double sine, cosine;
        elementary::sin_cos(6.28318530717958647692 * uniform(words.word[pair + 1]), sine, cosine);
        normal[pair] = radius * cosine;
        normal[pair + 1] = radius * sine;
    }
    return normal;
}

/// N(0, 1) for the elements of row `row` = (sample or sequence) * length + position: element i is number i % 4 of the
/// counter {row * ceil(size / 4) + i / 4, step, purpose}.
inline void normals(std::span<double> row_of_normals, std::uint64_t seed, std::uint64_t row, std::uint32_t step,
                    Purpose purpose) {
    const std::size_t size = row_of_normals.size(), width = (size + 3) / 4;
    for (std::size_t i = 0; i < size; i += 4) {
        const std::array<double, 4> four = box_muller(philox(seed, row * width + i / 4, step, purpose));
        for (std::size_t j = i; j < size && j < i + 4; ++j) row_of_normals[j] = four[j - i];
    }
}

}  // namespace folio
