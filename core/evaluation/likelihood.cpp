#include "core/evaluation/likelihood.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace folio {

Estimate estimate(std::span<const double> windows) {
    const double n = static_cast<double>(windows.size());
    double mean = 0, square = 0;
    for (const double x : windows) mean += x / n;
    for (const double x : windows) square += (x - mean) * (x - mean);
    return {mean, n > 1 ? std::sqrt(square / (n - 1) / n) : std::numeric_limits<double>::quiet_NaN()};
}

Result<Windows> Windows::of(std::span<const int> text, int seq_len, int count) {
    const int all = text.empty() ? 0 : static_cast<int>((text.size() - 1) / seq_len);
    if (all == 0) {
        return fail("The text is too short to be scored: it needs " + std::to_string(seq_len + 1) +
                    " characters, and has " + std::to_string(text.size()) + ".");
    }
    Windows windows;
    windows.text_ = text;
    windows.seq_len_ = seq_len;
    const int wanted = count > 0 ? std::min(count, all) : all;
    for (std::int64_t i = 0; i < wanted; ++i) windows.numbers_.push_back(static_cast<int>(i * all / wanted));
    return windows;
}

Result<Evaluation> evaluate(Denoiser& denoiser, const ProcessConfig& process, const Windows& windows,
                            const EvaluationOptions& options) {
#define FOLIO_EVALUATION(kind, name) evaluate_##kind,
    constexpr decltype(&evaluate_masked) evaluations[] = {FOLIO_FOR_EACH_PROCESS(FOLIO_EVALUATION)};
#undef FOLIO_EVALUATION
    return evaluations[static_cast<int>(process.kind)](denoiser, process, windows, options);
}

}  // namespace folio
