#include "core/evaluation/likelihood.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/ops/cpu/cpu_ops.h"
#include "core/process/gaussian.h"
#include "core/process/gaussian_bound.h"
#include "core/training/initialisation.h"
#include "core/training/step.h"
#include "tests/model_support.h"
#include "tests/table_model.h"

using namespace folio;
using folio::test::TableModel;

namespace {

/// The bound per character by definition: k uniform, every k-subset of the positions behind the first, mean
/// cross-entropy.
double bound_by_enumeration(const TableModel& table, const std::vector<int>& text) {
    const int positions = table.length - 1;
    std::vector<double> sum(positions + 1, 0), subsets(positions + 1, 0);
    for (int set = 1; set < 1 << positions; ++set) {
        std::vector<int> ids = text;
        int k = 0;
        for (int i = 0; i < positions; ++i) {
            if (set >> i & 1) {
                ids[i + 1] = table.mask_id();
                ++k;
            }
        }
        double nats = 0;
        for (int i = 0; i < positions; ++i) {
            if (set >> i & 1) nats -= std::log(table.conditional(ids, i + 1)[text[i + 1]]);
        }
        sum[k] += nats / k;
        ++subsets[k];
    }
    double bound = 0;
    for (int k = 1; k <= positions; ++k) bound += sum[k] / subsets[k] / positions;
    return bound;
}

/// -log p(text | its first character) per character.
double truth(const TableModel& table, const std::vector<int>& text) {
    std::vector<int> ids(text.size(), table.mask_id());
    ids[0] = text[0];
    double given = 0;
    for (std::size_t i = 0; i < table.joint.size(); ++i) given += table.text(i)[0] == text[0] ? table.joint[i] : 0;
    return -std::log(table.joint[table.index(text)] / given) / (table.length - 1);
}

/// Four windows, neighbours sharing a character.
const std::vector<int> text = {0, 1, 2, 0, 1, 1, 0, 2, 2, 2, 1, 0, 1};

std::vector<int> window(int i) { return {text.begin() + 3 * i, text.begin() + 3 * i + 4}; }

MaskedPredictor scored(const TableModel& table) {
    MaskedPredictor model = table.model();
    model.config.seq_len = table.length - 1;
    return model;
}

}  // namespace

TEST_CASE("windows share one character and cover the text") {
    const std::vector<int> long_text(1001, 0);
    CHECK(Windows::of(long_text, 100)->size() == 10);
    CHECK(Windows::of(std::span(long_text).first(1000), 100)->size() == 9);
    CHECK(!Windows::of(std::span(long_text).first(100), 100));
    CHECK(!Windows::of({}, 100));
    const auto some = Windows::of(long_text, 100, 3);
    REQUIRE(some->size() == 3);
    CHECK(some->number(0) == 0);
    CHECK(some->number(1) == 3);
    CHECK(some->number(2) == 6);
    CHECK(Windows::of(long_text, 100, 50)->size() == 10);
    const auto windows = Windows::of(text, 3);
    REQUIRE(windows->size() == 4);
    for (int i = 0; i < 4; ++i) {
        const auto ids = windows->ids(i);
        CHECK(std::vector<int>(ids.begin(), ids.end()) == window(i));
    }
}

TEST_CASE("the k-stratified estimator has the bound as its mean") {
    const TableModel table(3, 4, 11);
    const auto windows = Windows::of(text, 3);
    EvaluationOptions options;
    options.draws = 3000;
    options.batch = 7;
    const auto bound = masked_bound(scored(table), *windows, options);
    REQUIRE(bound);
    for (int i = 0; i < 4; ++i) {
        INFO("window " << i);
        CHECK(bound->windows[i] == Approx(bound_by_enumeration(table, window(i))).epsilon(0.01));
    }
    double mean_of_levels = 0;
    int levels = 0;
    for (const NoiseBin& level : bound->levels) {
        if (level.draws == 0) continue;
        mean_of_levels += level.loss;
        ++levels;
    }
    CHECK(levels == 3);
    CHECK(mean_of_levels / levels == Approx(estimate(bound->windows).nats_per_char).epsilon(0.01));
}

TEST_CASE("with L draws every number of hidden positions comes once") {
    const TableModel table(3, 4, 11);
    const auto windows = Windows::of(text, 3);
    EvaluationOptions options;
    options.draws = 3;
    const auto bound = masked_bound(scored(table), *windows, options);
    int used = 0;
    for (const NoiseBin& level : bound->levels) {
        CHECK((level.draws == 0 || level.draws == 4));
        used += level.draws > 0;
    }
    CHECK(used == 3);
}

