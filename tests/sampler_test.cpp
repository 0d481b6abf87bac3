#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "core/ops/cpu_ops.h"
#include "core/process/gaussian.h"
#include "core/sampling/autoregressive_sampler.h"
#include "core/sampling/draw.h"
#include "core/sampling/edits.h"
#include "core/sampling/gaussian_sampler.h"
#include "core/sampling/masked_sampler.h"
#include "core/sampling/unmasking.h"
#include "core/training/initialisation.h"
#include "core/training/step.h"
#include "table_model.h"

using namespace folio;
using folio::test::chi_square;
using folio::test::hash_model;
using folio::test::next_frame;
using folio::test::plausible;
using folio::test::request_for;
using folio::test::TableModel;

namespace {

MaskedSampler sampler_of(const MaskedPredictor& model, const SamplingRequest& request) {
    auto sampler = MaskedSampler::create(model, request);
    if (!sampler) FAIL(sampler.error().sentence);
    return std::move(*sampler);
}

Frame run(Sampler& sampler, int most = 100000) {
    Frame frame = sampler.frame();
    for (int i = 0; !frame.done; ++i) {
        REQUIRE(i < most);
        frame = next_frame(sampler);
    }
    return frame;
}

Frame sample(const MaskedPredictor& model, const SamplingRequest& request) {
    MaskedSampler sampler = sampler_of(model, request);
    return run(sampler);
}

Edit edit_of(const char* text, int length) {
    auto edit = parse_edit(text, length, [](char32_t c) -> Result<int> { return static_cast<int>(c - 'a'); });
    if (!edit) FAIL(edit.error().sentence);
    return *edit;
}

const std::vector<SamplerKind> all_samplers = {SamplerKind::spread, SamplerKind::ancestral, SamplerKind::confidence,
                                               SamplerKind::margin, SamplerKind::threshold, SamplerKind::entropy,
                                               SamplerKind::remask};

}  // namespace

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

