#pragma once

#include <cstdint>
#include <vector>

#include "core/sampling/options.h"

namespace folio {

/// SampleProgress of a block: `left` passes of `passes` are to come, this one among them. Time runs from t = 1 (all
/// hidden) to 0 in equal parts, so this pass goes from t = left / passes to s = (left - 1) / passes.
struct StepBudget {
    int passes = 1;
    int left = 1;
};

/// An unrevealed position and its prediction.
struct Candidate {
    int position = 0;
    double confidence = 0, margin = 0, entropy = 0;  // as in Prediction
    std::uint32_t word = 0;                          // chance, for the samplers that reveal by chance
};

/// Brings the candidates that this pass is to reveal to the front and returns their number. They come by rising
/// position. With `left` passes to come and n candidates, m = ceil(n / left) of them:
/// - spread: the most confident of each of m runs of the candidates, by position, [floor(k n / m), floor((k + 1) n /
///   m)). Neighbours drawn independently contradict each other, so those of one pass are kept apart.
/// - ancestral: each with probability (t - s) / t (MDLM, Sahoo et al. 2024, arXiv 2406.07524).
/// - remask: each with probability (t - s + sigma (1 - t)) / t, which makes up for what is noised again (ReMDM, Wang et
///   al. 2025, arXiv 2503.00307).
/// - confidence: the m most confident (LLaDA, Nie et al. 2025, arXiv 2502.09992).
/// - margin: the m with the largest lead over the second.
/// - threshold: all with confidence >= tau, the m most confident at least (Fast-dLLM, Wu et al. 2025, arXiv
///   2505.22618).
/// - entropy: the longest run, by rising entropy, whose sum less its largest member is <= gamma, m at least
///   (EB-sampler, Ben-Hamu et al. 2025, arXiv 2505.24857).
///
/// Ties, and scores less than 2^-16 apart count as such, go to the lowest position. In the last pass every sampler
/// reveals all.
int select_positions(std::vector<Candidate>& candidates, const SamplingOptions& options, StepBudget budget);

/// remask: the chance sigma = min(eta, (1 - alpha_s) / alpha_t, 1) with which a revealed character of the block is
/// noised again in this pass (ReMDM-cap); 0 in the last one and for every other sampler.
double remask_probability(const SamplingOptions& options, StepBudget budget);

}  // namespace folio
