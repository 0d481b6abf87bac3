#include <catch2/catch.hpp>
#include <cmath>

#include "core/sampling/draw.h"
#include "tests/sampler_support.h"

using namespace folio;
using namespace folio::test;

TEST_CASE("softmax and its summary") {
    const std::vector<float> logits = {std::log(.5f), 9, std::log(.2f), std::log(.2f), std::log(.1f), -40};
    std::vector<double> p(6);
    REQUIRE(softmax(logits, 1, p));
    CHECK(p[0] == Approx(.5));
    CHECK(p[1] == 0);
    const Prediction seen = summarize(p, 1);
    CHECK(seen.confidence == Approx(.5));
    CHECK(seen.margin == Approx(.3));
    CHECK(seen.entropy == Approx(-.5 * std::log(.5) - .4 * std::log(.2) - .1 * std::log(.1)));
    CHECK(seen.top_id == std::array<int, 4>{0, 2, 3, 4});
    CHECK(seen.top_probability[3] == Approx(.1f));
    const std::vector<double> two = {.25, 0, .75};
    CHECK(summarize(two, 1).top_id == std::array<int, 4>{2, 0, -1, -1});
    const std::vector<float> broken = {0, NAN};
    CHECK(!softmax(broken, -1, p));
}

TEST_CASE("draws follow temperature, top-k and top-p") {
    // Id 2 is [MASK]; 1 and 4 tie.
    const std::vector<double> p = {.1, .2, .9, .35, .2, .15};
    std::vector<float> logits;
    for (const double x : p) logits.push_back(static_cast<float>(std::log(x)));
    struct Case {
        double temperature;
        int top_k;
        double top_p;
        std::vector<double> expected;
    };
    const auto power = [](double x) { return std::pow(x, 2); };
    const double all = power(.1) + 2 * power(.2) + power(.35) + power(.15);
    const std::vector<Case> cases = {
        {1, 0, 1, {.1, .2, 0, .35, .2, .15}},
        {.5, 0, 1, {power(.1) / all, power(.2) / all, 0, power(.35) / all, power(.2) / all, power(.15) / all}},
        {1, 2, 1, {0, .2 / .55, 0, .35 / .55, 0, 0}},
        {1, 0, .5, {0, .2 / .55, 0, .35 / .55, 0, 0}},
        {1, 0, .56, {0, .2 / .75, 0, .35 / .75, .2 / .75, 0}},
        {1, 3, .7, {0, .2 / .55, 0, .35 / .55, 0, 0}},  // .55 of the .75 that top-k left are 73 %
        {1, 0, 0, {0, 0, 0, 1, 0, 0}},
        {0, 0, 1, {0, 0, 0, 1, 0, 0}},
        {1e-300, 0, 1, {0, 0, 0, 1, 0, 0}},
    };
    for (const Case& c : cases) {
        SamplingOptions options;
        options.temperature = c.temperature;
        options.top_k = c.top_k;
        options.top_p = c.top_p;
        std::vector<int> counts(6, 0);
        for (int i = 0; i < 20000; ++i) ++counts[draw(logits, 2, options, philox(3, i, 0, Purpose::draw).word[0])];
        INFO("temperature " << c.temperature << ", top-k " << c.top_k << ", top-p " << c.top_p);
        CHECK(plausible(chi_square(counts, c.expected), 5));
    }
    const std::vector<float> equal = {0, 0, 0};
    SamplingOptions greedy;
    greedy.temperature = 0;
    CHECK(draw(equal, 0, greedy, 0) == 1);
    SamplingOptions first;
    first.top_k = 1;
    CHECK(draw(equal, 0, first, 0xFFFFFFFF) == 1);
    CHECK(draw(equal, -1, SamplingOptions{}, 0xFFFFFFFF) == 2);
    CHECK(draw(equal, -1, SamplingOptions{}, 0) == 0);
    const std::vector<float> four = {0, 0, 0, 0};
    SamplingOptions half;
    half.top_p = .5;  // two of four are enough
    CHECK(draw(four, -1, half, 0xFFFFFFFF) == 1);
}
