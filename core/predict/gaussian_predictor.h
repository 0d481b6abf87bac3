#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/predict/host_forward.h"
#include "core/process/gaussian.h"

namespace folio {

/// The network of a Gaussian model as samplers and the bound see it: one sequence of noisy rows z [length, V] in host
/// memory, and the network's output for it.
class GaussianPredictor {
public:
    /// Denoiser and diffusion must outlive the predictor.
    GaussianPredictor(Denoiser& denoiser, const GaussianDiffusion& diffusion, bool matched_filter, int length);

    std::span<float> z(int position) { return row(z_, position); }
    std::vector<float>& z() { return z_; }
    const std::vector<float>& z() const { return z_; }
    /// Output of the last pass [length, V]: logits of x0, the likelihood among them, or eps.
    std::span<const float> output() const { return output_; }
    std::span<const float> output(int position) const {
        return output().subspan(static_cast<std::size_t>(position) * vocab_size_, vocab_size_);
    }

    using Conditioned = std::function<bool(int position)>;

    /// One pass at level t. `conditioned` tells of a position whether its character is given, in which case its z is at
    /// schedule().conditioned(t). `self_cond` [length, V] is the x_hat of a pass before, or zeros, of a model with
    /// self-conditioning; empty: zeros throughout.
    Result<void> forward(const NoiseLevel& t, const Conditioned& conditioned, std::span<const float> self_cond = {});
    /// One pass, and where the model has self-conditioning (Analog Bits, arXiv 2208.04202) a second on the x_hat of the
    /// first.
    Result<void> forward_self_conditioned(const NoiseLevel& t, const Conditioned& conditioned);

private:
    std::span<float> row(std::vector<float>& values, int position) {
        return {values.data() + static_cast<std::size_t>(position) * vocab_size_, vocab_size_};
    }

    HostForward network_;
    const GaussianDiffusion* diffusion_;
    bool matched_filter_;
    int length_;
    std::size_t vocab_size_;
    std::vector<float> z_, soft_tokens_, logit_bias_, output_, self_cond_;
};

}  // namespace folio
