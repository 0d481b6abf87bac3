#include "core/sampling/masked_sampler.h"

#include <limits>
#include <utility>

#include "core/base/random_order.h"
#include "core/process/masked.h"

namespace folio {

MaskedSampler::MaskedSampler(MaskedPredictor model, SamplingRequest request, const Proofreader* proofreader)
    : BlockSampler(std::move(request), model.config, model.mask_id, std::numeric_limits<int>::max(), proofreader),
      model_(std::move(model)) {
    logits_.resize(static_cast<std::size_t>(window_length()) * vocab_size_);
    if (!request_.text.empty()) {
        std::vector<std::uint32_t> words;
        for (int position = 0; position < length(); ++position) words.push_back(word(position, Purpose::noise_text, 0));
        const std::vector<int> order = random_order(words, length());
        noising_rank_.resize(order.size());
        for (int rank = 0; rank < length(); ++rank) noising_rank_[order[rank]] = rank;
    }
    apply_due_edits();
}

Result<MaskedSampler> MaskedSampler::create(MaskedPredictor model, SamplingRequest request,
                                            const Proofreader* proofreader) {
    if (auto ok = check(request, ProcessKind::masked, model.config.vocab_size, model.mask_id); !ok)
        return tl::unexpected<Error>(ok.error());
    return MaskedSampler(std::move(model), std::move(request), proofreader);
}

void MaskedSampler::noise() {
    const int hidden = ceil_mul_div(length(), now_.step, noising_steps_);
    for (int position = 0; position < length(); ++position) {
        if (noising_rank_[position] >= hidden || (now_.flags[position] & position_conditioned)) continue;
        hide(position);
        now_.flags[position] = 0;
    }
}

Result<void> MaskedSampler::unmask_step() {
    const SamplingOptions options = options_of_pass();
    const int first = now_.window_first, window = window_length();
    const auto row = [&](int position) {
        return std::span<const float>(logits_).subspan(static_cast<std::size_t>(position - first) * vocab_size_,
                                                       vocab_size_);
    };

    ids_.resize(window);
    int n_masked = 0, maskable = 0;
    for (int i = 0; i < window; ++i) {
        const bool masked = is_unrevealed(now_.flags[first + i]);
        ids_[i] = masked ? excluded_ : now_.id[first + i];
        n_masked += masked;
        // A round of proofreading masks a few characters of a whole text, however they were revealed.
        maskable += proofreading() ? !is_conditioned(now_.flags[first + i]) : in_block(first + i);
    }
    times_.clear();
    if (model_.config.time_rows > 0) {
        times_.push_back(time_row(static_cast<double>(n_masked) / maskable, model_.config.time_rows));
    }
    if (auto ok = model_.predict(ids_, times_, 1, window, logits_); !ok) return ok;

    candidates_.clear();
    for (int position = first; position < first + window; ++position) {
        if (is_revealed(now_.flags[position])) continue;
        const auto prediction = record_prediction(position, row(position));
        if (!prediction) return tl::unexpected<Error>(prediction.error());
        candidates_.push_back({position, prediction->confidence, prediction->margin, prediction->entropy,
                               word(position, Purpose::reveal, 0)});
    }
    const StepBudget budget{passes(), passes() - pass() + 1};
    const int chosen = select_positions(candidates_, options, budget);

    if (const double sigma = remask_probability(options, budget); sigma > 0) {
        for (int position = first; position < first + window; ++position) {
            const bool may = in_block(position) && is_revealed(now_.flags[position]);
            if (may && uniform(word(position, Purpose::renoise, 0)) < sigma) hide(position);
        }
    }
    for (int i = 0; i < chosen; ++i) {
        const int position = candidates_[i].position;
        const int id = draw(row(position), excluded_, options, word(position, Purpose::draw, 0));
        softmax(row(position), excluded_, probability_);
        reveal(position, id, static_cast<float>(probability_[id]));
    }
    return {};
}

bool MaskedSampler::takes_all_passes() const {
    return request_.options.sampler == SamplerKind::ancestral || request_.options.sampler == SamplerKind::remask;
}

Result<std::unique_ptr<Sampler>> make_masked_sampler(Denoiser& denoiser, const ProcessConfig& process,
                                                     SamplingRequest request, const Proofreader* proofreader) {
    return any_sampler(MaskedSampler::create(masked_predictor(denoiser, process), std::move(request), proofreader));
}

}  // namespace folio
