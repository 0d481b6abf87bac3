#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/gaussian_support.h"

using namespace folio;
using namespace folio::test;

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
            const double nats = reconstruction_nats(*diffusion, level, z, model.logits(level, z), 2);
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
    std::vector<float> logits = {1, 3, 2, 3};
    std::vector<double> x(4);
    REQUIRE(diffusion.estimate(level, z, logits, x, 2));
    for (int i = 0; i < 4; ++i) CHECK(x[i] / x[0] == Approx(std::exp((logits[i] - 1) / 2)));
    REQUIRE(diffusion.estimate(level, z, logits, x, 1, 3));
    CHECK(x[0] == 0);
    CHECK(x[1] / x[2] == Approx(std::exp(1)));
    CHECK(std::accumulate(x.begin(), x.end(), 0.0) == Approx(1));
    REQUIRE(diffusion.estimate(level, z, logits, x, 0));
    CHECK(x == std::vector<double>{0, 1, 0, 0});
    for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        logits[2] = wrong;
        CHECK(!diffusion.estimate(level, z, logits, x));
        CHECK(!article(4).estimate(article(4).schedule().level(0.5), z, logits, x));
        CHECK(std::isnan(reconstruction_nats(diffusion, level, z, logits, 0)));
    }
}

TEST_CASE("chains with the exact posterior bring back the frequencies") {
    const std::vector<double> p = {0.4, 0.3, 0.15, 0.1, 0.05};
    const int vocab_size = 5, chains = 8000, steps = 100;
    enum Sampler { ancestral, deterministic, churning };  // churn before deterministic steps, as Karras et al. have it
    for (const Sampler sampler : {ancestral, deterministic, churning}) {
        for (const bool linear : {false, true}) {
            const GaussianDiffusion diffusion = linear ? article(vocab_size, 1000) : warped(vocab_size);
            const Unigram model{diffusion, linear ? GaussianPrediction::eps : GaussianPrediction::x0, p};
            const std::vector<NoiseLevel> levels = levels_of(diffusion.schedule(), steps);
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
                ++seen[argmax(z)];
            }
            double chi_square = 0;
            for (int i = 0; i < vocab_size; ++i) chi_square += std::pow(seen[i] - chains * p[i], 2) / (chains * p[i]);
            INFO("sampler " << sampler << ", linear " << linear << ": " << chi_square);
            CHECK(chi_square < 18.5);  // by chance once in a thousand
        }
    }
}
