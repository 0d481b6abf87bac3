#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "core/base/normals.h"
#include "core/process/gaussian.h"
#include "core/process/gaussian_bound.h"
#include "core/process/time_warp.h"
#include "tests/test_support.h"

namespace folio::test {

inline const double pi = std::acos(-1.0);

inline GaussianDiffusion article(int vocab_size, int steps = 128) {
    GaussianConfig config;
    config.steps = steps;
    return *GaussianDiffusion::create(config, vocab_size);
}

inline GaussianDiffusion warped(int vocab_size) {
    return *GaussianDiffusion::create(warped_gaussian(vocab_size), vocab_size);
}

inline double phi(double x, double mean, double sigma) {
    return std::exp(-0.5 * (x - mean) * (x - mean) / (sigma * sigma)) / (sigma * std::sqrt(2 * pi));
}

/// Levels of `steps` sampling steps from noise to clean: steps + 1, evenly spaced in t; linear: steps is T at most.
inline std::vector<NoiseLevel> levels_of(const NoiseSchedule& schedule, int steps) {
    std::vector<NoiseLevel> levels;
    for (int left = steps; left >= 0; --left) levels.push_back(schedule.level(static_cast<double>(left) / steps));
    return levels;
}

/// Int f(x) phi(x) dx over N(0, 1).
template <class F>
inline double expectation(F&& f) {
    double sum = 0;
    for (double x = -8; x <= 8; x += 1.0 / 32) sum += f(x) * phi(x, 0, 1) / 32;
    return sum;
}

inline double entropy(const std::vector<double>& p) {
    double nats = 0;
    for (const double q : p) nats -= q * std::log(q);
    return nats;
}

/// A network that knows the frequencies p of the characters and nothing else. That is all there is to know of
/// independent ones, so what it says of a row is the exact posterior.
struct Unigram {
    const GaussianDiffusion& diffusion;
    GaussianPrediction prediction;
    std::vector<double> p;

    /// Logits for z, the likelihood of z included.
    std::vector<float> logits(const NoiseLevel& t, const std::vector<float>& z) const {
        std::vector<float> result(p.size());
        if (prediction == GaussianPrediction::x0) {
            diffusion.likelihood(t, z, result);
            for (std::size_t i = 0; i < p.size(); ++i) result[i] += static_cast<float>(std::log(p[i]));
        } else {
            const std::vector<double> x = posterior(t, z, 0);
            for (std::size_t i = 0; i < p.size(); ++i)
                result[i] = static_cast<float>((z[i] - t.alpha * x[i]) / t.sigma);
        }
        return result;
    }
    /// p(character | z) by Bayes' rule, densities and all.
    std::vector<double> posterior(const NoiseLevel& t, const std::vector<float>& z, double centre) const {
        std::vector<double> logs(p.size());
        for (std::size_t id = 0; id < p.size(); ++id) {
            logs[id] = std::log(p[id]);
            for (std::size_t i = 0; i < p.size(); ++i) {
                const double off = z[i] - t.alpha * ((i == id) - centre);
                logs[id] -= 0.5 * off * off / (t.sigma * t.sigma);
            }
        }
        const double highest = *std::max_element(logs.begin(), logs.end());
        double total = 0;
        for (double& value : logs) total += value = std::exp(value - highest);
        for (double& value : logs) value /= total;
        return logs;
    }
    std::vector<double> x_hat(const NoiseLevel& t, const std::vector<float>& z) const {
        std::vector<double> result(p.size());
        if (!diffusion.estimate(t, z, logits(t, z), result)) FAIL("not finite");
        return result;
    }
};

/// Two characters, of which everything is an integral over the difference of the two elements: E over both characters
/// and that noise of f(id, z).
template <class F>
inline double over_two(const Unigram& model, const NoiseLevel& t, F&& f) {
    return expectation([&](double w) {
        const double eps[] = {w / std::sqrt(2.0), -w / std::sqrt(2.0)};
        double sum = 0;
        for (int id = 0; id < 2; ++id) {
            std::vector<float> z(2);
            model.diffusion.noised(t, id, eps, z);
            sum += model.p[id] * f(id, z);
        }
        return sum;
    });
}

inline double mean_error(const Unigram& model, const NoiseLevel& t) {
    return over_two(model, t,
                    [&](int id, const std::vector<float>& z) { return squared_error(model.x_hat(t, z), id); });
}

inline double mean_reconstruction(const Unigram& model, const NoiseLevel& t) {
    return over_two(model, t, [&](int id, const std::vector<float>& z) {
        return reconstruction_nats(model.diffusion, t, z, model.logits(t, z), id);
    });
}

/// KL(q(z_t) || N(0, I)) of the mixture of both characters; `shared` is the mean along (1, 1) / sqrt 2.
inline double marginal_kl(const std::vector<double>& p, const NoiseLevel& t, double shared) {
    const double mean = t.alpha / std::sqrt(2.0), variance = t.sigma * t.sigma;
    double nats = 0.5 * (variance + shared * shared - 1 - std::log(variance));
    for (int id = 0; id < 2; ++id) {
        nats += p[id] * expectation([&](double w) {
                    const double z = (id == 0 ? mean : -mean) + t.sigma * w;
                    const double density = p[0] * phi(z, mean, t.sigma) + p[1] * phi(z, -mean, t.sigma);
                    return std::log(density / phi(z, 0, 1));
                });
    }
    return nats;
}

/// The bound of the two characters in nats, in so many steps.
inline double bound(const Unigram& model, int steps) {
    double nats = prior_nats(model.diffusion);
    const bool linear = model.prediction == GaussianPrediction::eps;
    const std::vector<NoiseLevel> levels = levels_of(model.diffusion.schedule(), steps);
    const int last = static_cast<int>(levels.size()) - (linear ? 2 : 1);
    for (int i = 0; i < last; ++i) nats += bound_weight(levels[i], levels[i + 1]) * mean_error(model, levels[i]);
    return nats + mean_reconstruction(model, levels[last]);
}

inline int argmax(const std::vector<float>& z) {
    return static_cast<int>(std::max_element(z.begin(), z.end()) - z.begin());
}

inline int drawn(const std::vector<double>& p, double u) {
    int id = 0;
    for (double sum = p[0]; sum < u && id + 1 < static_cast<int>(p.size()); sum += p[id]) ++id;
    return id;
}

}  // namespace folio::test
