#include "core/process/gaussian_bound.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "core/base/elementary.h"
#include "core/process/prediction.h"

namespace folio {

double prior_nats(const GaussianDiffusion& diffusion) {
    const NoiseLevel noise = diffusion.schedule().level(1);
    const double variance = noise.sigma * noise.sigma;
    const double square = 1 - diffusion.centre();  // ||x||^2, 1 - 1 / V where centred
    return 0.5 *
           (diffusion.vocab_size() * (variance - 1 - elementary::log(variance)) + noise.alpha * noise.alpha * square);
}

double reconstruction_nats(const GaussianDiffusion& diffusion, const NoiseLevel& t, std::span<const float> z,
                           std::span<const float> output, int id) {
    if (diffusion.prediction() == GaussianPrediction::x0) return nll(output, id);
    std::vector<float> logits(z.size());
    diffusion.likelihood(t, z, logits);
    return nll(logits, id);
}

double bound_weight(const NoiseSchedule& schedule, double t) {
    assert(!schedule.linear());
    const auto knots = schedule.neg_log_snr();
    const std::size_t line = segment_of(knots, t).line;
    const double slope = (knots[line + 1] - knots[line]) * static_cast<double>(knots.size() - 1);
    return 0.5 * slope * elementary::exp(-interpolate(knots, t));
}

double bound_weight(const NoiseLevel& t, const NoiseLevel& s) { return 0.5 * (s.snr() - t.snr()); }

double squared_error(std::span<const double> x_hat, int id) {
    double sum = 0;
    for (std::size_t i = 0; i < x_hat.size(); ++i) {
        const double error = (static_cast<int>(i) == id ? 1 : 0) - x_hat[i];
        sum += error * error;
    }
    return sum;
}

BoundDraw bound_draw(const NoiseSchedule& schedule, double u) {
    const auto knots = schedule.neg_log_snr();
    const std::size_t first = schedule.linear() ? 1 : 0;  // the bound's sum begins at the second step
    const std::size_t last = knots.size() - 1;
    const auto drawn_before = [&](std::size_t i) {
        return 0.5 * static_cast<double>(i - first) / static_cast<double>(last - first) +
               0.5 * (knots[i] - knots[first]) / (knots[last] - knots[first]);
    };
    std::size_t from = first, to = last;
    while (to - from > 1) {
        const std::size_t middle = (from + to) / 2;
        (drawn_before(middle) <= u ? from : to) = middle;
    }
    const double density = drawn_before(to) - drawn_before(from);  // of the line or the step
    const double lines = static_cast<double>(last);
    if (schedule.linear()) {
        const NoiseLevel t = schedule.level(static_cast<double>(to) / lines),
                         s = schedule.level(static_cast<double>(from) / lines);
        return {t, bound_weight(t, s) / density};
    }
    const double t = std::min((static_cast<double>(from) + (u - drawn_before(from)) / density) / lines, 1.0);
    return {schedule.level(t), bound_weight(schedule, t) / (density * lines)};
}

}  // namespace folio
