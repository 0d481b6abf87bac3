#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "tests/gaussian_support.h"

using namespace folio;
using namespace folio::test;

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
    const auto logits = model.logits(t, z);
    CHECK(x[0] == Approx(expected[0]).epsilon(1e-5));
    const double eps_error = std::pow(eps[0] - logits[0], 2) + std::pow(eps[1] - logits[1], 2);
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
