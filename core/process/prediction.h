#pragma once

#include <array>
#include <span>

#include "core/base/result.h"

namespace folio {

/// Failure of a model whose logits are not finite.
inline tl::unexpected<Error> not_finite() {
    return tl::unexpected<Error>(Error{"The model's outputs are not finite; its weights are damaged.", true});
}

/// softmax of one row of logits with id `excluded` ([MASK]; -1: none) left out, that is 0; temperature > 0. One fixed
/// order and our own exp, so that every target gets the same bits. False where a logit is not finite.
bool softmax(std::span<const float> logits, int excluded, std::span<double> probability, double temperature = 1);

/// -log softmax(logits)[id] in nats, also where that probability is 0 in f64. The logits are finite.
double nll(std::span<const float> logits, int id);

/// Prediction of one position by one pass, at temperature 1.
struct Prediction {
    static constexpr int top_kept = 4;

    double confidence = 0;                             // probability of the most likely character
    double margin = 0;                                 // its lead over the second
    double entropy = 0;                                // nats
    std::array<int, top_kept> top_id{-1, -1, -1, -1};  // the most likely, -1 where the vocabulary is smaller
    std::array<float, top_kept> top_probability{};
};

/// Ties go to the lowest id.
Prediction summarize(std::span<const double> probability, int excluded);

/// A score on a grid of 2^-16, by which orders of revealing compare: what lies closer together differs by rounding
/// alone. In a text without any character every position truly ties, and the order of a machine's sums must not decide
/// there.
double round_for_ties(double score);

}  // namespace folio
