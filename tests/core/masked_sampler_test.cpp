#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <numeric>

#include "tests/sampler_support.h"

using namespace folio;
using namespace folio::test;

TEST_CASE("the temperature falls evenly to that of the last pass") {
    const TableModel table(3, 3, 5);
    const MaskedPredictor model = table.model();
    // From 1 to 0: the last of three passes takes the most likely character.
    SamplingRequest request = request_for(3, SamplerKind::spread, 3);
    request.options.temperature = 1;
    request.options.temperature_fall = 1;
    for (request.sample = 0; request.sample < 200; ++request.sample) {
        MaskedSampler sampler = sampler_of(model, request);
        REQUIRE(sampler.step());
        const Frame before = next_frame(sampler);
        const Frame end = next_frame(sampler);
        const auto last = std::find(before.id.begin(), before.id.end(), -1) - before.id.begin();
        CHECK(end.id[last] == end.top_id[4 * last]);
    }
    // One pass has the temperature of the last.
    request.options.temperature = 2;
    request.options.temperature_fall = 0.75;
    request.options.steps = 1;
    SamplingRequest flat = request;
    flat.options.temperature = 0.5;
    flat.options.temperature_fall = 0;
    for (request.sample = 0; request.sample < 50; ++request.sample) {
        flat.sample = request.sample;
        CHECK(sample(model, request).id == sample(model, flat).id);
    }
    // No fall is no change.
    flat.options.steps = request.options.steps = 3;
    request.options.temperature = 0.5;
    request.options.temperature_fall = 0;
    CHECK(sample(model, request).id == sample(model, flat).id);
}

TEST_CASE("samplers give the model's own distribution") {
    const TableModel table(3, 3, 5);
    struct Case {
        SamplerKind kind;
        int steps, samples;
    };
    // One position a pass is exact in any order; the reverse process is so in the limit of many steps.
    const auto [kind, steps, samples] =
        GENERATE(Case{SamplerKind::spread, 3, 20000}, Case{SamplerKind::confidence, 3, 20000},
                 Case{SamplerKind::margin, 3, 20000}, Case{SamplerKind::threshold, 3, 20000},
                 Case{SamplerKind::entropy, 3, 20000}, Case{SamplerKind::ancestral, 150, 4000},
                 Case{SamplerKind::remask, 150, 4000});
    const MaskedPredictor model = table.model();
    SamplingRequest request = request_for(3, kind, steps);
    request.options.temperature = 1;
    request.options.tau = 1;
    request.options.gamma = 0;
    std::vector<int> counts(table.joint.size(), 0);
    for (int i = 0; i < samples; ++i) {
        request.sample = i;
        ++counts[table.index(sample(model, request).id)];
    }
    INFO(name_of(kind));
    CHECK(plausible(chi_square(counts, table.joint), 26));

    // The same counts would not pass for another distribution.
    CHECK(!plausible(chi_square(counts, TableModel(3, 3, 6).joint), 26));
}

TEST_CASE("given characters are conditioned on and stay") {
    const TableModel table(3, 3, 5);
    const MaskedPredictor model = table.model();
    SamplingRequest request = request_for(3, SamplerKind::confidence, 3);
    request.options.temperature = 1;
    request.conditioned[1] = 2;
    std::vector<int> counts(9, 0);
    std::vector<double> expected;
    for (int a = 0; a < 3; ++a) {
        for (int b = 0; b < 3; ++b) expected.push_back(table.joint[table.index({a, 2, b})]);
    }
    const double total = std::accumulate(expected.begin(), expected.end(), 0.0);
    for (double& p : expected) p /= total;
    for (int i = 0; i < 5000; ++i) {
        request.sample = i;
        const Frame frame = sample(model, request);
        REQUIRE(frame.id[1] == 2);
        ++counts[frame.id[0] * 3 + frame.id[2]];
    }
    CHECK(plausible(chi_square(counts, expected), 8));
}

