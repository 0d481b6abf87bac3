#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/model/denoiser.h"
#include "core/process/gaussian.h"

namespace folio {

/// One sequence of noisy rows z [length, V] in host memory, and what a network answers to it: what a Gaussian model's
/// samplers and its bound have in common.
class NoisyRows {
public:
    /// The diffusion must outlive the rows.
    NoisyRows(const GaussianDiffusion& diffusion, const GaussianConfig& process, const ModelConfig& model, int length);

    std::span<float> z(int position) { return row(z_, position); }
    /// All of z.
    std::vector<float>& all() { return z_; }
    const std::vector<float>& all() const { return z_; }
    /// The last answer [length, V].
    std::span<const float> answers() const { return logits_; }
    /// Row of the last answer: completed logits of x0, or eps.
    std::span<const float> logits(int position) const {
        return {logits_.data() + static_cast<std::size_t>(position) * vocab_size_, vocab_size_};
    }

    using Known = std::function<bool(int position)>;

    /// One pass at level t. `known` says of a position whether its character is given, in which case its z is at
    /// diffusion.given(t). `seen` [length, V] is what a model that is conditioned on itself made of the positions
    /// before, x_hat or zeros; empty: nothing.
    Result<void> look(Denoiser& denoiser, const Level& t, const Known& known, std::span<const float> seen = {});
    /// One pass that has seen nothing, and where the model is conditioned on itself a second that sees what the first
    /// made of it.
    Result<void> answer(Denoiser& denoiser, const Level& t, const Known& known);

private:
    std::span<float> row(std::vector<float>& values, int position) {
        return {values.data() + static_cast<std::size_t>(position) * vocab_size_, vocab_size_};
    }

    const GaussianDiffusion& diffusion_;
    bool filtered_, conditioned_;
    int length_, time_rows_;
    std::size_t vocab_size_, width_;
    std::vector<float> z_, soft_tokens_, logit_bias_, logits_, seen_;
};

}  // namespace folio
