#include "core/sampling/autoregressive_sampler.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace folio {

AutoregressiveSampler::AutoregressiveSampler(AutoregressivePredictor model, SamplingRequest request)
    : Sampler(std::move(request), model.config, -1), model_(std::move(model)) {
    logits_.resize(static_cast<std::size_t>(vocab_size_));
    apply_due_edits();
}

Result<AutoregressiveSampler> AutoregressiveSampler::create(AutoregressivePredictor model, SamplingRequest request) {
    if (auto ok = check(request, ProcessKind::autoregressive, model.config.vocab_size, -1); !ok)
        return tl::unexpected<Error>(ok.error());
    if (!request.text.empty())
        return fail("An autoregressive model knows no noise that a text could go into; give it a prompt.");
    if (request.before < 0 && request.conditioned.front() < 0) {
        return fail("The model has no newline to begin after; give a prompt.");
    }
    return AutoregressiveSampler(std::move(model), std::move(request));
}

Result<void> AutoregressiveSampler::advance() {
    const int position = first_unrevealed();
    const bool led = !(now_.flags[0] & position_conditioned) && request_.before >= 0;
    const auto [first, start] = context_of(position, led, model_.config.seq_len);
    std::vector<int> text;
    if (start) text.push_back(request_.before);
    text.insert(text.end(), now_.id.begin() + first, now_.id.begin() + position);

    ++now_.step;
    now_.window_first = std::min(first, length() - window_length());
    const auto differs = std::mismatch(text.begin(), text.end(), read_.begin(), read_.end()).first;
    const int n_cached = std::min(static_cast<int>(differs - text.begin()), static_cast<int>(text.size()) - 1);
    read_.clear();  // where reading fails nothing is cached
    if (auto ok = model_.decode(text, n_cached, logits_); !ok) return ok;
    read_ = std::move(text);
    if (auto ok = record_prediction(position, logits_); !ok) return tl::unexpected<Error>(ok.error());
    const int id = draw(logits_, -1, request_.options, word(position, Purpose::draw, 0));
    reveal(position, id, static_cast<float>(probability_[id]));
    return {};
}

std::int64_t AutoregressiveSampler::planned_steps() const { return now_.step + unrevealed_count(); }

Result<std::unique_ptr<Sampler>> make_autoregressive_sampler(Denoiser& denoiser, const ProcessConfig&,
                                                             SamplingRequest request,
                                                             [[maybe_unused]] const Proofreader* proofreader) {
    assert(!proofreader);  // proofreader_ids (model_file.h) makes none for such a model
    return any_sampler(AutoregressiveSampler::create(autoregressive_predictor(denoiser), std::move(request)));
}

}  // namespace folio
