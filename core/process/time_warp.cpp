#include "core/process/time_warp.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/elementary.h"
#include "core/process/noise_schedule.h"

namespace folio {

namespace {

constexpr double cleanest = -4, noisiest = 6;  // -log SNR of the preset gaussian

/// Ends of `bins` bins, even in -log SNR.
std::vector<double> even_knots(int bins) {
    std::vector<double> knots(static_cast<std::size_t>(bins) + 1);
    for (int i = 0; i <= bins; ++i) knots[i] = cleanest + (noisiest - cleanest) * i / bins;
    return knots;
}

}  // namespace

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
    const std::vector<double> even = even_knots(bins);
    std::vector<double> accuracy(bins + 1), lost(bins);
    for (int i = 0; i <= bins; ++i) accuracy[i] = argmax_accuracy(even[i], vocab_size);
    for (int i = 0; i < bins; ++i) lost[i] = accuracy[i] - accuracy[i + 1];
    GaussianConfig config = even_gaussian();
    config.knots = adapt_time_warp(even, lost);
    return config;
}

double argmax_accuracy(double neg_log_snr, int vocab_size) {
    const double shift = elementary::exp(-0.5 * neg_log_snr), h = 1.0 / 32;  // alpha / sigma
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

std::vector<double> adapt_time_warp(std::span<const double> knots, std::span<const double> mass) {
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
        const double goal = total * static_cast<double>(i) / static_cast<double>(result.size() - 1);
        while (bin + 1 < bins && before + share[bin] < goal) before += share[bin++];
        const double old_t = (static_cast<double>(bin) + (goal - before) / share[bin]) / static_cast<double>(bins);
        result[i] = interpolate(knots, std::min(old_t, 1.0));
    }
    return result;
}

void LossByNoise::decay() {
    constexpr float kept = 0.999f;
    for (float& sum : sums) sum *= kept;
    for (float& count : counts) count *= kept;
}

void LossByNoise::add(double neg_log_snr, double loss) {
    const double share = (neg_log_snr - cleanest) / (noisiest - cleanest);
    const auto bin = static_cast<std::size_t>(std::clamp(share * bins, 0.0, bins - 1.0));
    sums[bin] += static_cast<float>(loss);
    ++counts[bin];
}

std::vector<double> LossByNoise::isotonic_loss() const {
    struct Pool {
        double sum, count;
        int bins;
        double mean() const { return sum / count; }
    };
    std::vector<Pool> pools;
    for (int i = 0; i < bins; ++i) {
        // A bin without samples counts as the one before it.
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
    return loss;
}

std::vector<double> LossByNoise::knots() const {
    const std::vector<double> loss = isotonic_loss();
    std::vector<double> slope(bins);
    for (int i = 0; i < bins; ++i) {
        const int from = std::max(i - 1, 0), to = std::min(i + 1, bins - 1);
        slope[i] = (loss[to] - loss[from]) / (to - from);
    }
    return adapt_time_warp(even_knots(bins), slope);
}

}  // namespace folio
