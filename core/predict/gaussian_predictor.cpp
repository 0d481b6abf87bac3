#include "core/predict/gaussian_predictor.h"

#include <algorithm>

#include "core/process/prediction.h"

namespace folio {

GaussianPredictor::GaussianPredictor(Denoiser& denoiser, const GaussianDiffusion& diffusion, bool matched_filter,
                                     int length)
    : network_(denoiser),
      diffusion_(&diffusion),
      matched_filter_(matched_filter),
      length_(length),
      vocab_size_(static_cast<std::size_t>(denoiser.config().vocab_size)),
      z_(length * vocab_size_),
      soft_tokens_(static_cast<std::size_t>(length) * denoiser.config().input_width()),
      logit_bias_(matched_filter ? z_.size() : 0),
      output_(z_.size()),
      self_cond_(denoiser.config().self_conditioning ? z_.size() : 0) {}

Result<void> GaussianPredictor::forward(const NoiseLevel& t, const Conditioned& conditioned,
                                        std::span<const float> self_cond) {
    const ModelConfig& config = network_.config();
    const NoiseLevel clean = diffusion_->schedule().conditioned(t);
    std::vector<float> features(static_cast<std::size_t>(config.time_rows));
    diffusion_->schedule().features(t, features);
    auto to = soft_tokens_.begin();
    for (int position = 0; position < length_; ++position) {
        const bool is_conditioned = conditioned(position);
        const NoiseLevel& level = is_conditioned ? clean : t;
        const auto scale = static_cast<float>(diffusion_->input_scale(level));
        for (const float value : z(position)) *to++ = scale * value;
        to = std::copy(features.begin(), features.end(), to);
        if (matched_filter_) diffusion_->likelihood(level, z(position), row(logit_bias_, position));
        if (!config.self_conditioning) continue;
        if (self_cond.empty())
            to = std::fill_n(to, vocab_size_, 0.f);
        else
            to = std::copy_n(self_cond.data() + static_cast<std::size_t>(position) * vocab_size_, vocab_size_, to);
        *to++ = is_conditioned ? 1.f : 0.f;
    }
    return network_.forward_soft_tokens(soft_tokens_, logit_bias_, 1, length_, output_);
}

Result<void> GaussianPredictor::forward_self_conditioned(const NoiseLevel& t, const Conditioned& conditioned) {
    if (auto ok = forward(t, conditioned); !ok || self_cond_.empty()) return ok;
    std::vector<double> probability(vocab_size_);
    for (int position = 0; position < length_; ++position) {
        if (!softmax(output(position), -1, probability)) return {};  // whoever reads the output reports it
        std::copy(probability.begin(), probability.end(), row(self_cond_, position).begin());
    }
    return forward(t, conditioned, self_cond_);
}

}  // namespace folio
