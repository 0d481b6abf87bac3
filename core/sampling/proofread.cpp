#include "core/sampling/proofread.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/process/prediction.h"

namespace folio {

Result<std::vector<double>> proofread_nll(const Proofreader& proofreader, std::span<const int> text) {
    const ModelConfig& config = proofreader.model.config;
    const bool has_start = proofreader.newline >= 0;
    const int length = static_cast<int>(text.size()), vocab_size = config.vocab_size;
    std::vector<double> result(text.size(), std::numeric_limits<double>::quiet_NaN());
    std::vector<int> context;
    std::vector<float> logits;
    for (int position = has_start ? 0 : 1; position < length;) {
        const Context window = context_of(position, has_start, config.seq_len);
        int end = position + 1;
        while (end < length && context_of(end, has_start, config.seq_len) == window) ++end;

        context.clear();
        if (window.start) context.push_back(proofreader.newline);
        for (int i = window.first; i < end - 1; ++i) context.push_back(proofreader.ids[text[i]]);
        const int rows = end - position;
        logits.resize(context.size() * vocab_size);
        if (auto ok = proofreader.model.decode(context, 0, logits); !ok) return tl::unexpected<Error>(ok.error());
        const std::span<const float> predictions = std::span(logits).last(static_cast<std::size_t>(rows) * vocab_size);
        for (int row = 0; row < rows; ++row, ++position) {
            const auto prediction = predictions.subspan(static_cast<std::size_t>(row) * vocab_size, vocab_size);
            if (!std::all_of(prediction.begin(), prediction.end(), [](float logit) { return std::isfinite(logit); }))
                return not_finite();
            result[position] = nll(prediction, proofreader.ids[text[position]]);
        }
    }
    return result;
}

int proofread_count(double share, int round, int rounds, int candidates) {
    // Less than an ulp-sized excess over a whole number is rounding, as in 0.1 * 0.75 * 240.
    return static_cast<int>(std::ceil(share * (rounds - round) * candidates / rounds - 1e-9));
}

std::vector<int> positions_to_reopen(std::span<const double> nll, std::span<const std::uint8_t> conditioned,
                                     int count) {
    std::vector<int> ranked;
    for (int position = 0; position < static_cast<int>(nll.size()); ++position) {
        if (!conditioned[position] && !std::isnan(nll[position])) ranked.push_back(position);
    }
    std::stable_sort(ranked.begin(), ranked.end(),
                     [&](int a, int b) { return round_for_ties(nll[a]) > round_for_ties(nll[b]); });
    ranked.resize(std::min(ranked.size(), static_cast<std::size_t>(count)));

    std::vector<int> reopened = ranked;
    for (const int position : ranked) {
        if (position > 0 && !conditioned[position - 1]) reopened.push_back(position - 1);
    }
    std::sort(reopened.begin(), reopened.end());
    reopened.erase(std::unique(reopened.begin(), reopened.end()), reopened.end());
    return reopened;
}

}  // namespace folio
