#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <optional>

#include "core/ops/cpu/cpu_ops.h"
#include "core/sampling/gaussian_sampler.h"
#include "core/training/initialisation.h"
#include "tests/model_support.h"
#include "tests/sampler_support.h"

using namespace folio;
using namespace folio::test;

namespace {

/// A Gaussian model whose head is zero: what it makes of a row is what the row says by itself, whatever stands beside
/// it. With `fill` all its zeros are filled.
struct IndifferentModel {
    ModelConfig config;
    ProcessConfig process;
    Serial serial;
    CpuOps ops{serial, *available_kernels().front(), Precision::f32};
    std::optional<Denoiser> denoiser;

    explicit IndifferentModel(bool article, float head = 0, float fill = 0) {
        config = model_for(
            ProcessKind::gaussian, article,
            {.vocab_size = 5, .seq_len = 12, .d_model = 8, .n_layer = 2, .n_head = 1, .d_ff = 8, .time_rows = 4});
        process = process_for(ProcessKind::gaussian, article, config.vocab_size);
        std::vector<float> parameters = initial_parameters(config, 1);
        for (std::size_t i = 0; i < parameters.size(); ++i)
            if (parameters[i] == 0) parameters[i] = fill * static_cast<float>(i % 7 - 3.0);
        parameters.back() = head;
        denoiser = Denoiser::create(ops, config, parameters.data(), false).value();
    }
    GaussianSampler sampler(const SamplingRequest& request) {
        return GaussianSampler::create(*denoiser, process, request).value();
    }
};

const std::vector<SamplerKind> gaussian_samplers = {SamplerKind::ddpm, SamplerKind::ddim, SamplerKind::churn};

}  // namespace

TEST_CASE("Gaussian samplers draw from the model's distribution") {
    IndifferentModel model(false);
    for (const SamplerKind kind : gaussian_samplers) {
        SamplingRequest request = request_for(12, kind, 24);
        request.options.temperature = 1;
        std::vector<int> counts(5);
        for (request.sample = 0; request.sample < 200; ++request.sample) {
            GaussianSampler sampler = model.sampler(request);
            const Frame frame = run(sampler, 24);
            CHECK(frame.step == 24);
            for (const int id : frame.id) ++counts[id];
        }
        CAPTURE(static_cast<int>(kind));
        CHECK(plausible(chi_square(counts, std::vector<double>(5, 0.2)), 4));
    }
}

TEST_CASE("Gaussian samplers keep what is given, can be stopped, taken back, edited and fed a text") {
    for (const bool article : {false, true}) {
        IndifferentModel model(article);
        for (const SamplerKind kind : gaussian_samplers) {
            CAPTURE(article, static_cast<int>(kind));
            SamplingRequest request = request_for(30, kind, 10);
            for (int position : {0, 1, 7, 29}) request.conditioned[position] = position % 5;
            GaussianSampler sampler = model.sampler(request);
            for (int i = 0; i < 4; ++i) REQUIRE(sampler.step());
            CHECK(count_unrevealed(sampler.frame().flags, 0, 12) == 9);
            CHECK(sampler.frame().top_id[4 * 2] >= 0);  // what a noisy position seems to be
            const State state = sampler.save();
            const Frame straight = run(sampler, 100);
            for (int position : {0, 1, 7, 29}) CHECK(straight.id[position] == position % 5);
            GaussianSampler other = model.sampler(request);
            REQUIRE(other.restore(state));
            CHECK(run(other, 100).id == straight.id);
            State cut = state;
            cut.pop_back();
            CHECK(!other.restore(cut));

            REQUIRE(sampler.edit({Edit::Kind::open, 0, 3, 5, 100, -1}));
            CHECK(!sampler.done());
            const Frame again = run(sampler, 100);
            for (int position = 0; position < 30; ++position)
                if (position < 3 || position > 5) CHECK(again.id[position] == straight.id[position]);
            CHECK(again.step > straight.step);

            SamplingRequest from_text = request_for(12, kind, 6);
            from_text.text.assign(12, 3);
            GaussianSampler noisy = model.sampler(from_text);
            REQUIRE(noisy.step());
            CHECK(noisy.frame().top_id[0] == 3);  // the text can still be read
            CHECK(run(noisy, 12).step == 12);
        }
    }
    IndifferentModel article(true);
    GaussianSampler most = article.sampler(request_for(12, SamplerKind::ddpm, 1000));
    CHECK(most.frame().steps == 128);
    CHECK(run(most, 128).step == 128);
    CHECK(!GaussianSampler::create(*article.denoiser, article.process, request_for(12, SamplerKind::confidence, 4)));
}

