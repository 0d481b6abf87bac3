#pragma once

#include <span>

#include "core/process/noise_schedule.h"

/// Gaussian diffusion over one-hot characters as mathematics: one row [V] of noisy characters z, and the output of a
/// network for it. z and outputs are f32, all between is f64 in one fixed order, so that every target gets the same
/// bits. x is a one-hot or a row that stands for it, as the probabilities x_hat do; that a centred process takes 1 / V
/// off each element concerns z alone.
namespace folio {

/// A row on its way from one level to another: z becomes z z + x_hat x_hat + eps eps, eps ~ N(0, I).
struct StepCoefficients {
    double z = 0, x_hat = 0, eps = 0;
};

// For levels s < t, s the cleaner one:
/// q(z_t | z_s).
StepCoefficients diffuse(const NoiseLevel& s, const NoiseLevel& t);
/// q(z_s | z_t, x), the ancestral step (Ho et al. 2020, arXiv 2006.11239).
StepCoefficients ddpm(const NoiseLevel& t, const NoiseLevel& s);
/// The deterministic step, with the eps that z_t and x imply (Song et al. 2021, arXiv 2010.02502, eta = 0).
StepCoefficients ddim(const NoiseLevel& t, const NoiseLevel& s);

class GaussianDiffusion {
public:
    /// Fails as NoiseSchedule::create does.
    static Result<GaussianDiffusion> create(const GaussianConfig& config, int vocab_size);

    const NoiseSchedule& schedule() const { return schedule_; }
    GaussianPrediction prediction() const { return prediction_; }
    int vocab_size() const { return vocab_size_; }
    /// Taken off each element of a one-hot: 1 / V where the process is centred, else 0.
    double centre() const { return centre_; }

    /// q(z_t | character id).
    void noised(const NoiseLevel& t, int id, std::span<const double> eps, std::span<float> z) const;
    /// Moves a row; x_hat and eps may be empty where their coefficient is 0.
    void apply(const StepCoefficients& step, std::span<const double> x_hat, std::span<const double> eps,
               std::span<float> z) const;

    /// Factor of z at the input of the network: warped to unit variance, linear 1.
    double input_scale(const NoiseLevel& t) const;
    /// log p(z | character) but for a constant: (alpha / sigma^2) z. With it added, the logits of an x0 network are of
    /// p(character | its neighbours).
    void likelihood(const NoiseLevel& t, std::span<const float> z, std::span<float> logits) const;
    /// E[x | z] by the network's output: of x0 logits, the likelihood among them, the softmax, shaped by temperature
    /// (0: argmax) and top_k (0: all); of eps, (z - sigma eps) / alpha. False where the output is not finite.
    bool estimate(const NoiseLevel& t, std::span<const float> z, std::span<const float> output, std::span<double> x_hat,
                  double temperature = 1, int top_k = 0) const;

private:
    explicit GaussianDiffusion(NoiseSchedule schedule) : schedule_(std::move(schedule)) {}

    NoiseSchedule schedule_;
    GaussianPrediction prediction_ = GaussianPrediction::x0;
    int vocab_size_ = 0;
    double centre_ = 0;
};

}  // namespace folio