TEST_CASE("results do not depend on the batch, and errors and stops are passed on") {
    const TableModel table(3, 4, 11);
    const auto windows = Windows::of(text, 3);
    EvaluationOptions options;
    options.draws = 5;
    options.batch = 1;
    const auto one = masked_bound(scored(table), *windows, options);
    options.batch = 6;
    const auto six = masked_bound(scored(table), *windows, options);
    CHECK(one->windows == six->windows);
    // A subset of the windows is scored as among all.
    const auto some = masked_bound(scored(table), *Windows::of(text, 3, 2), options);
    CHECK(some->windows == std::vector<double>{one->windows[0], one->windows[2]});

    std::int64_t done_last = -1;
    options.progress = [&](std::int64_t done, std::int64_t total) {
        CHECK(done > done_last);
        CHECK(done <= total);
        done_last = done;
    };
    CHECK(masked_bound(scored(table), *windows, options));
    CHECK(done_last == static_cast<std::int64_t>(windows->size()) * options.draws);
    options.progress = nullptr;
    MaskedPredictor broken = scored(table);
    broken.predict = [](auto, auto, int, int, auto) -> Result<void> { return fail("Broken."); };
    CHECK(masked_bound(broken, *windows, options).error().sentence == "Broken.");
    broken.predict = [](auto, auto, int, int, std::span<float> logits) -> Result<void> {
        std::fill(logits.begin(), logits.end(), NAN);
        return {};
    };
    CHECK(!masked_bound(broken, *windows, options));
}

TEST_CASE("a consistent model has its joint likelihood in every order") {
    const TableModel table(3, 4, 11);
    const auto windows = Windows::of(text, 3);
    EvaluationOptions options;
    options.batch = 3;
    for (const RevealOrder order : {RevealOrder::left_to_right, RevealOrder::confidence, RevealOrder::margin}) {
        const auto nats = ordered_likelihood(scored(table), *windows, order, options);
        REQUIRE(nats);
        for (int i = 0; i < 4; ++i) CHECK((*nats)[i] == Approx(truth(table, window(i))).epsilon(1e-5));
    }
}

TEST_CASE("an autoregressive model is scored by the chain rule, exactly") {
    const TableModel table(3, 4, 12);
    AutoregressivePredictor model = test::left_to_right(table);
    model.config.seq_len = 4;
    double all = 0;
    for (std::size_t index = 0; index < table.joint.size(); ++index) {
        std::vector<int> ids = table.text(index);
        ids.insert(ids.begin(), 0);
        const auto evaluation = exact_likelihood(model, *Windows::of(ids, 4), {});
        REQUIRE(evaluation);
        CHECK(evaluation->windows[0] == Approx(-std::log(table.joint[index]) / 4).epsilon(1e-5));
        all += std::exp(-4 * evaluation->windows[0]);
    }
    CHECK(all == Approx(1));
    model.decode = [](auto, int, std::span<float> logits) -> Result<void> {
        std::fill(logits.begin(), logits.end(), NAN);
        return {};
    };
    CHECK(!exact_likelihood(model, *Windows::of(text, 4), {}));
}

TEST_CASE("each order reveals the positions that its rule names") {
    // Logits of the two characters by position: leads 1, 3, 2 at positions 1 .. 3; the third character makes position 2
    // the less sure.
    MaskedPredictor model;
    model.config.vocab_size = 4;
    model.config.seq_len = 3;
    model.mask_id = 3;
    std::vector<std::vector<int>> seen;
    model.predict = [&](std::span<const int> ids, auto, int, int, std::span<float> logits) -> Result<void> {
        seen.emplace_back(ids.begin(), ids.end());
        const double p[4][3] = {{.4, .3, .3}, {.55, .44, .01}, {.5, .25, .25}, {.6, .38, .02}};
        for (int position = 0; position < 4; ++position) {
            for (int id = 0; id < 3; ++id) logits[position * 4 + id] = static_cast<float>(std::log(p[position][id]));
            logits[position * 4 + 3] = 9;
        }
        return {};
    };
    const std::vector<int> four = {0, 0, 1, 2};
    const auto windows = Windows::of(four, 3);
    const auto order_of = [&](RevealOrder order) {
        seen.clear();
        REQUIRE(ordered_likelihood(model, *windows, order, {}));
        return seen;
    };
    using Passes = std::vector<std::vector<int>>;
    CHECK(order_of(RevealOrder::left_to_right) == Passes{{0, 3, 3, 3}, {0, 0, 3, 3}, {0, 0, 1, 3}});
    CHECK(order_of(RevealOrder::confidence) == Passes{{0, 3, 3, 3}, {0, 3, 3, 2}, {0, 0, 3, 2}});
    CHECK(order_of(RevealOrder::margin) == Passes{{0, 3, 3, 3}, {0, 3, 1, 3}, {0, 3, 1, 2}});
}

