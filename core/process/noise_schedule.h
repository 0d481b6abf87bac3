#pragma once

#include <span>
#include <vector>

#include "core/base/result.h"
#include "core/process/process_config.h"

namespace folio {

/// Noise level of a row: z = alpha x + sigma eps with alpha^2 = alpha_bar = 1 - sigma^2.
struct NoiseLevel {
    double t = 0;  // 0 clean .. 1 noise
    double neg_log_snr = 0;
    double alpha = 1, sigma = 0;

    double snr() const { return alpha * alpha / (sigma * sigma); }
    /// Factor by which z becomes log p(z | character), up to a constant.
    double matched_filter() const { return alpha / (sigma * sigma); }
};

/// Noise level over time t in [0, 1]: straight lines of -log SNR between knots, or the steps of a linear beta.
class NoiseSchedule {
public:
    /// Fails on knots that do not rise, and on too few or too many steps.
    static Result<NoiseSchedule> create(const GaussianConfig& config);

    bool linear() const { return linear_; }
    /// -log SNR at evenly spaced t: the knots; linear: of the steps 0 .. T, -infinity at 0.
    std::span<const double> neg_log_snr() const { return neg_log_snr_; }

    /// Level at time t; linear: of the step nearest to t T.
    NoiseLevel level(double t) const;
    /// Level at t = 0; linear: of the first step, 1 / T.
    NoiseLevel cleanest() const;
    /// Level of a row in training, for u uniform in [0, 1); linear: any of the steps 1 .. T.
    NoiseLevel training_level(double u) const;
    /// Level from which a step at t starts with churn (Karras et al. 2022, arXiv 2206.00364), by diffuse(t, churned):
    /// for log SNR in [-2, 3] where sigma / alpha is 1 + gamma times t's (linear: the first step at least as noisy),
    /// elsewhere t itself.
    NoiseLevel churned(const NoiseLevel& t, double gamma) const;
    /// Level of conditioned positions while the others are at t: clean; linear: t, since that network has no flag for
    /// them.
    NoiseLevel conditioned(const NoiseLevel& t) const;
    /// Time features of the network: the sines, then the cosines, of -log SNR at frequencies e^-5 .. e^5 (Plaid,
    /// arXiv 2305.18619), or of a linear schedule's step as positions have them (arXiv 1706.03762).
    void features(const NoiseLevel& t, std::span<float> out) const;

private:
    NoiseSchedule() = default;
    int steps() const { return static_cast<int>(neg_log_snr_.size()) - 1; }

    bool linear_ = false;
    std::vector<double> neg_log_snr_;
};

/// A time t among straight lines between evenly spaced knots: the line that it lies on, and the part of it before t.
struct Segment {
    std::size_t line;
    double fraction;
};
Segment segment_of(std::span<const double> knots, double t);
double interpolate(std::span<const double> knots, double t);

}  // namespace folio
