#include "core/process/gaussian.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "core/process/prediction.h"

namespace folio {

namespace {

/// SNR(t) / SNR(s), also where s is without noise.
double snr_ratio(const NoiseLevel& t, const NoiseLevel& s) {
    const double root = t.alpha * s.sigma / (t.sigma * s.alpha);
    return std::min(1.0, root * root);
}

void keep_top_k(std::span<const float> logits, int count, std::span<double> probability) {
    std::vector<int> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::nth_element(order.begin(), order.begin() + count, order.end(),
                     [&](int a, int b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
    for (std::size_t i = count; i < order.size(); ++i) probability[order[i]] = 0;
    const double total = std::accumulate(probability.begin(), probability.end(), 0.0);
    for (double& p : probability) p /= total;
}

}  // namespace

// In terms of r = SNR(t) / SNR(s): sigma_{t|s}^2 = sigma_t^2 (1 - r), and the posterior's variance is
// sigma_s^2 (1 - r).

StepCoefficients diffuse(const NoiseLevel& s, const NoiseLevel& t) {
    return {t.alpha / s.alpha, 0, t.sigma * std::sqrt(1 - snr_ratio(t, s))};
}

StepCoefficients ddpm(const NoiseLevel& t, const NoiseLevel& s) {
    const double r = snr_ratio(t, s);
    return {r * s.alpha / t.alpha, s.alpha * (1 - r), s.sigma * std::sqrt(1 - r)};
}

StepCoefficients ddim(const NoiseLevel& t, const NoiseLevel& s) {
    const double ratio = s.sigma / t.sigma;
    return {ratio, s.alpha - t.alpha * ratio, 0};
}

Result<GaussianDiffusion> GaussianDiffusion::create(const GaussianConfig& config, int vocab_size) {
    if (vocab_size < 2) return fail("a Gaussian model needs at least two characters");
    auto schedule = NoiseSchedule::create(config);
    if (!schedule) return tl::unexpected(schedule.error());
    GaussianDiffusion diffusion(std::move(*schedule));
    diffusion.prediction_ = config.prediction;
    diffusion.vocab_size_ = vocab_size;
    diffusion.centre_ = config.centred ? 1.0 / vocab_size : 0.0;
    return diffusion;
}

void GaussianDiffusion::noised(const NoiseLevel& t, int id, std::span<const double> eps, std::span<float> z) const {
    for (std::size_t i = 0; i < z.size(); ++i) {
        const double x = static_cast<int>(i) == id ? 1 : 0;
        z[i] = static_cast<float>(t.alpha * (x - centre_) + t.sigma * eps[i]);
    }
}

void GaussianDiffusion::apply(const StepCoefficients& step, std::span<const double> x_hat, std::span<const double> eps,
                              std::span<float> z) const {
    for (std::size_t i = 0; i < z.size(); ++i) {
        double moved = step.z * z[i];
        if (step.x_hat != 0) moved += step.x_hat * (x_hat[i] - centre_);
        if (step.eps != 0) moved += step.eps * eps[i];
        z[i] = static_cast<float>(moved);
    }
}

double GaussianDiffusion::input_scale(const NoiseLevel& t) const {
    if (schedule_.linear()) return 1;
    return 1 / std::sqrt(t.alpha * t.alpha / vocab_size_ + t.sigma * t.sigma);
}

void GaussianDiffusion::likelihood(const NoiseLevel& t, std::span<const float> z, std::span<float> logits) const {
    const double slope = t.matched_filter();
    for (std::size_t i = 0; i < z.size(); ++i) logits[i] = static_cast<float>(slope * z[i]);
}

bool GaussianDiffusion::estimate(const NoiseLevel& t, std::span<const float> z, std::span<const float> output,
                                 std::span<double> x_hat, double temperature, int top_k) const {
    if (prediction_ == GaussianPrediction::eps) {
        for (std::size_t i = 0; i < z.size(); ++i) {
            if (!std::isfinite(output[i])) return false;
            x_hat[i] = (z[i] - t.sigma * output[i]) / t.alpha + centre_;
        }
        return true;
    }
    if (temperature == 0) top_k = 1;
    if (!softmax(output, -1, x_hat, temperature == 0 ? 1 : temperature)) return false;
    if (top_k > 0 && top_k < vocab_size_) keep_top_k(output, top_k, x_hat);
    return true;
}

}  // namespace folio
