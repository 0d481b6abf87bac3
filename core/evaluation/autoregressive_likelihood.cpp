#include "core/evaluation/scoring.h"

namespace folio {

Result<Evaluation> evaluate_autoregressive(Denoiser& denoiser, const ProcessConfig&, const Windows& windows,
                                           const EvaluationOptions& options) {
    return exact_likelihood(autoregressive_predictor(denoiser), windows, options);
}

Result<double> exact_nats(const AutoregressivePredictor& model, std::span<const int> ids) {
    const std::size_t positions = ids.size() - 1, vocab_size = static_cast<std::size_t>(model.config.vocab_size);
    std::vector<float> logits(positions * vocab_size);
    std::vector<double> probability(vocab_size);
    if (auto ok = model.decode(ids.first(positions), 0, logits); !ok) return tl::unexpected<Error>(ok.error());
    double nats = 0;
    for (std::size_t position = 0; position < positions; ++position) {
        const auto scored = score(std::span<const float>(logits).subspan(position * vocab_size, vocab_size), -1,
                                  ids[position + 1], probability);
        if (!scored) return tl::unexpected<Error>(scored.error());
        nats += scored->nats / static_cast<double>(positions);
    }
    return nats;
}

Result<Evaluation> exact_likelihood(const AutoregressivePredictor& model, const Windows& windows,
                                    const EvaluationOptions& options) {
    Evaluation result;
    for (int window = 0; window < windows.size(); ++window) {
        if (options.progress) options.progress(window, windows.size());
        const auto nats = exact_nats(model, windows.ids(window));
        if (!nats) return tl::unexpected<Error>(nats.error());
        result.windows.push_back(*nats);
    }
    if (options.progress) options.progress(windows.size(), windows.size());
    return result;
}

}  // namespace folio
