#include "core/process/gaussian.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/normals.h"
#include "core/process/gaussian_bound.h"
#include "core/process/time_warp.h"
#include "test_support.h"

using namespace folio;

namespace {

const double pi = std::acos(-1.0);

GaussianDiffusion article(int vocab_size, int steps = 128) {
    GaussianConfig config;
    config.steps = steps;
    return *GaussianDiffusion::create(config, vocab_size);
}

GaussianDiffusion warped(int vocab_size) { return *GaussianDiffusion::create(warped_gaussian(vocab_size), vocab_size); }

double phi(double x, double mean, double sigma) {
    return std::exp(-0.5 * (x - mean) * (x - mean) / (sigma * sigma)) / (sigma * std::sqrt(2 * pi));
}

/// Int f(x) phi(x) dx over N(0, 1).
template <class F>
double expectation(F&& f) {
    double sum = 0;
    for (double x = -8; x <= 8; x += 1.0 / 32) sum += f(x) * phi(x, 0, 1) / 32;
    return sum;
}

double entropy(const std::vector<double>& p) {
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

    /// The answer to z, with the likelihood in it.
    std::vector<float> answer(const NoiseLevel& t, const std::vector<float>& z) const {
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
        if (!diffusion.estimate(t, z, answer(t, z), result)) FAIL("not finite");
        return result;
    }
};

/// Two characters, of which everything is an integral over the difference of the two elements: E over both characters
/// and that noise of f(id, z).
template <class F>
double over_two(const Unigram& model, const NoiseLevel& t, F&& f) {
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

double mean_error(const Unigram& model, const NoiseLevel& t) {
    return over_two(model, t,
                    [&](int id, const std::vector<float>& z) { return squared_error(model.x_hat(t, z), id); });
}

double mean_reconstruction(const Unigram& model, const NoiseLevel& t) {
    return over_two(model, t, [&](int id, const std::vector<float>& z) {
        return reconstruction_nats(model.diffusion, t, z, model.answer(t, z), id);
    });
}

/// KL(q(z_t) || N(0, I)) of the mixture of both characters; `shared` is the mean along (1, 1) / sqrt 2.
double marginal_kl(const std::vector<double>& p, const NoiseLevel& t, double shared) {
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
double bound(const Unigram& model, int steps) {
    double nats = prior_nats(model.diffusion);
    const bool linear = model.prediction == GaussianPrediction::eps;
    const std::vector<NoiseLevel> levels = model.diffusion.schedule().grid(steps);
    const int last = static_cast<int>(levels.size()) - (linear ? 2 : 1);
    for (int i = 0; i < last; ++i) nats += bound_weight(levels[i], levels[i + 1]) * mean_error(model, levels[i]);
    return nats + mean_reconstruction(model, levels[last]);
}

int likeliest(const std::vector<float>& z) {
    return static_cast<int>(std::max_element(z.begin(), z.end()) - z.begin());
}

int drawn(const std::vector<double>& p, double u) {
    int id = 0;
    for (double sum = p[0]; sum < u && id + 1 < static_cast<int>(p.size()); sum += p[id]) ++id;
    return id;
}

}  // namespace

TEST_CASE("the article's levels are the products of 1 - beta") {
    const GaussianDiffusion diffusion = article(65);
    double product = 1;
    for (int n = 0; n <= 128; ++n) {
        if (n > 0) product *= 1 - (1e-4 + (0.02 - 1e-4) * (n - 1) / 127.0);
        const NoiseLevel level = diffusion.schedule().level(n / 128.0);
        CHECK(level.t == n / 128.0);
        CHECK(level.alpha * level.alpha == Approx(product).epsilon(1e-14));
        CHECK(level.sigma * level.sigma == Approx(1 - product).epsilon(1e-11));
        if (n > 0) CHECK(level.neg_log_snr == Approx(-std::log(level.snr())));
    }
    const NoiseLevel noise = diffusion.schedule().level(1), clean = diffusion.schedule().level(0);
    CHECK(noise.alpha * noise.alpha == Approx(0.274).margin(5e-4));
    CHECK(noise.alpha == Approx(0.523).margin(5e-4));
    CHECK(noise.neg_log_snr == Approx(0.98).margin(6e-3));
    CHECK(clean.alpha == 1);
    CHECK(clean.sigma == 0);
    CHECK(diffusion.schedule().level(0.5 + 0.49 / 128).t == 0.5);
    CHECK(article(65, 49).schedule().level(1.0 / 49).sigma == Approx(0.01));
}

TEST_CASE("warped levels follow the knots") {
    GaussianConfig config = warped_gaussian(65);
    config.knots = {-4, -1, 6};
    const auto diffusion = GaussianDiffusion::create(config, 65);
    REQUIRE(diffusion);
    const std::pair<double, double> expected[] = {{0, -4}, {0.25, -2.5}, {0.5, -1}, {0.9, 4.6}, {1, 6}};
    for (const auto& [t, g] : expected) {
        const NoiseLevel level = diffusion->schedule().level(t);
        CHECK(level.neg_log_snr == Approx(g));
        CHECK(level.alpha * level.alpha == Approx(1 / (1 + std::exp(g))));
        CHECK(level.alpha * level.alpha + level.sigma * level.sigma == Approx(1).epsilon(1e-15));
        CHECK(level.snr() == Approx(std::exp(-g)));
    }
}

TEST_CASE("sampling steps are even in t, and the article's are among its own") {
    const std::vector<NoiseLevel> even = warped(65).schedule().grid(8);
    REQUIRE(even.size() == 9);
    for (int i = 0; i <= 8; ++i) CHECK(even[i].t == Approx(1 - i / 8.0));
    const std::vector<NoiseLevel> some = article(65).schedule().grid(50);
    REQUIRE(some.size() == 51);
    CHECK(some.front().t == 1);
    CHECK(some.back().t == 0);
    for (int i = 0; i < 50; ++i) {
        CHECK(some[i].t > some[i + 1].t);
        CHECK(some[i].t * 128 == std::floor(some[i].t * 128));
    }
    CHECK(article(65).schedule().grid(1000).size() == 129);
}

TEST_CASE("the accuracy of argmax by its integral, its table and by counting") {
    const double table[][2] = {{-3, .026},  {-2, .035}, {-1, .055},  {0, .109}, {.5, .167}, {1, .264},
                               {1.5, .421}, {2, .636},  {2.5, .852}, {3, .973}, {3.5, .999}};
    for (const auto& [log_snr, accuracy] : table) {
        CHECK(argmax_accuracy(-log_snr, 65) == Approx(accuracy).margin(6e-4));
        const double shift = std::exp(log_snr / 2);
        const double integral =
            expectation([&](double w) { return std::pow(0.5 * std::erfc(-(w + shift) / std::sqrt(2.0)), 64); });
        CHECK(argmax_accuracy(-log_snr, 65) == Approx(integral).epsilon(1e-7));
    }
    CHECK(argmax_accuracy(1, 2) == Approx(0.5 * std::erfc(-std::exp(-0.5) / 2)).epsilon(1e-7));

    const GaussianDiffusion diffusion = warped(65);
    const NoiseLevel level = diffusion.schedule().level(0.4);
    const int n = 20000;
    int right = 0;
    std::vector<double> eps(65);
    std::vector<float> z(65);
    for (int i = 0; i < n; ++i) {
        normals(eps, 1, i, 0, Purpose::diffuse);
        diffusion.noised(level, i % 65, eps, z);
        right += likeliest(z) == i % 65;
    }
    const double accuracy = argmax_accuracy(level.neg_log_snr, 65);
    CHECK(right / double(n) == Approx(accuracy).margin(4 * std::sqrt(accuracy * (1 - accuracy) / n)));
}

TEST_CASE("the preset's accuracy of argmax falls linearly with t") {
    for (const int vocab_size : {2, 65}) {
        const GaussianConfig config = warped_gaussian(vocab_size);
        REQUIRE(config.knots.size() == 101);
        CHECK(config.knots.front() == -4);
        CHECK(config.knots.back() == 6);
        const double top = argmax_accuracy(-4, vocab_size), bottom = argmax_accuracy(6, vocab_size);
        for (int i = 0; i <= 100; ++i) {
            const double t = (top - argmax_accuracy(config.knots[i], vocab_size)) / (top - bottom);
            CHECK(t == Approx(i / 100.0).margin(2e-3));
        }
    }
}

TEST_CASE("noised rows have the moments of q(z_t | x)") {
    const int vocab_size = 5, n = 100000;
    for (const bool centred : {false, true}) {
        GaussianConfig config = warped_gaussian(vocab_size);
        config.centred = centred;
        const auto diffusion = GaussianDiffusion::create(config, vocab_size);
        const NoiseLevel level = diffusion->schedule().level(0.6);
        std::vector<double> mean(vocab_size), square(vocab_size), eps(vocab_size);
        std::vector<float> z(vocab_size);
        for (int i = 0; i < n; ++i) {
            normals(eps, 2, i, 0, Purpose::diffuse);
            diffusion->noised(level, 3, eps, z);
            for (int j = 0; j < vocab_size; ++j) {
                mean[j] += z[j] / double(n);
                square[j] += double(z[j]) * z[j] / n;
            }
        }
        const double variance = level.sigma * level.sigma;
        for (int j = 0; j < vocab_size; ++j) {
            const double expected = level.alpha * ((j == 3) - (centred ? 0.2 : 0.0));
            CHECK(mean[j] == Approx(expected).margin(4 * level.sigma / std::sqrt(n)));
            CHECK(square[j] - mean[j] * mean[j] == Approx(variance).margin(4 * variance * std::sqrt(2.0 / n)));
        }
    }
}

TEST_CASE("steps into noise add up") {
    for (const GaussianDiffusion& diffusion : {article(5), warped(5)}) {
        for (const auto& [from, to] : {std::pair{0.0, 0.5}, {0.25, 0.5}, {0.5, 1.0}, {0.5, 0.5}}) {
            const NoiseLevel s = diffusion.schedule().level(from), t = diffusion.schedule().level(to);
            const StepCoefficients move = diffuse(s, t);
            CHECK(move.z * s.alpha == Approx(t.alpha));
            CHECK(std::pow(move.z * s.sigma, 2) + std::pow(move.eps, 2) == Approx(t.sigma * t.sigma));
            CHECK(move.x_hat == 0);
        }
    }
}

TEST_CASE("the ancestral step is Bayes' rule") {
    const double x = 0.7;
    for (const GaussianDiffusion& diffusion : {article(5), warped(5)}) {
        for (const auto& [from, to] : {std::pair{1.0, 0.9375}, {0.5, 0.4921875}, {0.75, 0.125}, {0.2, 0.1}}) {
            const NoiseLevel t = diffusion.schedule().level(from), s = diffusion.schedule().level(to);
            const StepCoefficients forward = diffuse(s, t), step = ddpm(t, s);
            const double z = t.alpha * x + 0.8 * t.sigma;
            // q(z_s | z_t, x) is q(z_t | z_s) q(z_s | x) but for a constant: its moments on a grid of z_s.
            double mass = 0, mean = 0, square = 0;
            for (int i = -40000; i <= 40000; ++i) {
                const double z_s = s.alpha * x + s.sigma * i / 4000.0;
                const double density = phi(z, forward.z * z_s, forward.eps) * phi(z_s, s.alpha * x, s.sigma);
                mass += density;
                mean += density * z_s;
                square += density * z_s * z_s;
            }
            mean /= mass;
            CHECK(step.z * z + step.x_hat * x == Approx(mean).epsilon(1e-9));
            CHECK(step.eps * step.eps == Approx(square / mass - mean * mean).epsilon(1e-6));
        }
    }
}

TEST_CASE("an ancestral step of an eps network is the article's formula") {
    const GaussianDiffusion diffusion = article(65);
    test::Random random(3);
    for (const int n : {1, 2, 64, 128}) {
        const NoiseLevel t = diffusion.schedule().level(n / 128.0), s = diffusion.schedule().level((n - 1) / 128.0);
        auto z = random.normals<float>(65);
        const auto eps = random.normals<float>(65);
        const auto noise = random.normals(65);
        const double beta = 1e-4 + (0.02 - 1e-4) * (n - 1) / 127.0;
        const double alpha_bar = t.alpha * t.alpha, before = s.alpha * s.alpha;
        const double sigma = std::sqrt(beta * (1 - before) / (1 - alpha_bar));
        std::vector<double> expected(65), x_hat(65);
        for (int i = 0; i < 65; ++i) {
            expected[i] = (z[i] - beta / std::sqrt(1 - alpha_bar) * eps[i]) / std::sqrt(1 - beta) + sigma * noise[i];
        }
        REQUIRE(diffusion.estimate(t, z, eps, x_hat));
        const StepCoefficients step = ddpm(t, s);
        CHECK((step.eps == 0) == (n == 1));
        diffusion.apply(step, x_hat, n > 1 ? std::span<const double>(noise) : std::span<const double>(), z);
        for (int i = 0; i < 65; ++i) CHECK(z[i] == Approx(expected[i]).epsilon(1e-6).margin(1e-6));
    }
}

TEST_CASE("the deterministic step keeps eps") {
    const GaussianDiffusion diffusion = warped(4);
    const NoiseLevel t = diffusion.schedule().level(0.8), s = diffusion.schedule().level(0.3);
    const std::vector<double> x = {0.1, 0.2, 0.3, 0.4}, eps = {1, -0.5, 0.25, 2};
    std::vector<float> z(4);
    for (int i = 0; i < 4; ++i) z[i] = static_cast<float>(t.alpha * (x[i] - 0.25) + t.sigma * eps[i]);
    const StepCoefficients step = ddim(t, s);
    CHECK(step.eps == 0);
    diffusion.apply(step, x, {}, z);
    for (int i = 0; i < 4; ++i) CHECK(z[i] == Approx(s.alpha * (x[i] - 0.25) + s.sigma * eps[i]).epsilon(1e-5));
}

TEST_CASE("churn raises sigma / alpha where the characters are decided, and nowhere else") {
    const double gamma = 0.15;
    const auto ratio = [](const NoiseLevel& level) { return level.sigma / level.alpha; };
    const GaussianDiffusion diffusion = warped(65);
    int raised = 0;
    for (const NoiseLevel& t : diffusion.schedule().grid(64)) {
        const NoiseLevel start = diffusion.schedule().churned(t, gamma);
        const bool inside = t.neg_log_snr >= -3 && t.neg_log_snr <= 2;
        CHECK(ratio(start) == Approx(inside ? ratio(t) * 1.15 : ratio(t)));
        CHECK(diffusion.schedule().level(start.t).neg_log_snr == Approx(start.neg_log_snr));
        CHECK(diffusion.schedule().churned(t, 0).neg_log_snr == Approx(t.neg_log_snr));
        raised += inside;
    }
    CHECK(raised > 50);
    const GaussianDiffusion steps = article(65);
    for (int n = 1; n <= 128; ++n) {
        const NoiseLevel t = steps.schedule().level(n / 128.0), start = steps.schedule().churned(t, gamma);
        const int moved = static_cast<int>(start.t * 128);
        if (t.neg_log_snr < -3) {
            CHECK(moved == n);
        } else {
            CHECK((moved == 128 || ratio(start) >= 1.15 * ratio(t)));
            CHECK(ratio(steps.schedule().level((moved - 1) / 128.0)) < 1.15 * ratio(t));
        }
        CHECK(steps.schedule().churned(t, 0).t == t.t);
    }
    // A schedule that ends before the churned level does.
    GaussianConfig narrow = warped_gaussian(65);
    narrow.knots = {-4, 1.9};
    CHECK(GaussianDiffusion::create(narrow, 65)->schedule().churned({1, 1.9, 0.5, 0.5}, gamma).neg_log_snr ==
          Approx(1.9));
}

TEST_CASE("given characters are clean, or as noisy as the article has them") {
    const GaussianDiffusion clean = warped(65), noisy = article(65);
    CHECK(clean.schedule().conditioned(clean.schedule().level(0.7)).neg_log_snr == -4);
    CHECK(noisy.schedule().conditioned(noisy.schedule().level(0.75)).t == 0.75);
}

TEST_CASE("the network sees rows of unit variance") {
    const int vocab_size = 65;
    const GaussianDiffusion diffusion = warped(vocab_size);
    for (const double t : {0.0, 0.2, 0.5, 1.0}) {
        const NoiseLevel level = diffusion.schedule().level(t);
        double square = 0;
        std::vector<double> eps(vocab_size);
        std::vector<float> z(vocab_size);
        for (int i = 0; i < 6500; ++i) {
            normals(eps, 6, i, 0, Purpose::diffuse);
            diffusion.noised(level, i % vocab_size, eps, z);
            for (const float value : z)
                square += std::pow(diffusion.input_scale(level) * value, 2) / (6500 * vocab_size);
        }
        CHECK(square == Approx(1).margin(0.02));
    }
    CHECK(article(vocab_size).input_scale(article(vocab_size).schedule().level(0.5)) == 1);
}

TEST_CASE("with the likelihood in its logits, a network that knows the frequencies says Bayes' rule") {
    const std::vector<double> p = {0.4, 0.3, 0.15, 0.1, 0.05};
    test::Random random(8);
    for (const bool centred : {false, true}) {
        GaussianConfig config = warped_gaussian(5);
        config.centred = centred;
        const auto diffusion = GaussianDiffusion::create(config, 5);
        const Unigram model{*diffusion, GaussianPrediction::x0, p};
        for (const double t : {0.0, 0.1, 0.5, 0.9, 1.0}) {
            const NoiseLevel level = diffusion->schedule().level(t);
            std::vector<float> z(5);
            diffusion->noised(level, 2, random.normals(5), z);
            const auto said = model.x_hat(level, z), expected = model.posterior(level, z, centred ? 0.2 : 0.0);
            for (int i = 0; i < 5; ++i) CHECK(said[i] == Approx(expected[i]).epsilon(2e-5).margin(1e-9));
            const double nats = reconstruction_nats(*diffusion, level, z, model.answer(level, z), 2);
            CHECK(nats == Approx(-std::log(expected[2])).epsilon(2e-5).margin(1e-9));
        }
    }
}

TEST_CASE("the true eps gives x back") {
    for (const bool centred : {false, true}) {
        GaussianConfig config;
        config.centred = centred;
        const auto diffusion = GaussianDiffusion::create(config, 3);
        const NoiseLevel level = diffusion->schedule().level(0.5);
        const std::vector<double> eps = {1, -0.5, 2};
        std::vector<double> x(3);
        std::vector<float> z(3);
        diffusion->noised(level, 1, eps, z);
        REQUIRE(diffusion->estimate(level, z, test::converted<float>(eps), x));
        for (int i = 0; i < 3; ++i) CHECK(x[i] == Approx(i == 1).margin(1e-6));
    }
}

TEST_CASE("temperature and top-k shape the estimate") {
    const GaussianDiffusion diffusion = warped(4);
    const NoiseLevel level = diffusion.schedule().level(0.5);
    const std::vector<float> z(4, 0.f);
    std::vector<float> answer = {1, 3, 2, 3};
    std::vector<double> x(4);
    REQUIRE(diffusion.estimate(level, z, answer, x, 2));
    for (int i = 0; i < 4; ++i) CHECK(x[i] / x[0] == Approx(std::exp((answer[i] - 1) / 2)));
    REQUIRE(diffusion.estimate(level, z, answer, x, 1, 3));
    CHECK(x[0] == 0);
    CHECK(x[1] / x[2] == Approx(std::exp(1)));
    CHECK(std::accumulate(x.begin(), x.end(), 0.0) == Approx(1));
    REQUIRE(diffusion.estimate(level, z, answer, x, 0));
    CHECK(x == std::vector<double>{0, 1, 0, 0});
    for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        answer[2] = wrong;
        CHECK(!diffusion.estimate(level, z, answer, x));
        CHECK(!article(4).estimate(article(4).schedule().level(0.5), z, answer, x));
        CHECK(std::isnan(reconstruction_nats(diffusion, level, z, answer, 0)));
    }
}

TEST_CASE("the prior's KL divergence, by its figures and element by element") {
    CHECK(prior_nats(article(65)) == Approx(1.637).margin(5e-4));
    CHECK(prior_nats(warped(65)) == Approx(0.0013).margin(5e-5));
    for (const bool centred : {false, true}) {
        const GaussianDiffusion diffusion = centred ? warped(5) : article(5);
        const NoiseLevel noise = diffusion.schedule().level(1);
        double nats = 0;
        for (int i = 0; i < 5; ++i) {
            const double mean = noise.alpha * ((i == 0) - (centred ? 0.2 : 0.0));
            nats += expectation([&](double w) {
                const double z = mean + noise.sigma * w;
                return std::log(phi(z, mean, noise.sigma) / phi(z, 0, 1));
            });
        }
        CHECK(prior_nats(diffusion) == Approx(nats).epsilon(1e-8));
    }
}

TEST_CASE("with the exact posterior the continuous bound is the entropy and the prior's misfit, not a nat more") {
    // E NELBO = H(x) + KL(q(z_1) || N(0, I)): the rate of the diffusion term integrates to I(x; z_0) - I(x; z_1)
    // (Guo, Shamai & Verdu 2005, I-MMSE).
    const std::vector<double> p = {0.85, 0.15};
    const GaussianDiffusion diffusion = warped(2);
    const Unigram model{diffusion, GaussianPrediction::x0, p};
    double diffused = 0;
    const int nodes = 2000;
    for (int i = 0; i < nodes; ++i) {
        const double t = (i + 0.5) / nodes;
        diffused += bound_weight(diffusion.schedule(), t) * mean_error(model, diffusion.schedule().level(t)) / nodes;
    }
    const double nats = prior_nats(diffusion) + mean_reconstruction(model, diffusion.schedule().level(0)) + diffused;
    const double misfit = marginal_kl(p, diffusion.schedule().level(1), 0);
    CHECK(nats == Approx(entropy(p) + misfit).margin(5e-5));
    CHECK(misfit < prior_nats(diffusion));

    // Finite steps cost more, in the limit in proportion to their length.
    double fewer = bound(model, 4);
    for (const int steps : {8, 16, 32, 64, 128, 256, 512, 1024}) {
        const double more = bound(model, steps);
        UNSCOPED_INFO(steps << " steps: " << more - nats << " more");
        CHECK(more > nats);
        CHECK(more - nats < (steps > 128 ? 0.6 : 1.0) * (fewer - nats));
        fewer = more;
    }
    CHECK(fewer < nats + 0.01);
}

TEST_CASE("draws of the bound have its weights as their mean, and no draw counts out of all proportion") {
    // With squared errors of 1 / SNR the continuous bound is half of what g rises, whatever the time.
    const auto mean = [](const GaussianDiffusion& diffusion, double most) {
        const int n = 20000;
        double sum = 0, last_t = -1;
        for (int i = 0; i < n; ++i) {
            const auto [t, weight] = bound_draw(diffusion.schedule(), (i + 0.5) / n);
            CHECK(t.t >= last_t);
            CHECK(weight / t.snr() < most);
            sum += weight / t.snr() / n;
            last_t = t.t;
        }
        CHECK(bound_draw(diffusion.schedule(), 0).t.t < 0.02);
        CHECK(bound_draw(diffusion.schedule(), 1 - 1e-12).t.t == Approx(1));
        return sum;
    };
    CHECK(mean(warped(65), 10) == Approx(5).epsilon(1e-3));
    GaussianConfig bent = warped_gaussian(65);
    bent.knots = {-4, 5, 5.01, 6};
    CHECK(mean(*GaussianDiffusion::create(bent, 65), 10) == Approx(5).epsilon(1e-3));

    const GaussianDiffusion steps = article(65);
    double expected = 0;
    for (int n = 2; n <= 128; ++n)
        expected += bound_weight(steps.schedule().level(n / 128.0), steps.schedule().level((n - 1) / 128.0)) /
                    steps.schedule().level(n / 128.0).snr();
    CHECK(mean(steps, 20) == Approx(expected).epsilon(1e-2));
    CHECK(bound_draw(steps.schedule(), 0).t.t == Approx(2.0 / 128));
}

TEST_CASE("the article's bound with the exact eps") {
    const std::vector<double> p = {0.85, 0.15};
    const GaussianDiffusion diffusion = article(2);
    const Unigram model{diffusion, GaussianPrediction::eps, p};
    const NoiseLevel noise = diffusion.schedule().level(1);
    const double least = entropy(p) + marginal_kl(p, noise, noise.alpha / std::sqrt(2.0));
    CHECK(bound(model, 128) > least);
    CHECK(bound(model, 128) < least + 0.02);
    // x_hat out of eps is what Bayes' rule says, and its error is that of eps.
    const NoiseLevel t = diffusion.schedule().level(0.5);
    const double eps[] = {0.5, -1.5};
    std::vector<float> z(2);
    diffusion.noised(t, 1, eps, z);
    const auto x = model.x_hat(t, z), expected = model.posterior(t, z, 0);
    const auto answer = model.answer(t, z);
    CHECK(x[0] == Approx(expected[0]).epsilon(1e-5));
    const double eps_error = std::pow(eps[0] - answer[0], 2) + std::pow(eps[1] - answer[1], 2);
    CHECK(squared_error(x, 1) == Approx(eps_error * std::pow(t.sigma / t.alpha, 2)).epsilon(1e-5));
}

TEST_CASE("sixty-five characters: the bound returns their entropy") {
    const int vocab_size = 65, n = 80000;
    std::vector<double> p(vocab_size);
    for (int i = 0; i < vocab_size; ++i) p[i] = 1.0 / (i + 2);  // Zipf's
    const double total = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& q : p) q /= total;
    GaussianConfig config = warped_gaussian(vocab_size);
    config.knots = {-4, 6};  // spreads the rare, large errors of clean rows over more draws
    const GaussianDiffusion diffusion = *GaussianDiffusion::create(config, vocab_size);
    const Unigram model{diffusion, GaussianPrediction::x0, p};
    double mean = 0, variance = 0, last = 0;
    std::vector<double> eps(vocab_size);
    std::vector<float> z(vocab_size);
    for (int i = 0; i < n; ++i) {
        const double t = (i + 0.5) / n;
        const int id = drawn(p, uniform(philox_word(1, i, 0, Purpose::draw)));
        const NoiseLevel level = diffusion.schedule().level(t);
        normals(eps, 1, i, 0, Purpose::diffuse);
        diffusion.noised(level, id, eps, z);
        // By what z says of x rather than by this x: the same mean, less noise.
        const std::vector<double> x = model.x_hat(level, z);
        double nats = 0;
        for (int j = 0; j < vocab_size; ++j) nats += bound_weight(diffusion.schedule(), t) * x[j] * squared_error(x, j);
        mean += nats / n;
        // t is stratified: what chance does shows in the difference of neighbours.
        if (i % 2 == 1) variance += std::pow((nats - last) / n, 2);
        last = nats;
    }
    const double error = std::sqrt(variance);
    CHECK(error < 0.02);
    // The reconstruction is below 1e-4, the misfit between 0 and the prior's 0.0013.
    CHECK(mean + prior_nats(diffusion) == Approx(entropy(p)).margin(4 * error));
}