TEST_CASE("each rule chooses its places") {
    const auto chosen = [](SamplerKind kind, StepBudget pace, auto... change) {
        SamplingOptions options;
        options.sampler = kind;
        (change(options), ...);
        //                              place, confidence, margin, entropy
        std::vector<Candidate> candidates = {{0, .50, .45, .60, 0}, {1, .95, .91, .05, 0}, {2, .60, .21, .04, 0},
                                             {3, .95, .90, .05, 0}, {4, .40, .10, .90, 0}, {5, .60, .50, .30, 0}};
        const int count = select_positions(candidates, options, pace);
        std::vector<int> places;
        for (int i = 0; i < count; ++i) places.push_back(candidates[i].position);
        return places;
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
    for (int place = 0; place < 64; ++place)
        candidates.push_back({place, place >= 20 && place < 28 ? 0.9 : 0.3 + 0.001 * (place % 8), 0, 0, 0});
    const auto chosen = [&](SamplerKind kind, StepBudget pace) {
        std::vector<Candidate> some = candidates;
        SamplingOptions options;
        options.sampler = kind;
        some.resize(static_cast<std::size_t>(select_positions(some, options, pace)));
        std::vector<int> places;
        for (const Candidate& candidate : some) places.push_back(candidate.position);
        return places;
    };
    CHECK(chosen(SamplerKind::confidence, {8, 8}) == std::vector<int>{20, 21, 22, 23, 24, 25, 26, 27});
    CHECK(chosen(SamplerKind::spread, {8, 8}) == std::vector<int>{7, 15, 20, 24, 39, 47, 55, 63});

    // Runs of every length, against the rule itself.
    for (int size = 1; size <= 40; ++size) {
        candidates.clear();
        for (int place = 0; place < size; ++place) {
            candidates.push_back({3 * place, uniform(philox(5, place, size, 0u).word[0] % 16 << 28), 0, 0, 0});
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

TEST_CASE("places noised again are made up for") {
    // However many are noised again, the expected share of hidden places after a pass is s.
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

TEST_CASE("samplers give the model's own distribution") {
    const TableModel table(3, 3, 5);
    struct Case {
        SamplerKind kind;
        int steps, samples;
    };
    // One place a pass is exact in any order; the reverse process is so in the limit of many steps.
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
        for (int place = 0; place < length; ++place) {
            const Words w = philox(78, place, trial, 0u);
            if (w.word[0] % 100 < chance.word[3] % 100) request.conditioned[place] = w.word[1] % 5;
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
        // A block takes all open places within half a window.
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
        for (int place = 0; place < length; ++place) {
            CHECK(frame.id[place] >= 0);
            CHECK(frame.id[place] < 5);
            if (request.conditioned[place] >= 0) {
                CHECK(frame.id[place] == request.conditioned[place]);
                CHECK(frame.flags[place] == (position_revealed | position_conditioned));
            }
        }
        CHECK(next_frame(sampler).step == frame.step);
    }
}

TEST_CASE("a sample depends on its options, not on how it was reached") {
    for (const SamplerKind kind : all_samplers) {
        const MaskedPredictor model = hash_model(7, 16);
        SamplingRequest request = request_for(40, kind, 9);
        request.conditioned[3] = 1;
        request.edits = {edit_of("4:noise:0-9:50", 40), edit_of("4:put:5:c", 40), edit_of("70:noise:20-30", 40),
                         edit_of("0:put:39:a", 40)};
        const Frame whole = sample(model, request);
        const Frame again = sample(model, request);
        CHECK(whole.id == again.id);
        request.options.seed = 2;
        CHECK(sample(model, request).id != whole.id);
        request.options.seed = 1;
        request.sample = 1;
        CHECK(sample(model, request).id != whole.id);
        request.sample = 0;

        MaskedSampler sampler = sampler_of(model, request);
        std::vector<State> states = {sampler.save()};
        while (!sampler.done()) {
            REQUIRE(sampler.step());
            states.push_back(sampler.save());
        }
        for (const State& state : states) {
            MaskedSampler other = sampler_of(model, request);
            REQUIRE(other.restore(state));
            CHECK(other.save() == state);
            const Frame frame = run(other);
            CHECK(frame.id == whole.id);
            CHECK(frame.flags == whole.flags);
            CHECK(frame.probability == whole.probability);
            CHECK(frame.step == whole.step);
        }
        // Back to the middle within one sampler.
        REQUIRE(sampler.restore(states[states.size() / 2]));
        CHECK(run(sampler).id == whole.id);
    }
}

TEST_CASE("damaged states are refused and change nothing") {
    const MaskedPredictor model = hash_model(4, 16);
    const SamplingRequest request = request_for(12, SamplerKind::confidence, 6);
    MaskedSampler sampler = sampler_of(model, request);
    REQUIRE(sampler.step());
    const State good = sampler.save();
    CHECK(!sampler.restore({}));
    CHECK(!sampler.restore(State(good.begin(), good.end() - 1)));
    CHECK(!sampler_of(model, request_for(13, SamplerKind::confidence, 6)).restore(good));
    int refused = 0;
    for (std::size_t i = 0; i < good.size(); ++i) {
        State bad = good;
        bad[i] ^= 0x80;
        if (sampler.restore(bad)) {
            run(sampler, 100);  // whatever is taken must lead to an end
            REQUIRE(sampler.restore(good));
        } else {
            ++refused;
        }
        CHECK(sampler.save() == good);
    }
    CHECK(refused > 28);
}

TEST_CASE("what is done by hand and what is scheduled come to the same") {
    for (const SamplerKind kind : all_samplers) {
        const MaskedPredictor model = hash_model(7, 16);
        const SamplingRequest plain = request_for(40, kind, 8);
        const std::vector<const char*> texts = {"3:noise:2-12:60", "3:keep:0-4", "5:put:7:d", "9:open:0-3",
                                                "9:put:1:b"};
        MaskedSampler by_hand = sampler_of(model, plain);
        std::vector<Edit> scheduled;
        for (const char* text : texts) scheduled.push_back(edit_of(text, 40));
        for (const Edit& edit : scheduled) {
            while (by_hand.frame().step < edit.step && !by_hand.done()) REQUIRE(by_hand.step());
            REQUIRE(by_hand.edit(edit));
        }
        const int last = run(by_hand).step;
        Edit after = edit_of("0:noise:10-20", 40);
        after.step = last;
        REQUIRE(by_hand.edit(after));
        CHECK(!by_hand.done());
        scheduled.push_back(after);
        SamplingRequest request = plain;
        request.edits = scheduled;
        const Frame ours = run(by_hand), theirs = sample(model, request);
        CHECK(ours.step > last);
        CHECK(ours.id == theirs.id);
        CHECK(ours.flags == theirs.flags);
        CHECK(theirs.id[7] == 3);
        CHECK(theirs.id[1] == 1);

        // A step far beyond the end means after the end.
        request.edits.back().step = 5000;
        const Frame late = sample(model, request);
        CHECK(late.id == theirs.id);
    }
}

TEST_CASE("edits do what they say") {
    const MaskedPredictor model = hash_model(7, 64);
    MaskedSampler sampler = sampler_of(model, request_for(64, SamplerKind::confidence, 32));
    const Frame done = run(sampler);
    CHECK(done.step == 32);
    const auto open_places = [&] {
        std::set<int> places;
        const Frame frame = sampler.frame();
        for (int i = 0; i < 64; ++i) {
            if (frame.id[i] < 0) places.insert(i);
        }
        return places;
    };
    REQUIRE(sampler.edit(edit_of("0:keep:10-19", 64)));
    REQUIRE(sampler.edit(edit_of("0:noise:0-39:40", 64)));
    CHECK(open_places().size() == 12);  // 40 % of the 30 that are not kept
    for (const int place : open_places()) {
        CHECK((place < 10 || place > 19));
        CHECK(sampler.frame().flags[place] == position_reopened);
        CHECK(sampler.frame().probability[place] == 0);
    }
    CHECK(sampler.frame().steps == 32 + 6);  // at the pace of 32 steps for 64 places
    REQUIRE(sampler.edit(edit_of("0:open:10-11", 64)));
    CHECK(open_places().size() == 14);
    REQUIRE(sampler.edit(edit_of("0:put:10:f", 64)));
    CHECK(open_places().size() == 13);
    CHECK(sampler.frame().id[10] == 5);
    CHECK(sampler.frame().flags[10] == (position_revealed | position_conditioned));
    const Frame after = run(sampler);
    CHECK(after.step == 32 + 7);
    for (int place = 40; place < 64; ++place) CHECK(after.id[place] == done.id[place]);
    for (int place = 12; place < 20; ++place) CHECK(after.id[place] == done.id[place]);
    CHECK(after.id[10] == 5);
    int fresh = 0;
    for (const int flags : after.flags) fresh += (flags & position_new) != 0;
    CHECK(fresh == 1);

    Edit outside = edit_of("0:open:0-63", 64);
    outside.to = 64;
    CHECK(!sampler.edit(outside));
    Edit mask = edit_of("0:put:0:a", 64);
    mask.id = 7;
    CHECK(!sampler.edit(mask));
}

TEST_CASE("edits before the last step share the passes that are left") {
    const MaskedPredictor model = hash_model(7, 64);
    SamplingRequest request = request_for(64, SamplerKind::confidence, 32);
    request.edits = {edit_of("20:noise:0-63", 64)};
    CHECK(sample(model, request).step == 32);
}

TEST_CASE("a block that ended early leaves no passes to what comes after it") {
    const MaskedPredictor model = hash_model(7, 64);
    SamplingRequest request = request_for(64, SamplerKind::confidence, 32);
    std::fill(request.conditioned.begin() + 4, request.conditioned.end(), 2);
    MaskedSampler sampler = sampler_of(model, request);
    CHECK(run(sampler).step == 4);
    REQUIRE(sampler.edit(edit_of("0:noise:0-3", 64)));
    CHECK(run(sampler).step == 4 + 2);  // ceil(32 * 4 / 64)
}

TEST_CASE("places fixed in one pass are drawn apart") {
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
    MaskedPredictor model = hash_model(5, 16);
    model.predict = [&, inner = model.predict](std::span<const int> ids, std::span<const int> times, int batch,
                                               int window, std::span<float> logits) {
        passes.emplace_back(ids.begin(), ids.end());
        return inner(ids, times, batch, window, logits);
    };
    const Frame frame = sample(model, request_for(44, SamplerKind::confidence, 4));
    REQUIRE(passes.size() == 20);  // windows at 0, 8, 16, 24 and, for the last four places, 28
    const int starts[] = {0, 8, 16, 24, 28};
    for (int block = 0; block < 5; ++block) {
        const std::vector<int>& first_pass = passes[block * 4];
        const int known = block == 0 ? 0 : block == 4 ? 12 : 8;
        for (int i = 0; i < 16; ++i) CHECK(first_pass[i] == (i < known ? frame.id[starts[block] + i] : 5));
    }
}

TEST_CASE("a region of a long text is noised within a window around it") {
    std::vector<std::vector<int>> passes;
    MaskedPredictor model = hash_model(5, 16);
    model.predict = [&, inner = model.predict](std::span<const int> ids, std::span<const int> times, int batch,
                                               int window, std::span<float> logits) {
        passes.emplace_back(ids.begin(), ids.end());
        return inner(ids, times, batch, window, logits);
    };
    MaskedSampler sampler = sampler_of(model, request_for(60, SamplerKind::confidence, 8));
    const Frame before = run(sampler);
    passes.clear();
    REQUIRE(sampler.edit(edit_of("0:noise:30-35", 60)));
    const Frame after = run(sampler);
    CHECK(after.step == before.step + 3);  // ceil(8 * 6 / 16)
    REQUIRE(passes.size() == 3);
    CHECK(after.window_first == 25);
    for (int i = 0; i < 16; ++i) CHECK(passes[0][i] == (i >= 5 && i <= 10 ? 5 : before.id[25 + i]));
}

TEST_CASE("a text goes into noise and comes back") {
    const MaskedPredictor model = hash_model(5, 32);
    SamplingRequest request = request_for(20, SamplerKind::confidence, 8);
    request.text.assign(20, 3);
    request.conditioned[4] = 1;
    MaskedSampler sampler = sampler_of(model, request);
    Frame frame = sampler.frame();
    CHECK(frame.steps == 16);
    CHECK(frame.id[0] == 3);
    CHECK(frame.id[4] == 1);
    for (int step = 1; step <= 8; ++step) {
        frame = next_frame(sampler);
        CHECK(!frame.done);
        const auto open = std::count(frame.id.begin(), frame.id.end(), -1);
        CHECK(open <= (20 * step + 7) / 8);
        CHECK(open >= (20 * step + 7) / 8 - 1);
    }
    CHECK(std::count(frame.id.begin(), frame.id.end(), -1) == 19);
    CHECK(frame.id[4] == 1);
    const State middle = sampler.save();
    const Frame back = run(sampler);
    CHECK(back.step == 16);
    REQUIRE(sampler.restore(middle));
    CHECK(run(sampler).id == back.id);

    // What is kept on the way stays.
    request.edits = {edit_of("2:keep:0-19", 20)};
    const Frame kept = sample(model, request);
    CHECK(std::count(kept.id.begin(), kept.id.end(), 3) > 10);
}

TEST_CASE("time is the share of hidden places among those that may be hidden") {
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
    // Four open places a block, whatever stands around them: t = 1, 3/4, 1/2, 1/4.
    CHECK(rows == std::vector<int>{7, 5, 3, 1, 7, 5, 3, 1});
}

TEST_CASE("frames tell what the pass said") {
    const TableModel table(3, 3, 5);
    SamplingRequest request = request_for(3, SamplerKind::confidence, 3);
    request.conditioned[2] = 0;
    MaskedSampler sampler = sampler_of(table.model(), request);
    const Frame frame = next_frame(sampler);
    CHECK(frame.step == 1);
    CHECK(frame.steps == 2);
    const int fixed = frame.id[0] >= 0 ? 0 : 1;
    CHECK(frame.id[1 - fixed] == -1);
    const std::vector<int> before = {3, 3, 0};
    for (int place = 0; place < 2; ++place) {
        const auto p = table.conditional(before, place);
        double entropy = 0;
        for (const double x : p) entropy -= x * std::log(x);
        CHECK(frame.entropy[place] == Approx(entropy));
        const int top = frame.top_id[place * 4];
        CHECK(p[top] == Approx(*std::max_element(p.begin(), p.end())));
        CHECK(frame.top_probability[place * 4] == Approx(p[top]));
        CHECK(frame.top_id[place * 4 + 3] == -1);
    }
    CHECK(frame.probability[fixed] == Approx(table.conditional(before, fixed)[frame.id[fixed]]));
    CHECK(frame.flags[fixed] == (position_revealed | position_new));
    CHECK(frame.flags[2] == (position_revealed | position_conditioned));
    CHECK(frame.entropy[2] == 0);
    CHECK(frame.probability[2] == 1);
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

TEST_CASE("edits are read") {
    const EncodeCharacter encode = [](char32_t c) -> Result<int> {
        if (c > 0x100) return fail("No such character.");
        return static_cast<int>(c);
    };
    const auto edit = parse_edit("21:noise:135-156:60", 256, encode);
    REQUIRE(edit);
    CHECK(edit->kind == Edit::Kind::noise);
    CHECK(edit->step == 21);
    CHECK(edit->from == 135);
    CHECK(edit->to == 156);
    CHECK(edit->percent == 60);
    CHECK(parse_edit("21:noise:4-4", 256, encode)->percent == 100);
    CHECK(parse_edit("0:keep:0-255", 256, encode)->kind == Edit::Kind::keep);
    CHECK(parse_action("open:4-9", 256, encode)->kind == Edit::Kind::open);
    CHECK(parse_action("put:89:h", 256, encode)->id == 'h');
    CHECK(parse_action("put:89::", 256, encode)->id == ':');
    CHECK(parse_action("put:89:\n", 256, encode)->id == '\n');
    CHECK(parse_action("put:89:\xC3\xA9", 256, encode)->id == 0xE9);
    CHECK(parse_action("put:89:\xE2\x82\xAC", 256, encode).error().sentence == "No such character.");
    for (const char* wrong : {"",
                              "noise:1-2",
                              "1:noise",
                              "1:noise:",
                              "1:noise:1",
                              "1:noise:1-",
                              "1:noise:-1-2",
                              "1:noise:2-1",
                              "1:noise:1-256",
                              "1:noise:1-2:",
                              "1:noise:1-2:0",
                              "1:noise:1-2:101",
                              "1:noise:1-2:5:5",
                              "1:keep:1-2:5",
                              "1:put:1",
                              "1:put:1:",
                              "1:put:256:h",
                              "1:put:1:hh",
                              "1:put:1:\xC3",
                              "x:keep:1-2",
                              "-1:keep:1-2",
                              "+1:keep:1-2",
                              "99999999999:keep:1-2",
                              "1:erase:1-2",
                              "1:keep:1-2 ",
                              " 1:keep:1-2"}) {
        INFO(wrong);
        CHECK(!parse_edit(wrong, 256, encode));
    }
    CHECK(!parse_action("1:noise:1-2", 256, encode));
    CHECK(parse_edit("1:\x1B[31m:1-2", 256, encode).error().sentence.find('\x1B') == std::string::npos);
}

TEST_CASE("options have names, ranges and defaults in one table") {
    SamplingOptions options;
    CHECK(validate(options));
    for (const SamplerName& sampler : sampler_names) {
        CHECK(sampler_named(sampler.name) == sampler.kind);
        CHECK(name_of(sampler.kind) == sampler.name);
    }
    CHECK(!sampler_named("magic"));
    const auto set = [&](std::string_view name, double value) {
        for (const SamplingOption& option : sampling_options) {
            if (option.name == name) return static_cast<bool>(set_option(options, option, value));
        }
        FAIL("no option " << name);
        return false;
    };
    CHECK(set("steps", 12));
    CHECK(options.steps == 12);
    CHECK(!set("steps", 0));
    CHECK(!set("steps", 1.5));
    CHECK(!set("steps", 1e300));
    CHECK(set("temperature", 0));
    CHECK(!set("temperature", -0.1));
    CHECK(!set("temperature", NAN));
    CHECK(!set("temperature", HUGE_VAL));
    CHECK(!set("top-p", -1));
    CHECK(!set("top-k", -1));
    CHECK(set("tau", 0.5));
    CHECK(options.tau == 0.5);
    CHECK(options.steps == 12);
    options.top_p = NAN;
    CHECK(!validate(options));

    const auto option = [](std::string_view name) -> const SamplingOption& {
        return *std::find_if(sampling_options.begin(), sampling_options.end(),
                             [&](const SamplingOption& o) { return o.name == name; });
    };
    for (const ProcessKind process : {ProcessKind::masked, ProcessKind::gaussian, ProcessKind::autoregressive}) {
        const SamplingOptions defaults = default_options(process);
        CHECK(validate(defaults));
        CHECK(sampler_names[static_cast<std::size_t>(*defaults.sampler)].process == process);
        // A temperature that is given alone holds for all passes.
        const SamplingOptions even = options_with(process, {{&option("temperature"), 1.25}}).value();
        CHECK(even.temperature == 1.25);
        CHECK(even.temperature_fall == 0);
        const SamplingOptions falling =
            options_with(process, {{&option("temperature-fall"), 0.25}, {&option("temperature"), 1.25}}).value();
        CHECK(falling.temperature_fall == 0.25);
        CHECK(options_with(process, {{&option("steps"), 3}}).value().temperature_fall == defaults.temperature_fall);
        CHECK(!options_with(process, {{&option("steps"), 0}}));
    }
    CHECK(default_options(ProcessKind::masked).sampler == SamplerKind::spread);
    CHECK(check_used(option("tau"), SamplerKind::threshold, false));
    CHECK(!check_used(option("tau"), SamplerKind::spread, false));
    CHECK(check_used(option("stop-stable"), SamplerKind::churn, false));
    CHECK(!check_used(option("stop-stable"), SamplerKind::spread, false));
    CHECK(!check_used(option("churn"), SamplerKind::ddim, false));
    CHECK(!check_used(option("temperature-fall"), SamplerKind::left_to_right, false));
    CHECK(!check_used(option("rounds"), SamplerKind::spread, false));
    CHECK(check_used(option("proofread-share"), SamplerKind::ddpm, true));
}

TEST_CASE("an autoregressive sampler draws from the model's distribution") {
    const TableModel table(3, 3, 5);
    SamplingRequest request = request_for(3, SamplerKind::left_to_right, 1);
    request.options.temperature = 1;
    request.before = 0;
    std::vector<int> counts(table.joint.size());
    const AutoregressivePredictor model = folio::test::left_to_right(table);
    for (request.sample = 0; request.sample < 20000; ++request.sample) {
        AutoregressiveSampler sampler = AutoregressiveSampler::create(model, request).value();
        const Frame frame = run(sampler, 3);
        CHECK(frame.step == 3);
        ++counts[table.index(frame.id)];
    }
    CHECK(plausible(chi_square(counts, table.joint), 26));
}

TEST_CASE("an autoregressive sampler sees what stands before, and no more") {
    std::vector<std::vector<int>> seen;
    std::vector<int> known;
    AutoregressivePredictor model;
    model.config.vocab_size = 4;
    model.config.seq_len = 8;
    model.decode = [&](std::span<const int> ids, int first, std::span<float> logits) -> Result<void> {
        seen.emplace_back(ids.begin(), ids.end());
        known.push_back(first);
        std::fill(logits.begin(), logits.end(), 0.f);
        logits[static_cast<std::size_t>(ids.size() % 3)] = 30;
        return {};
    };
    using Texts = std::vector<std::vector<int>>;
    SamplingRequest request = request_for(5, SamplerKind::left_to_right, 64);
    request.before = 3;
    SECTION("from the unseen character before the text where its first place is open") {
        AutoregressiveSampler sampler = AutoregressiveSampler::create(model, request).value();
        CHECK(sampler.frame().steps == 5);
        CHECK(run(sampler).id == std::vector<int>{1, 2, 0, 1, 2});
        CHECK(seen == Texts{{3}, {3, 1}, {3, 1, 2}, {3, 1, 2, 0}, {3, 1, 2, 0, 1}});
        CHECK(known == std::vector<int>{0, 1, 2, 3, 4});
    }
    SECTION("from the prompt alone where there is one, and past what is given further on") {
        request.conditioned = {2, 2, -1, 0, -1};
        AutoregressiveSampler sampler = AutoregressiveSampler::create(model, request).value();
        CHECK(run(sampler).id == std::vector<int>{2, 2, 2, 0, 1});
        CHECK(seen == Texts{{2, 2}, {2, 2, 2, 0}});
        CHECK(known == std::vector<int>{0, 2});
    }
    SECTION("of a long text between half a window and a whole one") {
        request.conditioned.assign(30, -1);
        AutoregressiveSampler sampler = AutoregressiveSampler::create(model, request).value();
        const Frame frame = run(sampler);
        REQUIRE(seen.size() == 30);
        for (std::size_t place = 0; place < seen.size(); ++place) {
            const std::vector<int>& text = seen[place];
            CHECK(text.size() <= 8);
            CHECK(text.size() >= std::min<std::size_t>(place + 1, 4));
            const std::size_t tail = std::min(place, text.size());
            CHECK(std::equal(text.end() - static_cast<std::ptrdiff_t>(tail), text.end(),
                             frame.id.begin() + static_cast<std::ptrdiff_t>(place - tail)));
        }
        for (std::size_t i = 1; i < seen.size(); ++i)
            CHECK(std::equal(seen[i].begin(), seen[i].begin() + known[i], seen[i - 1].begin()));
    }
    SECTION("again where an edit or a restored state changed it") {
        AutoregressiveSampler sampler = AutoregressiveSampler::create(model, request).value();
        for (int i = 0; i < 3; ++i) REQUIRE(sampler.step());
        const State state = sampler.save();
        const Frame straight = run(sampler);
        REQUIRE(sampler.restore(state));
        CHECK(run(sampler).id == straight.id);
        REQUIRE(sampler.edit({Edit::Kind::put, 0, 1, 1, 100, 3}));
        REQUIRE(sampler.edit({Edit::Kind::open, 0, 3, 4, 100, -1}));
        seen.clear();
        known.clear();
        const Frame forked = run(sampler);
        CHECK(forked.id == std::vector<int>{1, 3, 0, 1, 2});
        CHECK(seen == Texts{{3, 1, 3, 0}, {3, 1, 3, 0, 1}});
        CHECK(known == std::vector<int>{2, 4});
    }
    SECTION("and refuses what it cannot do") {
        const auto refusal = [&] {
            auto sampler = AutoregressiveSampler::create(model, request);
            return sampler ? std::string() : sampler.error().sentence;
        };
        CHECK(refusal().empty());
        request.options.sampler = SamplerKind::threshold;
        CHECK(refusal().find("threshold") != std::string::npos);
        request.options.sampler.reset();
        request.text = {0, 1, 2, 0, 1};
        CHECK(refusal().find("noise") != std::string::npos);
        request.text.clear();
        request.before = -1;
        CHECK(refusal().find("prompt") != std::string::npos);
        request.conditioned[0] = 4;
        CHECK(refusal().find("character") != std::string::npos);
        CHECK(!MaskedSampler::create(hash_model(4, 8), request_for(4, SamplerKind::left_to_right, 4)));
    }
}

namespace {

/// A Gaussian model whose head is zero: what it makes of a row is what the row says by itself, whatever stands beside
/// it. With `opinion` all its zeros are filled.
struct IndifferentModel {
    ModelConfig config;
    ProcessConfig process;
    Serial serial;
    CpuOps ops{serial, *available_kernels().front(), Precision::f32};
    std::optional<Denoiser> denoiser;

    explicit IndifferentModel(bool article, float head = 0, float opinion = 0) {
        config.vocab_size = 5;
        config.seq_len = 12;
        config.d_model = 8;
        config.n_layer = 2;
        config.n_head = 1;
        config.d_ff = 8;
        config.soft_tokens = true;
        config.time_rows = 4;
        config.trunk = article ? Trunk::article : Trunk::modern;
        config.self_conditioning = !article;
        process = {ProcessKind::gaussian, -1, article ? GaussianConfig{} : warped_gaussian(5)};
        std::vector<float> parameters = initial_parameters(config, 1);
        for (std::size_t i = 0; i < parameters.size(); ++i)
            if (parameters[i] == 0) parameters[i] = opinion * static_cast<float>(i % 7 - 3.0);
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
            for (int place : {0, 1, 7, 29}) request.conditioned[place] = place % 5;
            GaussianSampler sampler = model.sampler(request);
            for (int i = 0; i < 4; ++i) REQUIRE(sampler.step());
            CHECK(count_unrevealed(sampler.frame().flags, 0, 12) == 9);
            CHECK(sampler.frame().top_id[4 * 2] >= 0);  // what a noisy place seems to be
            const State state = sampler.save();
            const Frame straight = run(sampler, 100);
            for (int place : {0, 1, 7, 29}) CHECK(straight.id[place] == place % 5);
            GaussianSampler other = model.sampler(request);
            REQUIRE(other.restore(state));
            CHECK(run(other, 100).id == straight.id);
            State cut = state;
            cut.pop_back();
            CHECK(!other.restore(cut));

            REQUIRE(sampler.edit({Edit::Kind::open, 0, 3, 5, 100, -1}));
            CHECK(!sampler.done());
            const Frame again = run(sampler, 100);
            for (int place = 0; place < 30; ++place)
                if (place < 3 || place > 5) CHECK(again.id[place] == straight.id[place]);
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

TEST_CASE("a Gaussian sampler takes one pass a step and shows the model what it made of each place in the last") {
    IndifferentModel model(false, 0, 0.3f);
    const SamplingRequest request = request_for(12, SamplerKind::ddim, 8);
    GaussianSampler sampler = model.sampler(request);
    for (int i = 0; i < 3; ++i) REQUIRE(sampler.step());
    const std::vector<float> made = sampler.frame().top_probability;
    const State state = sampler.save();

    // At the end of the state stand x_hat of every place and what is to become of it.
    const std::size_t x_hat = state.size() - (12 * 6 + 1) - 13 * sizeof(std::int32_t) - 12 * 5 * sizeof(float);
    std::vector<float> seen(12 * 5);
    std::memcpy(seen.data(), state.data() + x_hat, seen.size() * sizeof(float));
    for (int place = 0; place < 12; ++place)
        CHECK(*std::max_element(seen.begin() + 5 * place, seen.begin() + 5 * place + 5) == made[4 * place]);

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
                    for (int place = 0; place < window; ++place) {
                        if (request.conditioned[place] >= 0) continue;
                        same = same && frames[step].top_id[4 * place] == frames[step - 1].top_id[4 * place];
                        probability += frames[step].top_probability[4 * place];
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
                for (int place = 6; place < 12; ++place) CHECK(frame.id[place] == straight.id[place]);
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
