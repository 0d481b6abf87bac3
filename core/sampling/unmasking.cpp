#include "core/sampling/unmasking.h"

#include <algorithm>
#include <cmath>

#include "core/base/philox.h"
#include "core/process/prediction.h"

namespace folio {

namespace {

/// Sorts by the rounded `score`, highest first.
template <class Score>
void rank(std::vector<Candidate>& candidates, Score score) {
    std::sort(candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
        const double rounded_a = round_for_ties(score(a)), rounded_b = round_for_ties(score(b));
        return rounded_a != rounded_b ? rounded_a > rounded_b : a.position < b.position;
    });
}

/// Brings the most confident candidate of each of `count` equal runs to the front.
void pick_one_of_each_run(std::vector<Candidate>& candidates, int count) {
    const auto size = static_cast<std::int64_t>(candidates.size());
    for (std::int64_t run = 0; run < count; ++run) {
        const auto first = candidates.begin() + run * size / count,
                   last = candidates.begin() + (run + 1) * size / count;
        const auto best = std::max_element(first, last, [](const Candidate& a, const Candidate& b) {
            return round_for_ties(a.confidence) < round_for_ties(b.confidence);
        });
        // Runs before this one have given up their first positions alone, and run `run` begins at or behind that.
        std::iter_swap(candidates.begin() + run, best);
    }
}

}  // namespace

double remask_probability(const SamplingOptions& options, StepBudget budget) {
    if (options.sampler != SamplerKind::remask) return 0;
    // In units of 1 / passes: 1 - alpha_s = left - 1 and alpha_t = passes - left, 0 in the first pass.
    const double hidden_after = budget.left - 1, shown_before = std::max(1, budget.passes - budget.left);
    return std::min({options.eta, hidden_after / shown_before, 1.0});
}

int select_positions(std::vector<Candidate>& candidates, const SamplingOptions& options, StepBudget budget) {
    const int size = static_cast<int>(candidates.size());
    const int count_of_pass = (size + budget.left - 1) / budget.left;
    const auto confidence = [](const Candidate& c) { return c.confidence; };
    switch (*options.sampler) {
        case SamplerKind::ancestral:
        case SamplerKind::remask: {
            // Numerator and denominator times `passes`: t passes = left, (t - s) passes = 1.
            const double reveal = (1 + remask_probability(options, budget) * (budget.passes - budget.left)) /
                                  static_cast<double>(budget.left);
            const auto end = std::stable_partition(candidates.begin(), candidates.end(),
                                                   [&](const Candidate& c) { return uniform(c.word) < reveal; });
            return static_cast<int>(end - candidates.begin());
        }
        case SamplerKind::spread: pick_one_of_each_run(candidates, count_of_pass); return count_of_pass;
        case SamplerKind::confidence: rank(candidates, confidence); return count_of_pass;
        case SamplerKind::margin: rank(candidates, [](const Candidate& c) { return c.margin; }); return count_of_pass;
        case SamplerKind::threshold: {
            rank(candidates, confidence);
            const auto end = std::stable_partition(candidates.begin(), candidates.end(),
                                                   [&](const Candidate& c) { return c.confidence >= options.tau; });
            return std::max(count_of_pass, static_cast<int>(end - candidates.begin()));
        }
        case SamplerKind::entropy: {
            rank(candidates, [](const Candidate& c) { return -c.entropy; });
            // Entropies rise, so the sum less its largest member is the sum of all before the last.
            int count = 0;
            for (double before = 0; count < size && before <= options.gamma; ++count)
                before += candidates[count].entropy;
            return std::max(count_of_pass, count);
        }
        case SamplerKind::ddpm:
        case SamplerKind::ddim:
        case SamplerKind::churn:
        case SamplerKind::left_to_right: break;  // unmask nothing
    }
    return size;
}

}  // namespace folio