TEST_CASE("every sampler ends within its steps, block by block") {
    for (int trial = 0; trial < 300; ++trial) {
        const Words chance = philox(77, trial, 0, 0u);
        const int seq_len = 1 + chance.word[0] % 24, length = 1 + chance.word[1] % 70, steps = 1 + chance.word[2] % 30;
        SamplingRequest request =
            request_for(length, all_samplers[static_cast<std::size_t>(trial) % all_samplers.size()], steps);
        for (int position = 0; position < length; ++position) {
            const Words w = philox(78, position, trial, 0u);
            if (w.word[0] % 100 < chance.word[3] % 100) request.conditioned[position] = w.word[1] % 5;
        }
        INFO("trial " << trial << ": " << name_of(*request.options.sampler) << ", length " << length << ", seq_len "
                      << seq_len);
        MaskedPredictor model = hash_model(5, seq_len, 16);
        model.predict = [&, inner = model.predict](std::span<const int> ids, std::span<const int> times, int batch,
                                                   int window, std::span<float> logits) {
            CHECK(window == std::min(length, seq_len));
            CHECK(times.size() == 1);
            return inner(ids, times, batch, window, logits);
        };
        MaskedSampler sampler = sampler_of(model, request);
        // A block takes all open positions within half a window.
        const int blocks = (length + (seq_len + 1) / 2 - 1) / ((seq_len + 1) / 2);
        std::map<int, int> passes;
        int promised = sampler.frame().steps;
        Frame frame = sampler.frame();
        while (!frame.done) {
            REQUIRE(frame.step < promised);
            frame = next_frame(sampler);
            ++passes[frame.window_first];
            CHECK(frame.steps <= promised);
            promised = frame.steps;
        }
        CHECK(frame.steps == frame.step);
        CHECK(static_cast<int>(passes.size()) <= (length <= seq_len ? 1 : blocks));
        for (const auto& [window, count] : passes) CHECK(count <= steps);
        for (int position = 0; position < length; ++position) {
            CHECK(frame.id[position] >= 0);
            CHECK(frame.id[position] < 5);
            if (request.conditioned[position] >= 0) {
                CHECK(frame.id[position] == request.conditioned[position]);
                CHECK(frame.flags[position] == (position_revealed | position_conditioned));
            }
        }
        CHECK(next_frame(sampler).step == frame.step);
    }
}

TEST_CASE("positions fixed in one pass are drawn apart") {
    MaskedPredictor model = hash_model(4, 4000);
    model.predict = [](auto, auto, int, int, std::span<float> logits) -> Result<void> {
        std::fill(logits.begin(), logits.end(), 1.0f);
        return {};
    };
    const Frame frame = sample(model, request_for(4000, SamplerKind::confidence, 1));
    std::vector<int> pairs(16, 0);
    for (int i = 0; i < 4000; i += 2) ++pairs[frame.id[i] * 4 + frame.id[i + 1]];
    CHECK(plausible(chi_square(pairs, std::vector<double>(16, 1.0 / 16)), 15));
}

TEST_CASE("each block sees the tail of the last") {
    struct Pass {
        int first;
        std::vector<int> ids;
    };
    std::vector<std::vector<int>> passes;
    const MaskedPredictor model = recording(hash_model(5, 16), passes);
    const Frame frame = sample(model, request_for(44, SamplerKind::confidence, 4));
    REQUIRE(passes.size() == 20);  // windows at 0, 8, 16, 24 and, for the last four positions, 28
    const int starts[] = {0, 8, 16, 24, 28};
    for (int block = 0; block < 5; ++block) {
        const std::vector<int>& first_pass = passes[block * 4];
        const int known = block == 0 ? 0 : block == 4 ? 12 : 8;
        for (int i = 0; i < 16; ++i) CHECK(first_pass[i] == (i < known ? frame.id[starts[block] + i] : 5));
    }
}

TEST_CASE("time is the share of hidden positions among those that may be hidden") {
    std::vector<int> rows;
    MaskedPredictor model = hash_model(5, 8, 8);
    model.predict = [&, inner = model.predict](std::span<const int> ids, std::span<const int> times, int batch,
                                               int window, std::span<float> logits) {
        rows.insert(rows.end(), times.begin(), times.end());
        return inner(ids, times, batch, window, logits);
    };
    SamplingRequest request = request_for(12, SamplerKind::confidence, 4);
    for (int i = 0; i < 4; ++i) request.conditioned[i] = 0;
    sample(model, request);
    // Four open positions a block, whatever stands around them: t = 1, 3/4, 1/2, 1/4.
    CHECK(rows == std::vector<int>{7, 5, 3, 1, 7, 5, 3, 1});
}

TEST_CASE("failures of the model leave the sampler where it was") {
    MaskedPredictor model = hash_model(5, 8);
    bool broken = false;
    model.predict = [&, inner = model.predict](std::span<const int> ids, std::span<const int> times, int batch,
                                               int window, std::span<float> logits) -> Result<void> {
        if (broken) return fail("Broken.");
        return inner(ids, times, batch, window, logits);
    };
    MaskedSampler sampler = sampler_of(model, request_for(20, SamplerKind::ancestral, 5));
    REQUIRE(sampler.step());
    const State state = sampler.save();
    broken = true;
    CHECK(sampler.step().error().sentence == "Broken.");
    CHECK(sampler.save() == state);

    SamplingRequest request = request_for(3, SamplerKind::confidence, 3);
    request.conditioned[0] = 5;
    CHECK(!MaskedSampler::create(model, request));
    request.conditioned[0] = 6;
    CHECK(!MaskedSampler::create(model, request));
    request.conditioned.clear();
    CHECK(!MaskedSampler::create(model, request));
    CHECK(!MaskedSampler::create(model, request_for(3, SamplerKind::confidence, 0)));
}