TEST_CASE("a new warp spreads the bound's integrand evenly over t") {
    // The integrand per g is a bump, its integral an error function; the old t is even in g.
    const auto below = [](double g) { return 0.5 * std::erfc(-(g + 1.5) / std::sqrt(2.0)); };
    std::vector<double> knots(101), mass(100);
    for (int i = 0; i <= 100; ++i) knots[i] = -4 + 0.1 * i;
    const auto masses = [&] {
        for (int i = 0; i < 100; ++i) mass[i] = below(knots[i + 1]) - below(knots[i]);
    };
    masses();
    const auto once = adapt_time_warp(knots, mass);
    knots = once;
    masses();
    CHECK(knots.front() == -4);
    CHECK(knots.back() == 6);
    CHECK(std::adjacent_find(knots.begin(), knots.end(), std::greater_equal<>()) == knots.end());
    for (int i = 2; i < 98; ++i) CHECK(mass[i] == Approx(0.00994).epsilon(0.05));
    // Again, and nothing moves any more.
    const auto twice = adapt_time_warp(knots, mass);
    for (int i = 0; i <= 98; ++i) CHECK(twice[i] == Approx(once[i]).margin(0.03));
}

TEST_CASE("a refitted time makes the loss linear in t, whatever time it was seen by") {
    const auto loss = [](double g) { return 3.3 / (1 + std::exp(-1.7 * (g + 1))); };
    folio::test::Random random(5);
    for (const double noise : {0.0, 0.3}) {
        LossByNoise seen;
        std::vector<double> knots = even_gaussian().knots;
        for (int refit = 0; refit < 3; ++refit) {
            const GaussianDiffusion diffusion =
                *GaussianDiffusion::create({GaussianPrediction::x0, GaussianSchedule::warped, 0, knots}, 65);
            const auto chance = random.normals<double>(32000);
            for (int step = 0; step < 1000; ++step) {
                seen.decay();
                for (int b = 0; b < 32; ++b) {
                    const double g = diffusion.schedule().level((b + 0.999 * step / 1000) / 32).neg_log_snr;
                    seen.add(g, loss(g) + noise * chance[step * 32 + b]);
                }
            }
            knots = seen.knots();
            CHECK(knots.front() == -4);
            CHECK(knots.back() == 6);
            CHECK(std::adjacent_find(knots.begin(), knots.end(), std::greater_equal<>()) == knots.end());
            for (int i = 0; i <= 100; ++i) {
                const double even = loss(-4) + (loss(6) - loss(-4)) * i / 100.0;
                CHECK(loss(knots[i]) == Approx(even).margin(noise > 0 ? 0.12 : 0.03));
            }
        }
    }
    // What is forgotten counts less: a loss that moved is followed.
    LossByNoise moved;
    for (const double at : {2.0, -2.0}) {
        for (int step = 0; step < 5000; ++step) {
            moved.decay();
            for (int i = 0; i < 100; ++i) moved.add(-3.95 + 0.1 * i, -3.95 + 0.1 * i < at ? 0 : 3);
        }
    }
    CHECK(moved.knots()[50] == Approx(-2).margin(0.1));
    // Nothing seen at all, or only below 0: time is even there.
    const std::vector<double> even = LossByNoise().knots();
    for (int i = 0; i <= 100; ++i) CHECK(even[i] == Approx(-4 + 0.1 * i));
    LossByNoise half;
    for (int i = 0; i < 40; ++i) half.add(-3.95 + 0.1 * i, i);
    CHECK(half.knots()[50] == Approx(-2).margin(0.1));
}

