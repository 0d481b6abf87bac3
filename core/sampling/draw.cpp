#include "core/sampling/draw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/elementary.h"
#include "core/base/philox.h"

namespace folio {

bool softmax(std::span<const float> logits, int excluded, std::span<double> probability) {
    const int size = static_cast<int>(logits.size());
    double highest = -HUGE_VAL;
    for (int id = 0; id < size; ++id) {
        if (id == excluded) continue;
        if (!std::isfinite(logits[id])) return false;
        highest = std::max(highest, static_cast<double>(logits[id]));
    }
    double total = 0;
    for (int id = 0; id < size; ++id) {
        probability[id] = id == excluded ? 0 : elementary::exp(logits[id] - highest);
        total += probability[id];
    }
    for (int id = 0; id < size; ++id) probability[id] /= total;
    return true;
}

Opinion opinion(std::span<const double> probability, int excluded) {
    Opinion result;
    std::array<double, Opinion::runners> top{};
    for (int id = 0; id < static_cast<int>(probability.size()); ++id) {
        if (id == excluded) continue;
        const double p = probability[id];
        if (p > 0) result.entropy -= p * elementary::log(p);
        int rank = Opinion::runners;
        while (rank > 0 && (result.top_id[rank - 1] < 0 || p > top[rank - 1])) --rank;
        if (rank == Opinion::runners) continue;
        for (int below = Opinion::runners - 1; below > rank; --below) {
            top[below] = top[below - 1];
            result.top_id[below] = result.top_id[below - 1];
        }
        top[rank] = p;
        result.top_id[rank] = id;
    }
    for (int rank = 0; rank < Opinion::runners; ++rank) result.top_probability[rank] = static_cast<float>(top[rank]);
    result.confidence = top[0];
    result.margin = top[0] - top[1];
    return result;
}

int draw(std::span<const float> logits, int excluded, const SamplingOptions& options, std::uint32_t word) {
    struct Choice {
        int id;
        double weight;
    };
    std::vector<Choice> choices;
    choices.reserve(logits.size());
    int likeliest = -1;
    for (int id = 0; id < static_cast<int>(logits.size()); ++id) {
        if (id == excluded) continue;
        if (likeliest < 0 || logits[id] > logits[likeliest]) likeliest = id;
        choices.push_back({id, 0});
    }
    if (options.temperature == 0) return likeliest;

    const bool cut = options.top_k > 0 && options.top_k < static_cast<int>(choices.size());
    if (cut || options.top_p < 1) {
        std::sort(choices.begin(), choices.end(), [&](const Choice& a, const Choice& b) {
            return logits[a.id] != logits[b.id] ? logits[a.id] > logits[b.id] : a.id < b.id;
        });
        if (cut) choices.resize(options.top_k);
    }
    double total = 0;
    for (Choice& choice : choices) {
        choice.weight =
            elementary::exp((static_cast<double>(logits[choice.id]) - logits[likeliest]) / options.temperature);
        total += choice.weight;
    }
    if (options.top_p < 1) {
        const double enough = options.top_p * total;
        std::size_t kept = 0;
        total = 0;
        do {
            total += choices[kept++].weight;
        } while (total < enough && kept < choices.size());
        choices.resize(kept);
    }
    std::sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) { return a.id < b.id; });

    const double threshold = uniform(word) * total;
    double mass = 0;
    for (const Choice& choice : choices) {
        mass += choice.weight;
        if (mass > threshold) return choice.id;
    }
    return likeliest;  // rounding left the sum in this order a little below the other
}

}  // namespace folio
