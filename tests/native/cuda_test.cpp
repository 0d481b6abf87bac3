// What only a GPU does beside all operations (ops_test) and the whole trunk (denoiser_test): steps of training beside
// the CPU's, records of steps, and how it fails.

#include "native/cuda/cuda_ops.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "core/ops/cpu/cpu_training_ops.h"
#include "core/training/step.h"
#include "tests/model_support.h"

using namespace folio;

namespace {

constexpr int characters = 9;

/// A small model of each process; heads of 64, for which there are kernels of their own.
struct Case {
    const char* name;
    ModelConfig config;
    ProcessConfig process;
    Recipe recipe;
};

std::vector<Case> cases() {
    std::vector<Case> result;
    for (const ProcessKind kind : {ProcessKind::masked, ProcessKind::autoregressive, ProcessKind::gaussian}) {
        for (const bool article : {false, true}) {
            if (article && kind != ProcessKind::gaussian) continue;
            const ModelConfig config = test::model_for(kind, article,
                                                       {.vocab_size = characters + (kind == ProcessKind::masked),
                                                        .seq_len = 16,
                                                        .d_model = 64,
                                                        .n_layer = 2,
                                                        .n_head = 1,
                                                        .d_ff = 96,
                                                        .time_rows = 8});
            Recipe recipe;
            recipe.steps = 100;
            recipe.batch = 3;
            recipe.seq_len = config.seq_len;
            recipe.rows_per_pass = 40;  // two passes, of 2 windows and of 1
            recipe.warmup = 4;
            recipe.dropout = article ? 0.1f : 0.f;
            recipe.muon_lr = article ? 0.f : 0.02f;
            recipe.weight_decay = 0.01f;
            recipe.short_windows = 0.3f;
            recipe.input_noise = 0.1f;
            recipe.prompt_share = 0.5f;
            recipe.self_conditioning = config.self_conditioning ? 0.4f : 0.f;
            recipe.refit_every = config.self_conditioning ? 4 : 0;
            result.push_back({article ? "gaussian-article" : name_of(kind), config,
                              test::process_for(kind, article, characters), recipe});
        }
    }
    return result;
}

std::vector<int> text() {
    std::vector<int> text(200);
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<int>(i * i % characters);
    return text;
}

Trainer trainer(Ops& ops, TrainingOps& training, const Case& c) {
    return Trainer::create(ops, training, c.config, c.process, c.recipe, text()).value();
}

/// The losses of steps first .. last - 1.
std::vector<double> losses(Trainer& trainer, int first, int last) {
    std::vector<double> result;
    for (int step = first; step < last; ++step) {
        const StepReport report = trainer.run(step).value();
        REQUIRE(report.finite);
        result.push_back(report.loss);
    }
    return result;
}

bool emulated(const CudaOps& ops) { return ops.name() == "emulated GPU"; }

std::unique_ptr<CudaOps> device(Precision precision) {
    auto ops = make_cuda_ops(precision);
    if (ops) return std::move(*ops);
    WARN("Skipped: " << ops.error().sentence);
    return nullptr;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference += (double(a[i]) - b[i]) * (double(a[i]) - b[i]);
        size += double(b[i]) * b[i];
    }
    return std::sqrt(difference / size);
}

}  // namespace

TEST_CASE("cuda: the first steps of every process are the CPU's") {
    for (const Precision precision : {Precision::f32, Precision::bf16}) {
        const auto ops = device(precision);
        if (!ops) return;
        for (const Case& c : cases()) {
            CAPTURE(c.name, static_cast<int>(precision));
            Serial serial;
            CpuTrainingOps cpu(serial, *available_kernels().front(), Precision::f32);
            Trainer there = trainer(*ops, *ops, c), here = trainer(cpu, cpu, c);
            // An emulation takes its time.
            const int steps = !emulated(*ops) ? 10 : precision == Precision::f32 ? 3 : 1;
            const std::vector<double> is = losses(there, 0, steps), should = losses(here, 0, steps);
            // AdamW divides by what it sees, so a gradient near nothing may turn any way: f32 is close, not equal.
            for (std::size_t step = 0; step < is.size(); ++step)
                CHECK(is[step] == Approx(should[step]).epsilon(precision == Precision::f32 ? 1e-3 : 3e-2));
            CHECK(distance(there.save().parameters, here.save().parameters) <
                  (precision == Precision::f32 ? 1e-2 : 1e-1));
        }
    }
}

