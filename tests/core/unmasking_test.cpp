#include <catch2/catch.hpp>

#include "core/sampling/unmasking.h"
#include "tests/sampler_support.h"

using namespace folio;
using namespace folio::test;

TEST_CASE("each rule chooses its positions") {
    const auto chosen = [](SamplerKind kind, StepBudget pace, auto... change) {
        SamplingOptions options;
        options.sampler = kind;
        (change(options), ...);
        //                              position, confidence, margin, entropy
        std::vector<Candidate> candidates = {{0, .50, .45, .60, 0}, {1, .95, .91, .05, 0}, {2, .60, .21, .04, 0},
                                             {3, .95, .90, .05, 0}, {4, .40, .10, .90, 0}, {5, .60, .50, .30, 0}};
        const int count = select_positions(candidates, options, pace);
        std::vector<int> positions;
        for (int i = 0; i < count; ++i) positions.push_back(candidates[i].position);
        return positions;
    };
    using Places = std::vector<int>;
    CHECK(chosen(SamplerKind::confidence, {4, 4}) == Places{1, 3});
    CHECK(chosen(SamplerKind::confidence, {4, 2}) == Places{1, 3, 2});
    CHECK(chosen(SamplerKind::confidence, {64, 64}) == Places{1});
    CHECK(chosen(SamplerKind::spread, {4, 4}) == Places{1, 3});     // of 0 to 2, of 3 to 5
    CHECK(chosen(SamplerKind::spread, {4, 2}) == Places{1, 3, 5});  // 2 ties with nothing in its run
    CHECK(chosen(SamplerKind::spread, {64, 64}) == Places{1});
    CHECK(chosen(SamplerKind::margin, {4, 2}) == Places{1, 3, 5});
    CHECK(chosen(SamplerKind::threshold, {64, 64}) == Places{1, 3});
    CHECK(chosen(SamplerKind::threshold, {64, 64}, [](auto& o) { o.tau = .6; }) == Places{1, 3, 2, 5});
    CHECK(chosen(SamplerKind::threshold, {64, 64}, [](auto& o) { o.tau = .99; }) == Places{1});
    CHECK(chosen(SamplerKind::threshold, {64, 2}, [](auto& o) { o.tau = .99; }) == Places{1, 3, 2});
    CHECK(chosen(SamplerKind::entropy, {64, 64}, [](auto& o) { o.gamma = 0; }) == Places{2});
    CHECK(chosen(SamplerKind::entropy, {64, 64}, [](auto& o) { o.gamma = .04; }) == Places{2, 1});
    CHECK(chosen(SamplerKind::entropy, {64, 64}, [](auto& o) { o.gamma = .1; }) == Places{2, 1, 3});
    CHECK(chosen(SamplerKind::entropy, {64, 64}, [](auto& o) { o.gamma = .15; }) == Places{2, 1, 3, 5});
    CHECK(chosen(SamplerKind::entropy, {64, 2}, [](auto& o) { o.gamma = 0; }) == Places{2, 1, 3});
    for (const SamplerKind kind : all_samplers) CHECK(chosen(kind, {9, 1}).size() == 6);
}

TEST_CASE("spread takes one position of each run where confidence takes neighbours") {
    // Positions 20 to 27 are the most confident of 64: confidence reveals all of them in one pass.
    std::vector<Candidate> candidates;
    for (int position = 0; position < 64; ++position)
        candidates.push_back({position, position >= 20 && position < 28 ? 0.9 : 0.3 + 0.001 * (position % 8), 0, 0, 0});
    const auto chosen = [&](SamplerKind kind, StepBudget pace) {
        std::vector<Candidate> some = candidates;
        SamplingOptions options;
        options.sampler = kind;
        some.resize(static_cast<std::size_t>(select_positions(some, options, pace)));
        std::vector<int> positions;
        for (const Candidate& candidate : some) positions.push_back(candidate.position);
        return positions;
    };
    CHECK(chosen(SamplerKind::confidence, {8, 8}) == std::vector<int>{20, 21, 22, 23, 24, 25, 26, 27});
    CHECK(chosen(SamplerKind::spread, {8, 8}) == std::vector<int>{7, 15, 20, 24, 39, 47, 55, 63});

    // Runs of every length, against the rule itself.
    for (int size = 1; size <= 40; ++size) {
        candidates.clear();
        for (int position = 0; position < size; ++position) {
            candidates.push_back({3 * position, uniform(philox(5, position, size, 0u).word[0] % 16 << 28), 0, 0, 0});
        }
        for (int left = 1; left <= size + 2; ++left) {
            const int m = (size + left - 1) / left;
            std::vector<int> expected;
            for (int k = 0; k < m; ++k) {
                int best = k * size / m;
                for (int i = best; i < (k + 1) * size / m; ++i) {
                    if (candidates[i].confidence > candidates[best].confidence) best = i;
                }
                expected.push_back(3 * best);
            }
            CHECK(chosen(SamplerKind::spread, {left, left}) == expected);
        }
    }
    // Confidences that differ by rounding alone are ties, and go to the lowest position.
    candidates = {{0, 0.5, 0, 0, 0}, {1, 0.5 + 1e-7, 0, 0, 0}, {2, 0.5 + 2e-7, 0, 0, 0}, {3, 0.25, 0, 0, 0}};
    CHECK(chosen(SamplerKind::spread, {4, 4}) == std::vector<int>{0});
    CHECK(chosen(SamplerKind::spread, {4, 2}) == std::vector<int>{0, 2});
}

TEST_CASE("positions noised again are made up for") {
    // However many are noised again, the expected share of hidden positions after a pass is s.
    SamplingOptions options;
    options.sampler = SamplerKind::remask;
    for (const double eta : {0.0, 0.03, 0.5, 1.0}) {
        options.eta = eta;
        for (int left = 10; left >= 1; --left) {
            const double t = left / 10.0, s = (left - 1) / 10.0, sigma = remask_probability(options, {10, left});
            CHECK(sigma <= eta);
            std::vector<Candidate> candidates(20000);
            for (int i = 0; i < 20000; ++i) candidates[i].word = philox(1, i, left, Purpose::reveal).word[0];
            const double revealed = select_positions(candidates, options, {10, left}) / 20000.0;
            CHECK(t * (1 - revealed) + (1 - t) * sigma == Approx(s).margin(0.01));
        }
        CHECK(remask_probability(options, {10, 1}) == 0);
    }
}
