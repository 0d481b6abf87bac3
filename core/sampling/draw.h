#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/sampling/defaults.h"

namespace folio {

/// softmax of one row of logits at temperature 1 with id `excluded` ([MASK]; -1: none) left out, that is 0. One fixed
/// order and our own exp, so that every target gets the same bits. False where a logit is not finite.
bool softmax(std::span<const float> logits, int excluded, std::span<double> probability);

/// What one pass says about one place, all at temperature 1.
struct Opinion {
    static constexpr int runners = 4;

    double confidence = 0;  // probability of the likeliest character
    double margin = 0;      // its lead over the second
    double entropy = 0;     // nats
    std::array<int, runners> top_id{-1, -1, -1, -1};  // the likeliest, -1 where the vocabulary is smaller
    std::array<float, runners> top_probability{};
};

/// Ties go to the lowest id.
Opinion opinion(std::span<const double> probability, int excluded);

/// A character out of a row of logits: temperature, then top-k, then top-p (the smallest set with that share of what is
/// left), then the inverse of the distribution function, ids ascending, at the 32-bit uniform `word`. Temperature 0 takes
/// the likeliest. Ties go to the lowest id; `excluded` is never drawn.
int draw(std::span<const float> logits, int excluded, const SamplingOptions& options, std::uint32_t word);

}  // namespace folio
