#pragma once

#include <cstdint>

#include "core/base/philox.h"
#include "core/ops/ops.h"

namespace folio::cuda {

/// The factor of element [row, col] of a matrix `cols` wide: 0 or 1 / (1 - rate), as ops.h has it.
__device__ inline float dropout_factor(const Dropout& dropout, int row, int col, int cols) {
    const std::uint64_t at = dropout.first_row + static_cast<std::uint64_t>(row);
    const Words words =
        philox(dropout.seed, at / 8 * static_cast<std::uint64_t>(cols) + static_cast<std::uint64_t>(col), *dropout.step,
               dropout.purpose);
    const auto pair = static_cast<unsigned>(at % 8 / 2);
    const std::uint32_t word = pair == 0   ? words.word[0]
                               : pair == 1 ? words.word[1]
                               : pair == 2 ? words.word[2]
                                           : words.word[3];
    const std::uint32_t bits = word >> at % 2 * 16 & 0xffffu;
    return bits >= dropout_limit(dropout.rate) ? 1.f / (1.f - dropout.rate) : 0.f;
}

}  // namespace folio::cuda
