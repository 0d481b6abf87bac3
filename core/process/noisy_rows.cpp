#include "core/process/noisy_rows.h"

#include <algorithm>

#include "core/process/prediction.h"

namespace folio {

NoisyRows::NoisyRows(const GaussianDiffusion& diffusion, const GaussianConfig& process, const ModelConfig& model,
                     int length)
    : diffusion_(diffusion),
      filtered_(process.matched_filter),
      conditioned_(model.self_conditioning),
      length_(length),
      time_rows_(model.time_rows),
      vocab_size_(static_cast<std::size_t>(model.vocab_size)),
      width_(static_cast<std::size_t>(model.input_width())),
      z_(length * vocab_size_),
      soft_tokens_(length * width_),
      logit_bias_(filtered_ ? length * vocab_size_ : 0),
      logits_(length * vocab_size_),
      seen_(conditioned_ ? length * vocab_size_ : 0) {}

Result<void> NoisyRows::look(Denoiser& denoiser, const Level& t, const Known& known, std::span<const float> seen) {
    const Level given = diffusion_.given(t);
    std::vector<float> features(static_cast<std::size_t>(time_rows_));
    diffusion_.features(t, features);
    for (int position = 0; position < length_; ++position) {
        const bool is_known = known(position);
        const Level& level = is_known ? given : t;
        const auto scale = static_cast<float>(diffusion_.input_scale(level));
        float* to = soft_tokens_.data() + static_cast<std::size_t>(position) * width_;
        for (const float value : z(position)) *to++ = scale * value;
        to = std::copy(features.begin(), features.end(), to);
        if (filtered_) diffusion_.likelihood(level, z(position), row(logit_bias_, position));
        if (!conditioned_) continue;
        if (seen.empty())
            to = std::fill_n(to, vocab_size_, 0.f);
        else
            to = std::copy_n(seen.data() + static_cast<std::size_t>(position) * vocab_size_, vocab_size_, to);
        *to = is_known ? 1.f : 0.f;
    }
    return denoiser.predict_soft_tokens(soft_tokens_, logit_bias_, 1, length_, logits_);
}

Result<void> NoisyRows::answer(Denoiser& denoiser, const Level& t, const Known& known) {
    if (auto ok = look(denoiser, t, known); !ok || !conditioned_) return ok;
    std::vector<double> probability(vocab_size_);
    for (int position = 0; position < length_; ++position) {
        if (!softmax(logits(position), -1, probability)) return {};  // whoever reads the answer says so
        std::copy(probability.begin(), probability.end(), row(seen_, position).begin());
    }
    return look(denoiser, t, known, seen_);
}

}  // namespace folio
