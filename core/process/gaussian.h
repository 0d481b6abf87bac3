#pragma once

#include <span>
#include <vector>

#include "core/base/result.h"
#include "core/process/process_config.h"

/// Gaussian diffusion over one-hot characters as mathematics: what becomes of one row [V] of noisy characters z, given
/// what a network answers. z and answers are f32, all between is f64 in one fixed order, so that every target gets the
/// same bits. x is a one-hot or a row that stands for it, as the probabilities x_hat do; that a centred process takes
/// 1 / V off each element concerns z alone.
namespace folio {

/// Noise level of a row: z = alpha x + sigma eps with alpha^2 = alpha_bar = 1 - sigma^2.
struct Level {
    double t = 0;  // 0 clean .. 1 noise
    double g = 0;  // -log SNR
    double alpha = 1, sigma = 0;

    double snr() const { return alpha * alpha / (sigma * sigma); }
    /// Factor by which z becomes log p(z | character), up to a constant.
    double matched_filter() const { return alpha / (sigma * sigma); }
};

/// A row on its way from one level to another: z becomes keep z + pull x + noise eps, eps ~ N(0, I).
struct Move {
    double keep = 0, pull = 0, noise = 0;
};

// For levels s < t, s the cleaner one:
Move diffuse(const Level& s, const Level& t);  // q(z_t | z_s)
Move ddpm(const Level& t, const Level& s);     // q(z_s | z_t, x), the ancestral step (Ho et al. 2020)
Move ddim(const Level& t, const Level& s);     // with the eps that z_t and x imply (Song et al. 2021, eta = 0)

class GaussianDiffusion {
public:
    /// Fails on schedules that are none.
    static Result<GaussianDiffusion> create(GaussianConfig config, int vocab_size);

    /// Linear: of the step nearest to t T.
    Level level(double t) const;
    /// The level of a row in training, for a uniform number in [0, 1); linear: any of the steps 1 .. T.
    Level training_level(double share) const;
    /// Time features of the network: the sines, then the cosines, of g at frequencies e^-5 .. e^5 (Gulrajani &
    /// Hashimoto 2023), or of a linear schedule's step as positions have them (Vaswani et al. 2017).
    void features(const Level& t, std::span<float> out) const;
    /// The levels of `steps` sampling steps from noise to clean: steps + 1, evenly spaced in t; linear: T + 1 at most.
    std::vector<Level> grid(int steps) const;
    /// Level from which a step at t starts with churn (Karras et al. 2022, arXiv 2206.00364), by diffuse(t, churned):
    /// for log SNR in [-2, 3] where sigma / alpha is 1 + gamma times t's (linear: the first step at least as noisy),
    /// elsewhere at t itself.
    Level churned(const Level& t, double gamma) const;
    /// Level of given characters while the others are at t: warped clean, for a flag to tell the network; linear t too.
    Level given(const Level& t) const;

    /// q(z_t | character id).
    void noised(const Level& t, int id, std::span<const double> eps, std::span<float> z) const;
    /// Moves a row; x and eps are not looked at where they count nothing.
    void apply(const Move& move, std::span<const double> x, std::span<const double> eps, std::span<float> z) const;

    /// Factor of z at the input of the network: warped to unit variance, linear not at all.
    double input_scale(const Level& t) const;
    /// log p(z | character) but for a constant: (alpha / sigma^2) z. To it the logits of an x0 network are added, which
    /// so answers log p(character | its neighbours).
    void likelihood(const Level& t, std::span<const float> z, std::span<float> logits) const;
    /// E[x | z] by an answer: of x0's logits, the likelihood among them, the softmax, shaped by temperature (0: argmax)
    /// and top_k (0: all); of eps, (z - sigma eps) / alpha. False where the answer is not finite.
    bool estimate(const Level& t, std::span<const float> z, std::span<const float> answer, std::span<double> x_hat,
                  double temperature = 1, int top_k = 0) const;

    // The NELBO in nats for a row of character id: prior + reconstruction + E_t[weight(t) squared_error], t uniform, or
    // the sum over finite steps of weight(t, s) squared_error, exact for ddpm.

    /// KL(q(z_1 | x) || N(0, I)), the same for every x.
    double prior_nats() const;
    /// -log p(id | z) at the cleanest level: t = 0, linear 1 / T; by an x0 answer as above, or by the likelihood alone.
    double reconstruction_nats(const Level& t, std::span<const float> z, std::span<const float> answer, int id) const;
    /// -dSNR/dt / 2. Warped only.
    double weight(double t) const;
    /// One draw of that mean or sum by a uniform number in [0, 1): where it lies, and what its squared error counts.
    /// Half of all draws lie evenly in t and half evenly in g, else the few errors of the clean end, which count most,
    /// would be met too seldom.
    struct Draw {
        Level t;
        double weight;
    };
    Draw bound_draw(double share) const;

private:
    GaussianDiffusion() = default;

    GaussianConfig config_;
    int vocab_size_ = 0;
    double centre_ = 0;      // 1 / V or 0
    std::vector<double> g_;  // at evenly spaced t: the knots, or g of every step 0 .. T, 0 at -infinity
};

/// (SNR(s) - SNR(t)) / 2 for the step from t to s < t. Linear: t = 2 / T .. 1, the reconstruction being the first.
double weight(const Level& t, const Level& s);
/// ||x - x_hat||^2 = (sigma / alpha)^2 ||eps - eps_hat||^2, x the one-hot of id.
double squared_error(std::span<const double> x_hat, int id);

/// The probability that the largest element of z is its character's: Int phi(z - alpha / sigma) Phi(z)^(V-1) dz.
double argmax_accuracy(double g, int vocab_size);

/// New knots, by which each of the equal bins of the old t takes up as much of the new one as its share of `mass`, but
/// 1e-3 of the mean at least. The bound's integrand per bin becomes uniform in t that way.
std::vector<double> rewarped(std::span<const double> knots, std::span<const double> mass);

/// The cross-entropy of an x0 network as noise rises, an average over training that forgets what the network no longer
/// is.
class LossByNoise {
public:
    static constexpr int bins = 100;  // even in g, between the ends of the preset gaussian

    /// A new step, and what a window lost in it.
    void forget();
    void add(double g, double loss);
    /// A warp by which the loss rises linearly with t (CDCD, Dieleman et al. 2022). The loss is made to rise with noise
    /// first, as it must but for chance (the pool-adjacent-violators algorithm).
    std::vector<double> knots() const;

    std::vector<float> sums = std::vector<float>(bins), counts = std::vector<float>(bins);
};

/// The preset gaussian: centred one-hots, x0 with the matched filter, log SNR from 4 to -6; so warped that
/// argmax_accuracy falls linearly with t, or even in t.
GaussianConfig warped_gaussian(int vocab_size);
GaussianConfig even_gaussian();

}  // namespace folio
