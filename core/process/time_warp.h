#pragma once

#include <span>
#include <vector>

#include "core/process/process_config.h"

/// Time warping: which noise level lies at which t, so that training and sampling spend their time where characters
/// are decided.
namespace folio {

/// The preset gaussian: centred one-hots, x0 with the matched filter, log SNR from 4 to -6; so warped that
/// argmax_accuracy falls linearly with t, or even in t.
GaussianConfig warped_gaussian(int vocab_size);
GaussianConfig even_gaussian();

/// Probability that the largest element of z is its character's: Int phi(z - alpha / sigma) Phi(z)^(V-1) dz.
double argmax_accuracy(double neg_log_snr, int vocab_size);

/// New knots, by which each of the equal bins of the old t takes up as much of the new one as its share of `mass`, but
/// 1e-3 of the mean at least. The bound's integrand per bin becomes uniform in t that way.
std::vector<double> adapt_time_warp(std::span<const double> knots, std::span<const double> mass);

/// Cross-entropy of an x0 network by noise level: an average over training with exponential decay.
class LossByNoise {
public:
    static constexpr int bins = 100;  // even in -log SNR, between the ends of the preset gaussian

    /// Ages what was added, once a step.
    void decay();
    /// Adds the mean loss of a window.
    void add(double neg_log_snr, double loss);
    /// A warp by which the loss rises linearly with t (CDCD, Dieleman et al. 2022, arXiv 2211.15089).
    std::vector<double> knots() const;

    std::vector<float> sums = std::vector<float>(bins), counts = std::vector<float>(bins);

private:
    /// The loss per bin made to rise with noise, as it must but for chance: isotonic regression by the
    /// pool-adjacent-violators algorithm.
    std::vector<double> isotonic_loss() const;
};

}  // namespace folio
