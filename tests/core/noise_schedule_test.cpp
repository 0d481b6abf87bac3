#include <catch2/catch.hpp>
#include <cmath>

#include "tests/gaussian_support.h"

using namespace folio;
using namespace folio::test;

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
    const std::vector<NoiseLevel> even = levels_of(warped(65).schedule(), 8);
    REQUIRE(even.size() == 9);
    for (int i = 0; i <= 8; ++i) CHECK(even[i].t == Approx(1 - i / 8.0));
    const std::vector<NoiseLevel> some = levels_of(article(65).schedule(), 50);
    REQUIRE(some.size() == 51);
    CHECK(some.front().t == 1);
    CHECK(some.back().t == 0);
    for (int i = 0; i < 50; ++i) {
        CHECK(some[i].t > some[i + 1].t);
        CHECK(some[i].t * 128 == std::floor(some[i].t * 128));
    }
}

TEST_CASE("churn raises sigma / alpha where the characters are decided, and nowhere else") {
    const double gamma = 0.15;
    const auto ratio = [](const NoiseLevel& level) { return level.sigma / level.alpha; };
    const GaussianDiffusion diffusion = warped(65);
    int raised = 0;
    for (const NoiseLevel& t : levels_of(diffusion.schedule(), 64)) {
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
