#include "core/process/masked.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <numeric>

#include "core/ops/reference.h"

using namespace folio;

TEST_CASE("mask counts are spread evenly over a batch and uniform over batches") {
    const int length = 8, batch = 4, batches = 4000;
    std::vector<int> seen(length + 1, 0);
    for (int step = 0; step < batches; ++step) {
        const MaskedBatch masks = stratified_masks(batch, length, MaskRate::uniform, MaskedLoss::nelbo, 7, step);
        std::vector<int> strata(batch, 0);
        for (int b = 0; b < batch; ++b) {
            const int k = masks.counts[b];
            REQUIRE(k >= 1);
            REQUIRE(k <= length);
            ++seen[k];
            ++strata[(k - 1) * batch / length];
            CHECK(masks.window_weights[b] == Approx(1.0 / (k * batch)));
        }
        for (const int n : strata) CHECK(n == 1);
    }
    for (int k = 1; k <= length; ++k) CHECK(seen[k] == Approx(batch * batches / length).epsilon(0.05));
}

TEST_CASE("mask rates of Beta(2, 2) have its distribution") {
    const int length = 64, batch = 5, batches = 4000;
    std::vector<double> seen(length + 1, 0);
    for (int step = 0; step < batches; ++step) {
        for (const int k : stratified_masks(batch, length, MaskRate::beta, MaskedLoss::mean, 3, step).counts) {
            REQUIRE(k >= 1);
            REQUIRE(k <= length);
            ++seen[k];
        }
    }
    // The distribution function of Beta(2, 2) is 3 s^2 - 2 s^3.
    double below = 0;
    for (int k = 1; k <= length; ++k) {
        below += seen[k] / (batch * batches);
        const double s = static_cast<double>(k) / length;
        CHECK(below == Approx(3 * s * s - 2 * s * s * s).margin(0.01));
    }
}

TEST_CASE("under the plain mean every masked position weighs the same") {
    const MaskedBatch masks = stratified_masks(5, 16, MaskRate::uniform, MaskedLoss::mean, 7, 3);
    double total = 0;
    for (int b = 0; b < 5; ++b) {
        CHECK(masks.window_weights[b] == masks.window_weights[0]);
        total += masks.counts[b] * masks.window_weights[b];
    }
    CHECK(total == Approx(1));
}

TEST_CASE("mask_positions hides what the training operation hides") {
    const int batch = 3, length = 11, mask_id = 99;
    std::vector<int> text(batch * length), starts{0, 11, 22}, counts{1, 5, 11};
    std::iota(text.begin(), text.end(), 0);
    std::vector<int> input(text.size()), targets(text.size());
    std::vector<double> weights(text.size()), window_weights(batch, 1.0);
    reference::corrupt_masked<double>(input.data(), targets.data(), weights.data(), text.data(), starts.data(),
                                      counts.data(), window_weights.data(), batch, length, mask_id, 5, 21);
    for (int b = 0; b < batch; ++b) {
        mask_positions(std::span(text).subspan(b * length, length), counts[b], mask_id, 5, b, 21,
                       Purpose::mask_position);
    }
    CHECK(text == input);
}

TEST_CASE("every subset of positions is equally likely to be hidden") {
    std::map<std::vector<int>, int> seen;
    for (int step = 0; step < 6000; ++step) {
        std::vector<int> ids(4, 0);
        mask_positions(ids, 2, 1, 3, 0, step, Purpose::evaluate);
        ++seen[ids];
    }
    CHECK(seen.size() == 6);
    for (const auto& [ids, count] : seen) CHECK(std::abs(count - 1000) < 150);
}

TEST_CASE("time rows follow the specification") {
    CHECK(time_row(1.0, 128) == 127);
    CHECK(time_row(1.0 / 128, 128) == 0);
    CHECK(time_row(2.0 / 128, 128) == 1);
    CHECK(time_row(2.01 / 128, 128) == 2);
    CHECK(time_row(1e-9, 128) == 0);
    CHECK(time_row(0.5, 1) == 0);
}
