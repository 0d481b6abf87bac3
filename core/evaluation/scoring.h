#pragma once

#include <span>

#include "core/evaluation/likelihood.h"
#include "core/process/prediction.h"

/// Parts of the evaluations of several processes.
namespace folio {

/// Prediction of a position, and the loss of its character.
struct Scored {
    Prediction prediction;
    double nats = 0;  // -log p(target)
};

/// Prediction of a row of logits and the loss of `target`; `probability` [vocab_size] is scratch. Fails where a logit
/// is not finite.
Result<Scored> score(std::span<const float> logits, int excluded, int target, std::span<double> probability);

/// Quantile in [0, 1) of a draw: those of a window evenly spread, the windows shifted against one another by multiples
/// of the golden section.
double stratum(double offset, int window_number, int draw, int draws);

/// Turns the sums of the levels into means.
void finish_levels(Evaluation& evaluation);

}  // namespace folio
