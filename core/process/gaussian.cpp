#include "core/process/gaussian.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "core/base/elementary.h"
#include "core/process/prediction.h"

namespace folio {

namespace {

constexpr double first_beta = 1e-4, last_beta = 0.02;  // linear
constexpr double cleanest = -4, noisiest = 6;          // g of the preset gaussian
constexpr double churn_from = -3, churn_to = 2;        // g

double sigmoid(double x) { return 1 / (1 + elementary::exp(-x)); }

/// Which of the straight lines between knots t lies on, and how much of that line is before it.
struct Segment {
    std::size_t line;
    double share;
};

Segment segment_of(std::span<const double> knots, double t) {
    const double lines = t * static_cast<double>(knots.size() - 1);
    const std::size_t line = std::min(static_cast<std::size_t>(lines), knots.size() - 2);
    return {line, lines - static_cast<double>(line)};
}

double interpolate(std::span<const double> knots, double t) {
    const auto [line, share] = segment_of(knots, t);
    return knots[line] + share * (knots[line + 1] - knots[line]);
}

/// SNR(t) / SNR(s), also where s is without noise.
double snr_ratio(const Level& t, const Level& s) {
    const double root = t.alpha * s.sigma / (t.sigma * s.alpha);
    return std::min(1.0, root * root);
}

void keep_likeliest(std::span<const float> logits, int count, std::span<double> probability) {
    std::vector<int> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::nth_element(order.begin(), order.begin() + count, order.end(),
                     [&](int a, int b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
    for (std::size_t i = count; i < order.size(); ++i) probability[order[i]] = 0;
    const double total = std::accumulate(probability.begin(), probability.end(), 0.0);
    for (double& p : probability) p /= total;
}

}  // namespace

// In terms of r = SNR(t) / SNR(s): sigma_{t|s}^2 = sigma_t^2 (1 - r), and the posterior's variance is sigma_s^2 (1 -
// r).

Move diffuse(const Level& s, const Level& t) {
    return {t.alpha / s.alpha, 0, t.sigma * std::sqrt(1 - snr_ratio(t, s))};
}

Move ddpm(const Level& t, const Level& s) {
    const double r = snr_ratio(t, s);
    return {r * s.alpha / t.alpha, s.alpha * (1 - r), s.sigma * std::sqrt(1 - r)};
}

Move ddim(const Level& t, const Level& s) {
    const double keep = s.sigma / t.sigma;
    return {keep, s.alpha - t.alpha * keep, 0};
}

Result<GaussianDiffusion> GaussianDiffusion::create(GaussianConfig config, int vocab_size) {
    if (vocab_size < 2) return fail("a Gaussian model needs at least two characters");
    GaussianDiffusion diffusion;
    if (config.schedule == GaussianSchedule::linear) {
        if (config.steps < 2 || config.steps > 2048) {
            return fail("the noise schedule has " + std::to_string(config.steps) + " steps, but must have 2 to 2048");
        }
        double alpha_bar = 1;
        diffusion.g_.push_back(elementary::log(0));
        for (int n = 0; n < config.steps; ++n) {
            alpha_bar *= 1 - (first_beta + (last_beta - first_beta) * n / (config.steps - 1));
            diffusion.g_.push_back(elementary::log((1 - alpha_bar) / alpha_bar));
        }
    } else {
        const std::vector<double>& knots = config.knots;
        const auto not_below = [](double a, double b) { return !(a < b); };
        if (knots.size() < 2 || knots.size() > 4096 || !(knots.front() >= -20) || !(knots.back() <= 20) ||
            std::adjacent_find(knots.begin(), knots.end(), not_below) != knots.end()) {
            return fail("the knots of the noise schedule must be 2 to 4096 rising numbers between -20 and 20");
        }
        diffusion.g_ = knots;
    }
    diffusion.centre_ = config.centred ? 1.0 / vocab_size : 0.0;
    diffusion.config_ = std::move(config);
    diffusion.vocab_size_ = vocab_size;
    return diffusion;
}

Level GaussianDiffusion::level(double t) const {
    assert(t >= 0 && t <= 1);
    double g;
    if (config_.schedule == GaussianSchedule::linear) {
        const int step = static_cast<int>(t * config_.steps + 0.5);
        t = static_cast<double>(step) / config_.steps;
        g = g_[step];
    } else {
        g = interpolate(g_, t);
    }
    return {t, g, std::sqrt(sigmoid(-g)), std::sqrt(sigmoid(g))};
}

Level GaussianDiffusion::training_level(double share) const {
    if (config_.schedule == GaussianSchedule::warped) return level(share);
    return level((std::floor(share * config_.steps) + 1) / config_.steps);
}

void GaussianDiffusion::features(const Level& t, std::span<float> out) const {
    const int half = static_cast<int>(out.size()) / 2;
    const bool warped = config_.schedule == GaussianSchedule::warped;
    for (int i = 0; i < half; ++i) {
        const double share = static_cast<double>(i) / (warped ? std::max(half - 1, 1) : half);
        const double frequency = elementary::exp(warped ? 10 * share - 5 : -elementary::log(10000.0) * share);
        double sine, cosine;
        elementary::sin_cos(frequency * (warped ? t.g : t.t * config_.steps), sine, cosine);
        out[i] = static_cast<float>(sine);
        out[half + i] = static_cast<float>(cosine);
    }
    if (out.size() % 2 != 0) out.back() = 0;
}

std::vector<Level> GaussianDiffusion::grid(int steps) const {
    assert(steps >= 1);
    if (config_.schedule == GaussianSchedule::linear) steps = std::min(steps, config_.steps);
    std::vector<Level> levels;
    for (int left = steps; left >= 0; --left) levels.push_back(level(static_cast<double>(left) / steps));
    return levels;
}

Level GaussianDiffusion::churned(const Level& t, double gamma) const {
    if (t.g < churn_from || t.g > churn_to) return t;
    const double g = t.g + 2 * elementary::log(1 + gamma);
    const auto end = std::lower_bound(g_.begin() + 1, g_.end() - 1, g);  // of the line that g lies on
    const bool whole = config_.schedule == GaussianSchedule::linear || g >= *end;
    const double share = whole ? 1 : (g - end[-1]) / (end[0] - end[-1]);
    return level((static_cast<double>(end - g_.begin() - 1) + share) / static_cast<double>(g_.size() - 1));
}

Level GaussianDiffusion::given(const Level& t) const {
    return config_.schedule == GaussianSchedule::linear ? t : level(0);
}

void GaussianDiffusion::noised(const Level& t, int id, std::span<const double> eps, std::span<float> z) const {
    for (std::size_t i = 0; i < z.size(); ++i) {
        const double x = static_cast<int>(i) == id ? 1 : 0;
        z[i] = static_cast<float>(t.alpha * (x - centre_) + t.sigma * eps[i]);
    }
}

void GaussianDiffusion::apply(const Move& move, std::span<const double> x, std::span<const double> eps,
                              std::span<float> z) const {
    for (std::size_t i = 0; i < z.size(); ++i) {
        double moved = move.keep * z[i];
        if (move.pull != 0) moved += move.pull * (x[i] - centre_);
        if (move.noise != 0) moved += move.noise * eps[i];
        z[i] = static_cast<float>(moved);
    }
}

double GaussianDiffusion::input_scale(const Level& t) const {
    if (config_.schedule == GaussianSchedule::linear) return 1;
    return 1 / std::sqrt(t.alpha * t.alpha / vocab_size_ + t.sigma * t.sigma);
}

void GaussianDiffusion::likelihood(const Level& t, std::span<const float> z, std::span<float> logits) const {
    const double slope = t.matched_filter();
    for (std::size_t i = 0; i < z.size(); ++i) logits[i] = static_cast<float>(slope * z[i]);
}

bool GaussianDiffusion::estimate(const Level& t, std::span<const float> z, std::span<const float> answer,
                                 std::span<double> x_hat, double temperature, int top_k) const {
    if (config_.prediction == GaussianPrediction::eps) {
        for (std::size_t i = 0; i < z.size(); ++i) {
            if (!std::isfinite(answer[i])) return false;
            x_hat[i] = (z[i] - t.sigma * answer[i]) / t.alpha + centre_;
        }
        return true;
    }
    if (temperature == 0) top_k = 1;
    if (!softmax(answer, -1, x_hat, temperature == 0 ? 1 : temperature)) return false;
    if (top_k > 0 && top_k < vocab_size_) keep_likeliest(answer, top_k, x_hat);
    return true;
}

double GaussianDiffusion::prior_nats() const {
    const Level noise = level(1);
    const double variance = noise.sigma * noise.sigma, square = 1 - centre_;  // ||x||^2, 1 - 1 / V where centred
    return 0.5 * (vocab_size_ * (variance - 1 - elementary::log(variance)) + noise.alpha * noise.alpha * square);
}

double GaussianDiffusion::reconstruction_nats(const Level& t, std::span<const float> z, std::span<const float> answer,
                                              int id) const {
    if (config_.prediction == GaussianPrediction::x0) return nll(answer, id);
    std::vector<float> logits(z.size());
    likelihood(t, z, logits);
    return nll(logits, id);
}

double GaussianDiffusion::weight(double t) const {
    assert(config_.schedule == GaussianSchedule::warped);
    const std::size_t line = segment_of(g_, t).line;
    const double slope = (g_[line + 1] - g_[line]) * static_cast<double>(g_.size() - 1);
    return 0.5 * slope * elementary::exp(-interpolate(g_, t));
}

GaussianDiffusion::Draw GaussianDiffusion::bound_draw(double share) const {
    const bool linear = config_.schedule == GaussianSchedule::linear;
    const std::size_t first = linear ? 1 : 0, last = g_.size() - 1;  // the bound's sum begins at the second step
    const auto drawn_before = [&](std::size_t i) {
        return 0.5 * static_cast<double>(i - first) / static_cast<double>(last - first) +
               0.5 * (g_[i] - g_[first]) / (g_[last] - g_[first]);
    };
    std::size_t from = first, to = last;
    while (to - from > 1) {
        const std::size_t middle = (from + to) / 2;
        (drawn_before(middle) <= share ? from : to) = middle;
    }
    const double density = drawn_before(to) - drawn_before(from);  // of the line or the step
    if (linear) {
        const Level t = level(static_cast<double>(to) / config_.steps),
                    s = level(static_cast<double>(from) / config_.steps);
        return {t, folio::weight(t, s) / density};
    }
    const double t =
        std::min((static_cast<double>(from) + (share - drawn_before(from)) / density) / static_cast<double>(last), 1.0);
    return {level(t), weight(t) / (density * static_cast<double>(last))};
}

double weight(const Level& t, const Level& s) { return 0.5 * (s.snr() - t.snr()); }

double squared_error(std::span<const double> x_hat, int id) {
    double sum = 0;
    for (std::size_t i = 0; i < x_hat.size(); ++i) {
        const double error = (static_cast<int>(i) == id ? 1 : 0) - x_hat[i];
        sum += error * error;
    }
    return sum;
}

double argmax_accuracy(double g, int vocab_size) {
    const double shift = elementary::exp(-0.5 * g), h = 1.0 / 32;  // alpha / sigma
    const auto density = [](double z) { return 0.39894228040143268 * elementary::exp(-0.5 * z * z); };
    const int nodes = static_cast<int>((shift + 18) / h);
    double below = 0, sum = 0;  // Phi(z) by Simpson's rule, the integral by the trapezium's
    for (int i = 0; i < nodes; ++i) {
        const double z = -9 + i * h;
        below += h / 6 * (density(z) + 4 * density(z + h / 2) + density(z + h));
        sum += h * density(z + h - shift) * elementary::exp((vocab_size - 1) * elementary::log(below));
    }
    return sum;
}

std::vector<double> rewarped(std::span<const double> knots, std::span<const double> mass) {
    const std::size_t bins = mass.size();
    std::vector<double> share(bins);
    std::transform(mass.begin(), mass.end(), share.begin(), [](double m) { return std::isfinite(m) && m > 0 ? m : 0; });
    const double mean = std::accumulate(share.begin(), share.end(), 0.0) / static_cast<double>(bins);
    const double least = std::max(1e-3 * mean, std::numeric_limits<double>::min());
    for (double& m : share) m = std::max(m, least);
    const double total = std::accumulate(share.begin(), share.end(), 0.0);

    std::vector<double> result(knots.begin(), knots.end());
    std::size_t bin = 0;
    double before = 0;  // the mass of all bins before `bin`
    for (std::size_t i = 1; i + 1 < result.size(); ++i) {
        const double wanted = total * static_cast<double>(i) / static_cast<double>(result.size() - 1);
        while (bin + 1 < bins && before + share[bin] < wanted) before += share[bin++];
        const double old_t = (static_cast<double>(bin) + (wanted - before) / share[bin]) / static_cast<double>(bins);
        result[i] = interpolate(knots, std::min(old_t, 1.0));
    }
    return result;
}

void LossByNoise::forget() {
    constexpr float kept = 0.999f;
    for (float& sum : sums) sum *= kept;
    for (float& count : counts) count *= kept;
}

void LossByNoise::add(double g, double loss) {
    const double share = (g - cleanest) / (noisiest - cleanest);
    const auto bin = static_cast<std::size_t>(std::clamp(share * bins, 0.0, bins - 1.0));
    sums[bin] += static_cast<float>(loss);
    ++counts[bin];
}

std::vector<double> LossByNoise::knots() const {
    struct Pool {
        double sum, count;
        int bins;
        double mean() const { return sum / count; }
    };
    std::vector<Pool> pools;
    for (int i = 0; i < bins; ++i) {
        // A bin that has seen nothing counts as the one before it.
        if (counts[i] <= 0 && pools.empty())
            pools.push_back({0, 1e-6, 1});
        else if (counts[i] <= 0)
            ++pools.back().bins;
        else
            pools.push_back({sums[i], counts[i], 1});
        while (pools.size() > 1 && pools.end()[-2].mean() >= pools.back().mean()) {
            const Pool last = pools.back();
            pools.pop_back();
            pools.back() = {pools.back().sum + last.sum, pools.back().count + last.count,
                            pools.back().bins + last.bins};
        }
    }
    std::vector<double> loss;
    for (const Pool& pool : pools) loss.insert(loss.end(), pool.bins, pool.mean());
    std::vector<double> even(bins + 1), risen(bins);
    for (int i = 0; i <= bins; ++i) even[i] = cleanest + (noisiest - cleanest) * i / bins;
    for (int i = 0; i < bins; ++i) {
        const int from = std::max(i - 1, 0), to = std::min(i + 1, bins - 1);
        risen[i] = (loss[to] - loss[from]) / (to - from);
    }
    return rewarped(even, risen);
}

GaussianConfig even_gaussian() {
    GaussianConfig config;
    config.prediction = GaussianPrediction::x0;
    config.schedule = GaussianSchedule::warped;
    config.knots = {cleanest, noisiest};
    config.centred = true;
    config.matched_filter = true;
    return config;
}

GaussianConfig warped_gaussian(int vocab_size) {
    constexpr int bins = 100;
    std::vector<double> even(bins + 1), accuracy(bins + 1), lost(bins);
    for (int i = 0; i <= bins; ++i) {
        even[i] = cleanest + (noisiest - cleanest) * i / bins;
        accuracy[i] = argmax_accuracy(even[i], vocab_size);
    }
    for (int i = 0; i < bins; ++i) lost[i] = accuracy[i] - accuracy[i + 1];
    GaussianConfig config = even_gaussian();
    config.knots = rewarped(even, lost);
    return config;
}

}  // namespace folio
