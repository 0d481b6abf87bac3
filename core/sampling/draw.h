#pragma once

#include <cstdint>
#include <span>

#include "core/sampling/options.h"

namespace folio {

/// A character out of a row of logits: temperature, then top-k, then top-p (the smallest set with that share of what is
/// left), then the inverse of the distribution function, ids ascending, at the 32-bit uniform `word`. Temperature 0
/// takes the most likely. Ties go to the lowest id; `excluded` is never drawn.
int draw(std::span<const float> logits, int excluded, const SamplingOptions& options, std::uint32_t word);

}  // namespace folio