TEST_CASE("cuda: a resumed run gives the same bits, recorded or not") {
    auto ops = device(Precision::bf16);
    if (!ops) return;
    if (emulated(*ops)) ops = device(Precision::f32);
    for (const Case& c : cases()) {
        CAPTURE(c.name);
        Trainer whole = trainer(*ops, *ops, c);
        const int half = emulated(*ops) ? 3 : 4;  // of which the last is a record
        std::vector<double> all = losses(whole, 0, 2 * half);
        const Trainer::State end = whole.save();
        Trainer first = trainer(*ops, *ops, c);
        std::vector<double> parts = losses(first, 0, half);
        const Trainer::State middle = first.save();
        Case rest = c;
        rest.process = first.process();
        Trainer second = trainer(*ops, *ops, rest);  // its steps are not yet recorded
        REQUIRE(second.restore(middle));
        for (const double loss : losses(second, half, 2 * half)) parts.push_back(loss);
        CHECK(parts == all);
        const Trainer::State resumed = second.save();
        CHECK(resumed.parameters == end.parameters);
        CHECK(resumed.average == end.average);
        CHECK(resumed.moment1 == end.moment1);
        CHECK(resumed.moment2 == end.moment2);
    }
}

TEST_CASE("cuda: what is no number is reported and changes nothing") {
    auto ops = device(Precision::bf16);
    if (!ops) return;
    if (emulated(*ops)) ops = device(Precision::f32);
    const Case c = cases().front();
    Trainer trainer = ::trainer(*ops, *ops, c);
    losses(trainer, 0, 3);
    Trainer::State state = trainer.save();
    state.parameters.back() = INFINITY;
    REQUIRE(trainer.restore(state));
    const StepReport report = trainer.run(3).value();
    CHECK(!report.finite);
    const Trainer::State after = trainer.save();
    CHECK(after.parameters == state.parameters);
    CHECK(after.average == state.average);
    CHECK(after.moment1 == state.moment1);
    CHECK(after.moment2 == state.moment2);
}

TEST_CASE("cuda: memory that is not there is refused in one sentence, and the device goes on") {
    const auto ops = device(Precision::f32);
    if (!ops) return;
    const auto refused = ops->allocate(std::size_t{1} << 46);
    REQUIRE(!refused);
    CHECK(refused.error().sentence.find("not enough memory") != std::string::npos);
    REQUIRE(ops->synchronize());
    const auto given = ops->allocate(64);
    REQUIRE(given);
    ops->fill_zero(given->as<float>(), 16);
    std::vector<float> back(16, 1.f);
    ops->download(back.data(), given->as<float>(), 64);
    REQUIRE(ops->synchronize());
    CHECK(back == std::vector<float>(16));
}

TEST_CASE("cuda: integer weights are refused in one sentence") {
    const auto ops = device(Precision::f32);
    if (!ops) return;
    const std::vector<std::int8_t> values(4);
    const std::vector<float> scale(2);
    PackedWeight weight;
    CHECK(!ops->pack(weight, {nullptr, values.data(), scale.data()}, 2, 2, false));
}

TEST_CASE("cuda: a record is run again with the numbers of its step") {
    const auto ops = device(Precision::f32);
    if (!ops) return;
    const auto memory = ops->allocate(4 * sizeof(float)).value();
    struct Work {
        CudaOps* ops;
        float* data;
        int runs = 0;
    } work{ops.get(), memory.as<float>()};
    for (int turn = 0; turn < 5; ++turn) {
        const float numbers[4] = {0.f, static_cast<float>(turn), 1.f, 0.5f};  // average, values, scale, decay
        ops->upload(work.data, numbers, sizeof numbers);
        ops->replay(
            7,
            [](void* context) {
                auto& w = *static_cast<Work*>(context);
                ++w.runs;
                w.ops->ema(w.data, w.data + 1, w.data + 2, 1, w.data + 3);
            },
            &work);
        float average = 0;
        ops->download(&average, work.data, sizeof average);
        REQUIRE(ops->synchronize());
        CHECK(average == 0.5f * static_cast<float>(turn));
    }
    CHECK(work.runs == 2);  // as it is, then into the record
}
