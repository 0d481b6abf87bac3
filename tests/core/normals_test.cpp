#include "core/base/normals.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

using namespace folio;

TEST_CASE("normals lie at the addresses of the specification") {
    // Rows of 65 take 17 counters each, the last of them for one element.
    std::vector<double> row(65), next(65);
    normals(row, 9, 1000, 3, Purpose::diffuse);
    normals(next, 9, 1001, 3, Purpose::diffuse);
    for (int i = 0; i < 65; ++i) {
        CHECK(row[i] == box_muller(philox(9, 1000 * 17 + i / 4, 3, Purpose::diffuse))[i % 4]);
        CHECK(next[i] == box_muller(philox(9, 1001 * 17 + i / 4, 3, Purpose::diffuse))[i % 4]);
    }
}

TEST_CASE("Box and Muller's formula at its words") {
    for (std::uint64_t index = 0; index < 1000; ++index) {
        const Words words = philox(4, index, 0, Purpose::diffuse);
        const auto normal = box_muller(words);
        for (int i = 0; i < 4; i += 2) {
            const double radius = std::sqrt(-2 * std::log((words.word[i] + 0.5) / 4294967296.0));
            const double angle = 2 * std::acos(-1.0) * (words.word[i + 1] + 0.5) / 4294967296.0;
            CHECK(normal[i] == Approx(radius * std::cos(angle)).margin(1e-14));
            CHECK(normal[i + 1] == Approx(radius * std::sin(angle)).margin(1e-14));
        }
    }
    const double farthest = box_muller({{0, 0, 0xffffffff, 0}})[0];
    CHECK(farthest == Approx(std::sqrt(2 * 33 * std::log(2.0))));
}

TEST_CASE("a million normals have the moments and the distribution of N(0, 1)") {
    const int n = 1'000'000;
    std::vector<double> x(n);
    normals(x, 1, 0, 0, Purpose::diffuse);
    double mean = 0, square = 0, cube = 0, fourth = 0, neighbours[3] = {};
    for (int i = 0; i < n; ++i) {
        mean += x[i] / n;
        square += x[i] * x[i] / n;
        cube += std::pow(x[i], 3) / n;
        fourth += std::pow(x[i], 4) / n;
        for (int lag = 1; lag <= 3; ++lag) neighbours[lag - 1] += x[i] * x[(i + lag) % n] / n;
    }
    // Four standard errors: the variances of x, x^2, x^3 and x^4 are 1, 2, 15 and 96.
    CHECK(std::abs(mean) < 4e-3);
    CHECK(std::abs(square - 1) < 4e-3 * std::sqrt(2.0));
    CHECK(std::abs(cube) < 4e-3 * std::sqrt(15.0));
    CHECK(std::abs(fourth - 3) < 4e-3 * std::sqrt(96.0));
    for (const double product : neighbours) CHECK(std::abs(product) < 4e-3);

    std::sort(x.begin(), x.end());
    double distance = 0;  // Kolmogorov's: exceeds 1.95 / sqrt(n) by chance once in a thousand
    for (int i = 0; i < n; ++i) {
        const double expected = 0.5 * std::erfc(-x[i] / std::sqrt(2.0));
        distance = std::max({distance, std::abs(expected - i / double(n)), std::abs(expected - (i + 1) / double(n))});
    }
    CHECK(distance * std::sqrt(double(n)) < 1.95);
}
