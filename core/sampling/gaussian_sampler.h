#pragma once

#include "core/predict/gaussian_predictor.h"
#include "core/sampling/block_sampler.h"
#include "core/sampling/draw.h"

namespace folio {

/// Samples by Gaussian diffusion: the unrevealed positions of a block begin as pure noise and go from level to level
/// together, evenly in t, until the last pass draws their characters; revealed characters are given to the network at
/// its own level. `steps` passes per block, of a linear schedule as many as it has steps at most.
/// - ddpm: the ancestral step q(z_s | z_t, x_hat) (Ho et al. 2020);
/// - ddim: the deterministic one (Song et al. 2021);
/// - churn: some noise is added before each deterministic step where the characters are decided (Karras et al. 2022).
/// Temperature, top-k and top-p shape the last draw; of x_0 models temperature and top-k shape every x_hat too. With
/// `stop_stable` N the pass is the last after which the most likely characters of all unrevealed positions have been
/// the same for N passes, with a mean probability of at least 0.95.
///
/// A model with self-conditioning gets the x_hat of the pass before (Analog Bits, Chen et al. 2023, arXiv 2208.04202).
///
/// Positions that are noised again go back to the time t = percent / 100: characters that stand do so in a block of
/// their own, which begins there and takes that share of the passes; what the proofreader opens goes back to t = 0.5.
/// In a running block, whose rows have one level, a row gets the noise of that time where it has less, and passes for
/// one of the block's level. What is opened begins as pure noise. A text on its way into noise is shown by what its
/// rows say by themselves.
class GaussianSampler final : public BlockSampler {
public:
    /// Fails as Sampler::check does, and on invalid schedules. The denoiser must outlive the sampler.
    static Result<GaussianSampler> create(Denoiser& denoiser, const ProcessConfig& process, SamplingRequest request,
                                          const Proofreader* proofreader = nullptr);

private:
    GaussianSampler(Denoiser& denoiser, const ProcessConfig& process, std::unique_ptr<GaussianDiffusion> diffusion,
                    SamplingRequest request, const Proofreader* proofreader);

    void noise() override;
    Result<void> unmask_step() override;
    bool takes_all_passes() const override { return true; }
    void renoise(int from, int to, int percent) override;
    void reopen(int position) override { renoise(position, position, proofread_percent); }
    int passes_of_round(int opened) const override {
        return opened > 0 ? ceil_mul_div(steps_, proofread_percent, 100) : 0;
    }
    int passes_again(const std::vector<std::uint8_t>& flags, Window window) const override;
    std::size_t extra_state_size() const override;
    void save_extra(std::uint8_t* bytes) const override;
    void load_extra(const std::uint8_t* bytes) override;

    static constexpr int proofread_percent = 50;

    Result<void> take_pass();
    /// The rows that the network sees at level u, in a pass that begins at t.
    void prepare_rows(const NoiseLevel& t, const NoiseLevel& u);
    /// Estimates x_hat and the logits of each unrevealed position from the pass at level u, which leads to level s.
    Result<void> estimate_rows(const NoiseLevel& u, const NoiseLevel& s);
    /// Counts this pass, and tells whether the most likely characters have been the same for `stop_stable` passes.
    bool is_stable();
    void draw_characters();
    bool is_revealed_here(int i) const { return is_revealed(now_.flags[now_.window_first + i]); }
    std::span<double> x_hat(int i) {
        return std::span(x_hat_).subspan(static_cast<std::size_t>(i) * vocab_size_, vocab_size_);
    }
    std::span<float> char_logits(int i) {
        return std::span(char_logits_).subspan(static_cast<std::size_t>(i) * vocab_size_, vocab_size_);
    }
    std::vector<float>::iterator self_cond(int i) {
        return self_cond_.begin() + static_cast<std::ptrdiff_t>(i) * vocab_size_;
    }
    /// The one-hot of a character for position i of the window, or with -1 zeros.
    void set_self_cond(int i, int id);
    /// In percent, the latest time that an unrevealed position of the window begins at.
    int begins_at(const std::vector<std::uint8_t>& flags, Window window) const;
    /// The normals of a position in this step.
    std::span<const double> eps(int position, Purpose purpose);

    std::unique_ptr<GaussianDiffusion> diffusion_;  // network_ refers to it
    GaussianPredictor network_;                     // of the window
    std::vector<std::uint8_t> row_is_noised_;       // [window] 1: the position is unrevealed and its row is on its way
    std::vector<float> self_cond_;  // [window, V] x_hat of the pass before, or zeros; with self-conditioning alone
    std::uint8_t block_start_percent_ = 100;  // percent: the time at which the block began
    std::vector<std::uint8_t>
        renoise_percent_;  // [length] percent: the time that a position goes back to before the next pass; or 0
    std::vector<std::int32_t> renoised_id_;  // [length] the character that goes back, -1 for a row on its way
    std::vector<std::int32_t>
        argmax_;  // [window] the most likely character of an unrevealed position in the pass before, else -1
    std::int32_t stable_passes_ = 0;  // since it last changed anywhere
    // Buffers of a pass.
    std::vector<double> eps_;         // [V]
    std::vector<double> x_hat_;       // [window, V]
    std::vector<float> char_logits_;  // [window, V] logits of the character
    std::vector<float> likelihood_;   // [V]
};

}  // namespace folio
