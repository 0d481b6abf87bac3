#include "core/sampling/draw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/elementary.h"
#include "core/base/philox.h"

namespace folio {

int draw(std::span<const float> logits, int excluded, const SamplingOptions& options, std::uint32_t word) {
    struct Choice {
        int id;
        double weight;
    };
    std::vector<Choice> choices;
    choices.reserve(logits.size());
    int best = -1;
    for (int id = 0; id < static_cast<int>(logits.size()); ++id) {
        if (id == excluded) continue;
        if (best < 0 || logits[id] > logits[best]) best = id;
        choices.push_back({id, 0});
    }
    if (options.temperature == 0) return best;

    const bool cut = options.top_k > 0 && options.top_k < static_cast<int>(choices.size());
    if (cut || options.top_p < 1) {
        std::sort(choices.begin(), choices.end(), [&](const Choice& a, const Choice& b) {
            return logits[a.id] != logits[b.id] ? logits[a.id] > logits[b.id] : a.id < b.id;
        });
        if (cut) choices.resize(options.top_k);
    }
    double total = 0;
    for (Choice& choice : choices) {
        choice.weight = elementary::exp((static_cast<double>(logits[choice.id]) - logits[best]) / options.temperature);
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
    return best;  // rounding left the sum in this order a little below the other
}

}  // namespace folio