TEST_CASE("a new warp knows what to do with no loss and with what is none") {
    std::vector<double> knots = {-4, -3, 0, 2, 6}, mass(4, 0.0);
    for (const double nothing : {0.0, -1.0, double(NAN)}) {
        std::fill(mass.begin(), mass.end(), nothing);
        const auto same = adapt_time_warp(knots, mass);
        for (int i = 0; i < 5; ++i) CHECK(same[i] == Approx(knots[i]));
    }
    mass = {0, 1, 0, 0};
    const auto narrow = adapt_time_warp(knots, mass);  // three quarters and more within the second bin
    CHECK(narrow[0] == -4);
    CHECK(narrow[1] == Approx(-2.25).margin(0.01));
    CHECK(narrow[2] == Approx(-1.5).margin(0.01));
    CHECK(narrow[3] == Approx(-0.75).margin(0.01));
    CHECK(narrow[4] == 6);
}

TEST_CASE("chains with the exact posterior bring back the frequencies") {
    const std::vector<double> p = {0.4, 0.3, 0.15, 0.1, 0.05};
    const int vocab_size = 5, chains = 8000, steps = 100;
    enum Sampler { ancestral, deterministic, churning };  // churn before deterministic steps, as Karras et al. have it
    for (const Sampler sampler : {ancestral, deterministic, churning}) {
        for (const bool linear : {false, true}) {
            const GaussianDiffusion diffusion = linear ? article(vocab_size, 1000) : warped(vocab_size);
            const Unigram model{diffusion, linear ? GaussianPrediction::eps : GaussianPrediction::x0, p};
            const std::vector<NoiseLevel> levels = diffusion.schedule().grid(steps);
            std::vector<int> seen(vocab_size);
            std::vector<double> eps(vocab_size);
            for (int chain = 0; chain < chains; ++chain) {
                std::vector<float> z(vocab_size);
                normals(eps, 1, chain, 0, Purpose::pure_noise);
                diffusion.apply({0, 0, 1}, {}, eps, z);
                for (int step = 0; step < steps; ++step) {
                    NoiseLevel t = levels[step];
                    const NoiseLevel& s = levels[step + 1];
                    if (sampler == churning) {
                        const NoiseLevel start = diffusion.schedule().churned(t, 0.15);
                        normals(eps, 1, chain, step, Purpose::churn);
                        diffusion.apply(diffuse(t, start), {}, eps, z);
                        t = start;
                    }
                    normals(eps, 1, chain, step, Purpose::reverse);
                    diffusion.apply(sampler == ancestral ? ddpm(t, s) : ddim(t, s), model.x_hat(t, z), eps, z);
                }
                ++seen[likeliest(z)];
            }
            double chi_square = 0;
            for (int i = 0; i < vocab_size; ++i) chi_square += std::pow(seen[i] - chains * p[i], 2) / (chains * p[i]);
            INFO("sampler " << sampler << ", linear " << linear << ": " << chi_square);
            CHECK(chi_square < 18.5);  // by chance once in a thousand
        }
    }
}

TEST_CASE("schedules that are none are refused in a sentence") {
    GaussianConfig linear;
    for (const int steps : {-1, 0, 1, 2049}) {
        linear.steps = steps;
        CHECK(!GaussianDiffusion::create(linear, 65));
    }
    linear.steps = 2048;
    CHECK(GaussianDiffusion::create(linear, 65));
    CHECK(GaussianDiffusion::create(linear, 1).error().sentence == "a Gaussian model needs at least two characters");
    GaussianConfig config = warped_gaussian(65);
    CHECK(GaussianDiffusion::create(config, 65));
    const std::vector<double> wrong[] = {{},        {1},          {0, 0},         {1, 0},
                                         {-4, NAN}, {NAN, 1},     {-4, HUGE_VAL}, {-HUGE_VAL, 6},
                                         {-21, 0},  {0, 2, 1, 3}, {0, NAN, 1}};
    for (const auto& knots : wrong) {
        config.knots = knots;
        CHECK(GaussianDiffusion::create(config, 65).error().sentence ==
              "the knots of the noise schedule must be 2 to 4096 rising numbers between -20 and 20");
    }
}
