#pragma once

#include <span>

#include "core/process/gaussian.h"

/// The NELBO of Gaussian diffusion in nats, for a row of one character (Kingma et al. 2021, arXiv 2107.00630): prior +
/// reconstruction + E_t[bound_weight(t) squared_error], t uniform, or the sum over finite steps of bound_weight(t, s)
/// squared_error, exact for ddpm.
namespace folio {

/// KL(q(z_1 | x) || N(0, I)), the same for every x.
double prior_nats(const GaussianDiffusion& diffusion);
/// -log p(id | z) at the cleanest level, by an x0 network's logits, or by the likelihood alone.
double reconstruction_nats(const GaussianDiffusion& diffusion, const NoiseLevel& t, std::span<const float> z,
                           std::span<const float> output, int id);
/// -dSNR/dt / 2. Not of linear schedules.
double bound_weight(const NoiseSchedule& schedule, double t);
/// (SNR(s) - SNR(t)) / 2 for the step from t to s < t. Linear: t = 2 / T .. 1, the reconstruction being the first.
double bound_weight(const NoiseLevel& t, const NoiseLevel& s);
/// ||x - x_hat||^2 = (sigma / alpha)^2 ||eps - eps_hat||^2, x the one-hot of id.
double squared_error(std::span<const double> x_hat, int id);

/// One draw of the bound's mean or sum.
struct BoundDraw {
    NoiseLevel t;
    double weight;  // of its squared error
};
/// The draw for u uniform in [0, 1). Half of all draws lie evenly in t and half evenly in -log SNR, else the few errors
/// of the clean end, which count most, would be met too seldom.
BoundDraw bound_draw(const NoiseSchedule& schedule, double u);

}  // namespace folio
