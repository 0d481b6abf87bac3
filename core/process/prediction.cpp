#include "core/process/prediction.h"

#include <algorithm>
#include <cmath>

#include "core/base/elementary.h"

namespace folio {

bool softmax(std::span<const float> logits, int excluded, std::span<double> probability, double temperature) {
    const int size = static_cast<int>(logits.size());
    double highest = -HUGE_VAL;
    for (int id = 0; id < size; ++id) {
        if (id == excluded) continue;
        if (!std::isfinite(logits[id])) return false;
        highest = std::max(highest, static_cast<double>(logits[id]));
    }
    double total = 0;
    for (int id = 0; id < size; ++id) {
        probability[id] = id == excluded ? 0 : elementary::exp((logits[id] - highest) / temperature);
        total += probability[id];
    }
    for (int id = 0; id < size; ++id) probability[id] /= total;
    return true;
}

Prediction summarize(std::span<const double> probability, int excluded) {
    Prediction result;
    std::array<double, Prediction::top_kept> top{};
    for (int id = 0; id < static_cast<int>(probability.size()); ++id) {
        if (id == excluded) continue;
        const double p = probability[id];
        if (p > 0) result.entropy -= p * elementary::log(p);
        int rank = Prediction::top_kept;
        while (rank > 0 && (result.top_id[rank - 1] < 0 || p > top[rank - 1])) --rank;
        if (rank == Prediction::top_kept) continue;
        for (int below = Prediction::top_kept - 1; below > rank; --below) {
            top[below] = top[below - 1];
            result.top_id[below] = result.top_id[below - 1];
        }
        top[rank] = p;
        result.top_id[rank] = id;
    }
    for (int rank = 0; rank < Prediction::top_kept; ++rank)
        result.top_probability[rank] = static_cast<float>(top[rank]);
    result.confidence = top[0];
    result.margin = top[0] - top[1];
    return result;
}

double nll(std::span<const float> logits, int id) {
    const double highest = *std::max_element(logits.begin(), logits.end());
    double total = 0;
    for (const float logit : logits) total += elementary::exp(logit - highest);
    return highest - logits[id] + elementary::log(total);
}

double round_for_ties(double score) { return std::floor(score * 65536 + 0.5); }

}  // namespace folio
