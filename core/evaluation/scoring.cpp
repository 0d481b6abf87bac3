#include "core/evaluation/scoring.h"

#include <cmath>

#include "core/base/elementary.h"

namespace folio {

Result<Scored> score(std::span<const float> logits, int excluded, int target, std::span<double> probability) {
    if (!softmax(logits, excluded, probability)) return not_finite();
    // By the distance from the most likely character: the probability of a very unlikely one may be 0 in f64.
    const Prediction prediction = summarize(probability, excluded);
    const double distance = static_cast<double>(logits[prediction.top_id[0]]) - logits[target];
    return Scored{prediction, distance - elementary::log(prediction.confidence)};
}

double stratum(double offset, int window_number, int draw, int draws) {
    const double phase = offset + (draw + std::fmod(window_number * 0.6180339887498949, 1.0)) / draws;
    return phase - std::floor(phase);
}

void finish_levels(Evaluation& evaluation) {
    for (NoiseBin& level : evaluation.levels) {
        if (level.draws == 0) continue;
        level.loss /= level.draws;
        level.accuracy /= level.draws;
    }
}

}  // namespace folio
