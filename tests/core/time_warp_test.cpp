#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/gaussian_support.h"

using namespace folio;
using namespace folio::test;

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
        right += argmax(z) == i % 65;
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
