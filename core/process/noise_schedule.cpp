#include "core/process/noise_schedule.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>

#include "core/base/elementary.h"

namespace folio {

namespace {

constexpr double first_beta = 1e-4, last_beta = 0.02;  // linear
constexpr double churn_from = -3, churn_to = 2;        // -log SNR

double sigmoid(double x) { return 1 / (1 + elementary::exp(-x)); }

/// -log SNR after each of the steps 0 .. T, beta rising linearly.
std::vector<double> linear_steps(int steps) {
    double alpha_bar = 1;
    std::vector<double> result{elementary::log(0)};
    for (int n = 0; n < steps; ++n) {
        alpha_bar *= 1 - (first_beta + (last_beta - first_beta) * n / (steps - 1));
        result.push_back(elementary::log((1 - alpha_bar) / alpha_bar));
    }
    return result;
}

}  // namespace

Segment segment_of(std::span<const double> knots, double t) {
    const double lines = t * static_cast<double>(knots.size() - 1);
    const std::size_t line = std::min(static_cast<std::size_t>(lines), knots.size() - 2);
    return {line, lines - static_cast<double>(line)};
}

double interpolate(std::span<const double> knots, double t) {
    const auto [line, fraction] = segment_of(knots, t);
    return knots[line] + fraction * (knots[line + 1] - knots[line]);
}

Result<NoiseSchedule> NoiseSchedule::create(const GaussianConfig& config) {
    NoiseSchedule schedule;
    schedule.linear_ = config.schedule == GaussianSchedule::linear;
    if (schedule.linear_) {
        if (config.steps < 2 || config.steps > 2048) {
            return fail("the noise schedule has " + std::to_string(config.steps) + " steps, but must have 2 to 2048");
        }
        schedule.neg_log_snr_ = linear_steps(config.steps);
        return schedule;
    }
    const std::vector<double>& knots = config.knots;
    const auto not_below = [](double a, double b) { return !(a < b); };
    if (knots.size() < 2 || knots.size() > 4096 || !(knots.front() >= -20) || !(knots.back() <= 20) ||
        std::adjacent_find(knots.begin(), knots.end(), not_below) != knots.end()) {
        return fail("the knots of the noise schedule must be 2 to 4096 rising numbers between -20 and 20");
    }
    schedule.neg_log_snr_ = knots;
    return schedule;
}

NoiseLevel NoiseSchedule::level(double t) const {
    assert(t >= 0 && t <= 1);
    double neg_log_snr;
    if (linear_) {
        const int step = static_cast<int>(t * steps() + 0.5);
        t = static_cast<double>(step) / steps();
        neg_log_snr = neg_log_snr_[step];
    } else {
        neg_log_snr = interpolate(neg_log_snr_, t);
    }
    return {t, neg_log_snr, std::sqrt(sigmoid(-neg_log_snr)), std::sqrt(sigmoid(neg_log_snr))};
}

NoiseLevel NoiseSchedule::cleanest() const { return level(linear_ ? 1.0 / steps() : 0); }

NoiseLevel NoiseSchedule::training_level(double u) const {
    return level(linear_ ? (std::floor(u * steps()) + 1) / steps() : u);
}

NoiseLevel NoiseSchedule::churned(const NoiseLevel& t, double gamma) const {
    if (t.neg_log_snr < churn_from || t.neg_log_snr > churn_to) return t;
    const double goal = t.neg_log_snr + 2 * elementary::log(1 + gamma);
    const auto end = std::lower_bound(neg_log_snr_.begin() + 1, neg_log_snr_.end() - 1, goal);  // of the goal's line
    const double fraction = linear_ || goal >= *end ? 1 : (goal - end[-1]) / (end[0] - end[-1]);
    return level((static_cast<double>(end - neg_log_snr_.begin() - 1) + fraction) / steps());
}

NoiseLevel NoiseSchedule::conditioned(const NoiseLevel& t) const { return linear_ ? t : level(0); }

void NoiseSchedule::features(const NoiseLevel& t, std::span<float> out) const {
    const int half = static_cast<int>(out.size()) / 2;
    for (int i = 0; i < half; ++i) {
        const double share = static_cast<double>(i) / (linear_ ? half : std::max(half - 1, 1));
        const double frequency = elementary::exp(linear_ ? -elementary::log(10000.0) * share : 10 * share - 5);
        double sine, cosine;
        elementary::sin_cos(frequency * (linear_ ? t.t * steps() : t.neg_log_snr), sine, cosine);
        out[i] = static_cast<float>(sine);
        out[half + i] = static_cast<float>(cosine);
    }
    if (out.size() % 2 != 0) out.back() = 0;
}

}  // namespace folio