TEST_CASE("a Gaussian sampler takes one pass a step and shows the model what it made of each position in the last") {
    IndifferentModel model(false, 0, 0.3f);
    const SamplingRequest request = request_for(12, SamplerKind::ddim, 8);
    GaussianSampler sampler = model.sampler(request);
    for (int i = 0; i < 3; ++i) REQUIRE(sampler.step());
    const std::vector<float> made = sampler.frame().top_probability;
    const State state = sampler.save();

    // At the end of the state stand x_hat of every position and what is to become of it.
    const std::size_t x_hat = state.size() - (12 * 6 + 1) - 13 * sizeof(std::int32_t) - 12 * 5 * sizeof(float);
    std::vector<float> seen(12 * 5);
    std::memcpy(seen.data(), state.data() + x_hat, seen.size() * sizeof(float));
    for (int position = 0; position < 12; ++position)
        CHECK(*std::max_element(seen.begin() + 5 * position, seen.begin() + 5 * position + 5) == made[4 * position]);

    const std::vector<float> next = next_frame(sampler).top_probability;
    GaussianSampler other = model.sampler(request);
    REQUIRE(other.restore(state));
    CHECK(next_frame(other).top_probability == next);
    State blank = state;
    std::fill_n(blank.begin() + static_cast<std::ptrdiff_t>(x_hat), seen.size() * sizeof(float), std::uint8_t{0});
    REQUIRE(other.restore(blank));
    CHECK(next_frame(other).top_probability != next);
}

TEST_CASE("a Gaussian sampler stops where its most likely characters stand") {
    for (const bool article : {false, true}) {
        IndifferentModel model(article, 0, 0.3f);
        for (const SamplerKind kind : gaussian_samplers) {
            CAPTURE(article, static_cast<int>(kind));
            SamplingRequest request = request_for(20, kind, 60);  // longer than the window of 12: two blocks
            request.conditioned[3] = 1;
            GaussianSampler whole = model.sampler(request);
            std::vector<Frame> frames = {whole.frame()};
            while (!whole.done()) frames.push_back(next_frame(whole));
            for (const int passes : {1, 2, 5}) {
                // The rule, from what the passes of the first block say.
                const int window = frames[1].window_length;
                int stop = 0, unchanged = 0;
                for (int step = 1; step < 60 && stop == 0; ++step) {
                    double probability = 0;
                    int open = 0;
                    bool same = step > 1;
                    for (int position = 0; position < window; ++position) {
                        if (request.conditioned[position] >= 0) continue;
                        same = same && frames[step].top_id[4 * position] == frames[step - 1].top_id[4 * position];
                        probability += frames[step].top_probability[4 * position];
                        ++open;
                    }
                    unchanged = same ? unchanged + 1 : 0;
                    if (unchanged >= passes && probability / open >= 0.95) stop = step;
                }
                request.options.stop_stable = passes;
                GaussianSampler early = model.sampler(request);
                Frame frame = early.frame();
                while (frame.step < (stop > 0 ? stop : 60)) frame = next_frame(early);
                CHECK(frame.passes_saved == (stop > 0 ? 60 - stop : 0));
                CHECK(std::count(frame.id.begin(), frame.id.begin() + window, -1) == 0);
                // A saved state knows how long they have stood.
                GaussianSampler other = model.sampler(request);
                for (int i = 0; i + 1 < stop; ++i) REQUIRE(other.step());
                GaussianSampler restored = model.sampler(request);
                REQUIRE(restored.restore(other.save()));
                const Frame end = run(restored);
                CHECK(end.id == run(early).id);
                CHECK(end.passes_saved == early.frame().passes_saved);
            }
        }
    }
}

