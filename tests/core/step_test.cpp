// The training step: what it starts from, how fast it goes, what its loss is and that it lowers it.

#include "core/training/step.h"
#include "core/process/gaussian.h"
#include "core/training/initialisation.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "core/model/parameters.h"
#include "core/ops/cpu/cpu_training_ops.h"
#include "tests/model_support.h"

using namespace folio;

namespace {

constexpr int mask_id = 9;

const ModelConfig little = {
    .vocab_size = mask_id + 1, .seq_len = 16, .d_model = 32, .n_layer = 2, .n_head = 2, .d_ff = 64, .time_rows = 4};

/// A text that repeats itself: what is hidden follows from what is not.
std::vector<int> cycle() {
    std::vector<int> text(200);
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<int>(i % mask_id);
    return text;
}

/// The losses of the first `steps` steps.
std::vector<double> losses(const Recipe& recipe, int steps) {
    Serial serial;
    CpuTrainingOps ops(serial, *available_kernels().front(), Precision::f32);
    const std::vector<int> text = cycle();
    auto trainer = Trainer::create(ops, ops, little, {ProcessKind::masked, mask_id}, recipe, text);
    REQUIRE(trainer);
    std::vector<double> result;
    for (int step = 0; step < steps; ++step) {
        const auto report = trainer->run(step);
        REQUIRE(report);
        REQUIRE(report->finite);
        result.push_back(report->loss);
    }
    return result;
}

Recipe quick() {
    Recipe recipe;
    recipe.steps = 120;
    recipe.batch = 8;
    recipe.seq_len = 16;
    recipe.warmup = 10;
    return recipe;
}

}  // namespace

TEST_CASE("initial parameters have the specified spread") {
    ModelConfig config;
    config.time_rows = 7;
    const std::vector<float> parameters = initial_parameters(config, 3);
    REQUIRE(parameters.size() == parameter_count(config));
    for_each_tensor(config, [&](const TensorSpec& tensor) {
        double sum = 0, square = 0;
        for (std::size_t i = 0; i < tensor.count(); ++i) {
            const double x = parameters[tensor.offset + i];
            sum += x;
            square += x * x;
        }
        const double n = static_cast<double>(tensor.count()), mean = sum / n,
                     deviation = std::sqrt(square / n - mean * mean);
        const bool zero = tensor.name.ends_with("c_proj.weight") || tensor.kind == TensorKind::head;
        const double wanted =
            zero ? 0
            : tensor.kind == TensorKind::embedding
                ? 1
                : std::min(1.0, std::sqrt(static_cast<double>(tensor.rows) / tensor.cols)) / std::sqrt(tensor.cols);
        CAPTURE(tensor.name);
        CHECK(deviation == Approx(wanted).epsilon(5 / std::sqrt(2 * n)));
        CHECK(std::abs(mean) <= 5 * wanted / std::sqrt(n));
    });
    CHECK(initial_parameters(config, 3) == parameters);
    CHECK(initial_parameters(config, 4) != parameters);
}

TEST_CASE("the learning rate rises, stays and falls to zero") {
    Recipe recipe;
    recipe.steps = 1000;
    recipe.warmup = 50;
    recipe.decay = 0.4f;
    CHECK(lr_schedule(recipe, 0) == Approx(1.0 / 50));
    CHECK(lr_schedule(recipe, 24) == Approx(0.5));
    for (int step = 49; step < 600; ++step) CHECK(lr_schedule(recipe, step) == 1);
    for (int step = 601; step < 1000; ++step) CHECK(lr_schedule(recipe, step) < lr_schedule(recipe, step - 1));
    CHECK(lr_schedule(recipe, 800) == Approx(0.5).epsilon(0.01));
    CHECK(lr_schedule(recipe, 999) > 0);
    CHECK(lr_schedule(recipe, 999) < 0.005);
    // On the plateau nothing of the end is known.
    Recipe longer = recipe;
    longer.steps = 5000;
    for (int step = 0; step < 600; ++step) CHECK(lr_schedule(recipe, step) == lr_schedule(longer, step));
}

TEST_CASE("a model that knows nothing pays log of the characters, however positions are weighed") {
    for (const MaskedLoss loss : {MaskedLoss::mean, MaskedLoss::nelbo}) {
        Recipe recipe = quick();
        recipe.loss = loss;
        CHECK(losses(recipe, 1)[0] == Approx(std::log(mask_id)).epsilon(1e-6));
    }
}

TEST_CASE("training lowers the loss, with Muon and with AdamW alone, with dropout and on short windows") {
    for (const float muon_lr : {0.02f, 0.f}) {
        Recipe recipe = quick();
        recipe.muon_lr = muon_lr;
        recipe.dropout = 0.05f;
        recipe.short_windows = 0.3f;
        const std::vector<double> seen = losses(recipe, recipe.steps);
        CAPTURE(muon_lr);
        CHECK(seen[0] == Approx(std::log(mask_id)).epsilon(1e-6));
        double last = 0;
        for (int step = recipe.steps - 10; step < recipe.steps; ++step) last += seen[step] / 10;
        CHECK(last < 0.8 * seen[0]);
    }
}

TEST_CASE("every process learns a text that repeats itself") {
    struct Case {
        ProcessKind kind;
        bool article;
        double first;  // loss of a network whose logits are zero
        int steps;     // what lies under noise is learnt slowly
    };
    const double log_v = std::log(mask_id);
    for (const Case& c : {Case{ProcessKind::autoregressive, false, log_v, 120},
                          {ProcessKind::gaussian, false, 0, 1500},
                          {ProcessKind::gaussian, true, 1, 400}}) {
        CAPTURE(static_cast<int>(c.kind), c.article);
        ModelConfig config = test::model_for(c.kind, c.article, little);
        config.vocab_size = mask_id;
        if (config.soft_tokens) config.time_rows = 8;
        const ProcessConfig process = test::process_for(c.kind, c.article, mask_id);
        Recipe recipe = quick();
        recipe.steps = c.steps;
        recipe.short_windows = 0.2f;
        recipe.input_noise = 0.05f;
        recipe.prompt_share = 0.5f;
        recipe.self_conditioning = 0.5f;
        Serial serial;
        CpuTrainingOps ops(serial, *available_kernels().front(), Precision::f32);
        const std::vector<int> text = cycle();
        Trainer trainer = Trainer::create(ops, ops, config, process, recipe, text).value();
        double begin = 0, end = 0;
        for (int step = 0; step < recipe.steps; ++step) {
            const StepReport report = trainer.run(step).value();
            REQUIRE(report.finite);
            if (step == 0 && c.first > 0) CHECK(report.loss == Approx(c.first).epsilon(0.05));
            if (step < 10) begin += report.loss / 10;
            if (step >= recipe.steps - 10) end += report.loss / 10;
        }
        CAPTURE(begin, end);
        CHECK(end < 0.8 * begin);
    }
}

TEST_CASE("the last share of the steps counts positions as the bound does") {
    Recipe mean = quick(), bound = quick(), mixed = quick();
    mean.steps = bound.steps = mixed.steps = 6;
    bound.loss = MaskedLoss::nelbo;
    mixed.nelbo_share = 0.5f;
    const auto of_mean = losses(mean, 6), of_bound = losses(bound, 6), of_mixed = losses(mixed, 6);
    for (int step = 0; step < 3; ++step) CHECK(of_mixed[step] == of_mean[step]);
    CHECK(of_mean[2] != of_bound[2]);
    CHECK(of_mixed[3] != of_mean[3]);
    mixed.nelbo_share = 1;
    CHECK(losses(mixed, 6) == of_bound);
}
