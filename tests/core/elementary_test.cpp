#include "core/base/elementary.h"

#include <catch2/catch.hpp>
#include <cmath>

TEST_CASE("our exp agrees with the C library's") {
    double worst = 0;
    for (double x = -700; x < 700; x += 0.01237) {
        const double expected = std::exp(x);
        worst = std::max(worst, std::abs(folio::elementary::exp(x) - expected) / expected);
    }
    CHECK(worst < 5e-16);
    CHECK(folio::elementary::exp(0) == 1);
    CHECK(folio::elementary::exp(-1e300) == 0);
    CHECK(folio::elementary::exp(-HUGE_VAL) == 0);
    CHECK(std::isinf(folio::elementary::exp(710)));
    CHECK(std::isnan(folio::elementary::exp(NAN)));
}

TEST_CASE("our log agrees with the C library's") {
    double worst = 0;
    for (double x = 1e-300; x < 1e300; x *= 1.00731) {
        const double expected = std::log(x);
        worst = std::max(worst, std::abs(folio::elementary::log(x) - expected) / std::max(1e-3, std::abs(expected)));
    }
    for (double x = 0.25; x < 4; x += 1.0 / 4096) {
        worst =
            std::max(worst, std::abs(folio::elementary::log(x) - std::log(x)) / std::max(1e-3, std::abs(std::log(x))));
    }
    CHECK(worst < 5e-16);
    CHECK(folio::elementary::log(1) == 0);
    CHECK(folio::elementary::log(5e-324) == Approx(std::log(5e-324)));
    CHECK(folio::elementary::log(0) == -HUGE_VAL);
    CHECK(std::isnan(folio::elementary::log(-1)));
    CHECK(std::isinf(folio::elementary::log(HUGE_VAL)));
}