TEST_CASE("models with a time embedding are told the share of hidden positions") {
    MaskedPredictor model = test::hash_model(3, 4, 8);
    std::vector<int> times;
    model.predict = [&, inner = model.predict](std::span<const int> ids, std::span<const int> time, int batch,
                                               int length, std::span<float> logits) {
        times.insert(times.end(), time.begin(), time.end());
        return inner(ids, time, batch, length, logits);
    };
    const std::vector<int> five = {0, 1, 2, 0, 1};
    REQUIRE(ordered_likelihood(model, *Windows::of(five, 4), RevealOrder::left_to_right, {}));
    CHECK(times == std::vector<int>{7, 5, 3, 1});
}

TEST_CASE("the standard error is that of the mean over windows") {
    const std::vector<double> windows = {1, 2, 3, 6};
    CHECK(estimate(windows).nats_per_char == Approx(3));
    CHECK(estimate(windows).standard_error == Approx(std::sqrt(14.0 / 3 / 4)));
    CHECK(std::isnan(estimate(std::vector<double>{2}).standard_error));
}

TEST_CASE("the Gaussian bound of a network whose logits are zero is known in closed form") {
    std::vector<int> ids;
    for (int i = 0; i < 97; ++i) ids.push_back(i * i % 7);
    const auto windows = Windows::of(ids, 24);
    EvaluationOptions options;
    options.draws = 200;
    const auto evaluated = [&](bool article, float last_weight) {
        const ModelConfig config = test::model_for(
            ProcessKind::gaussian, article,
            {.vocab_size = 7, .seq_len = 24, .d_model = 16, .n_layer = 2, .n_head = 2, .d_ff = 24, .time_rows = 6});
        Serial serial;
        CpuOps ops(serial, *available_kernels().front(), Precision::f32);
        std::vector<float> parameters = initial_parameters(config, 1);  // its head is zero
        parameters.back() = last_weight;
        Denoiser denoiser = Denoiser::create(ops, config, parameters.data(), false).value();
        return evaluate(denoiser, test::process_for(ProcessKind::gaussian, article, 7), *windows, options);
    };
    const auto bound = [&](bool article) {
        const Evaluation evaluation = evaluated(article, 0).value();
        const BoundParts& parts = evaluation.parts;
        CHECK(estimate(evaluation.windows).nats_per_char ==
              Approx(parts.prior + parts.reconstruction + parts.diffusion));
        return evaluation;
    };
    SECTION("x0: what z says of even odds, which is all there is to know of a character out of seven") {
        const Evaluation evaluation = bound(false);
        // By I = 1/2 Int MMSE dSNR (Guo et al. 2005) it is log 7, but for what lies beyond the levels.
        CHECK(estimate(evaluation.windows).nats_per_char == Approx(std::log(7.0)).epsilon(0.03));
        CHECK(evaluation.levels.front().accuracy > 0.9);
        CHECK(evaluation.levels.back().accuracy < 0.4);
        const Evaluation again = bound(false);
        CHECK(again.windows == evaluation.windows);
    }
    SECTION("eps: every step pays the square of the whole noise") {
        const GaussianDiffusion diffusion = GaussianDiffusion::create({}, 7).value();
        double expected = prior_nats(diffusion);
        for (int n = 2; n <= 128; ++n) {
            const NoiseLevel t = diffusion.schedule().level(n / 128.0), s = diffusion.schedule().level((n - 1) / 128.0);
            expected += bound_weight(t, s) / t.snr() * 7;
        }
        const Evaluation evaluation = bound(true);
        const Estimate seen = estimate(evaluation.windows);
        CHECK(seen.nats_per_char == Approx(expected).epsilon(0.05));
    }
    SECTION("and is refused where outputs are not finite") { CHECK(!evaluated(true, NAN)); }
}