TEST_CASE("Gaussian characters that the proofreader strikes out go back to half the noise") {
    IndifferentModel model(false);
    Proofreader proofreader;
    proofreader.model.config.vocab_size = 5;
    proofreader.model.config.seq_len = 8;
    proofreader.model.decode = [](std::span<const int> ids, int, std::span<float> logits) -> Result<void> {
        for (std::size_t i = 0; i < logits.size(); ++i)
            logits[i] = static_cast<float>((i * 7 + static_cast<std::size_t>(ids.front())) % 5);
        return {};
    };
    proofreader.ids = {0, 1, 2, 3, 4};
    proofreader.newline = 0;
    SamplingRequest request = request_for(12, SamplerKind::ddpm, 10);
    request.conditioned[0] = 2;
    request.options.rounds = 2;
    request.options.proofread_share = 0.3;
    GaussianSampler sampler = GaussianSampler::create(*model.denoiser, model.process, request, &proofreader).value();
    std::vector<State> states;
    std::vector<Frame> frames = {sampler.frame()};
    while (!sampler.done()) {
        states.push_back(sampler.save());
        frames.push_back(next_frame(sampler));
    }
    CHECK(frames.back().step == 10 + 2 * (1 + 5));
    CHECK(frames[11].proofread_nll.size() == 12);
    CHECK(frames[17].proofread_nll.size() == 12);
    CHECK(frames.front().steps == frames.back().step);
    for (const State& state : states) {
        GaussianSampler other = GaussianSampler::create(*model.denoiser, model.process, request, &proofreader).value();
        REQUIRE(other.restore(state));
        CHECK(run(other).id == frames.back().id);
    }
}

TEST_CASE("Gaussian characters noised again go back to the time that was asked for") {
    for (const bool article : {false, true}) {
        IndifferentModel model(article);
        for (const SamplerKind kind : gaussian_samplers) {
            CAPTURE(article, static_cast<int>(kind));
            GaussianSampler sampler = model.sampler(request_for(12, kind, 20));
            const Frame straight = run(sampler, 100);
            const State end = sampler.save();
            const auto again = [&](const char* edit) {
                REQUIRE(sampler.restore(end));
                REQUIRE(sampler.edit(edit_of(edit, 12)));
                CHECK(count_unrevealed(sampler.frame().flags, 0, 12) == 6);
                // A state between edit and pass has all that the pass needs.
                GaussianSampler other = model.sampler(request_for(12, kind, 20));
                REQUIRE(other.restore(sampler.save()));
                const Frame frame = run(sampler, 100);
                CHECK(run(other, 100).id == frame.id);
                for (int position = 6; position < 12; ++position) CHECK(frame.id[position] == straight.id[position]);
                return frame;
            };
            // The time is the share of the passes. From near by all come back, from pure noise all do by chance alone.
            const Frame near = again("0:noise:0-5:1"), far = again("0:noise:0-5");
            CHECK(near.step == 21);
            CHECK(far.step == 40);
            if (!article && kind != SamplerKind::churn) CHECK(near.id == straight.id);  // churn adds noise of its own
            CHECK(far.id != straight.id);
        }
    }
    // In a running block a row that is further on than that is left alone, another gets the noise.
    IndifferentModel model(false);
    GaussianSampler sampler = model.sampler(request_for(12, SamplerKind::ddim, 20));
    for (int i = 0; i < 15; ++i) REQUIRE(sampler.step());
    const State state = sampler.save();
    const auto after = [&](const char* edit) {
        REQUIRE(sampler.restore(state));
        REQUIRE(sampler.edit(edit_of(edit, 12)));
        CHECK(sampler.frame().flags[3] == position_reopened);
        return run(sampler, 100).id;
    };
    REQUIRE(sampler.restore(state));
    const std::vector<int> straight = run(sampler, 100).id;
    CHECK(after("0:noise:0-11:20") == straight);
    CHECK(after("0:noise:0-11") != straight);
    // What has not begun begins as noise as it is.
    GaussianSampler fresh = model.sampler(request_for(12, SamplerKind::ddim, 20));
    REQUIRE(fresh.edit(edit_of("0:noise:0-11:20", 12)));
    CHECK(run(fresh, 100).id == straight);
}

TEST_CASE("a Gaussian step that fails changes nothing") {
    IndifferentModel broken(false, NAN);
    GaussianSampler sampler = broken.sampler(request_for(12, SamplerKind::ddpm, 8));
    const State before = sampler.save();
    CHECK(!sampler.step());
    CHECK(sampler.save() == before);
}
