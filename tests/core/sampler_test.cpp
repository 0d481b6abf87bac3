#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "tests/sampler_support.h"

using namespace folio;
using namespace folio::test;

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
    const auto open_positions = [&] {
        std::set<int> positions;
        const Frame frame = sampler.frame();
        for (int i = 0; i < 64; ++i) {
            if (frame.id[i] < 0) positions.insert(i);
        }
        return positions;
    };
    REQUIRE(sampler.edit(edit_of("0:keep:10-19", 64)));
    REQUIRE(sampler.edit(edit_of("0:noise:0-39:40", 64)));
    CHECK(open_positions().size() == 12);  // 40 % of the 30 that are not kept
    for (const int position : open_positions()) {
        CHECK((position < 10 || position > 19));
        CHECK(sampler.frame().flags[position] == position_reopened);
        CHECK(sampler.frame().probability[position] == 0);
    }
    CHECK(sampler.frame().steps == 32 + 6);  // at the pace of 32 steps for 64 positions
    REQUIRE(sampler.edit(edit_of("0:open:10-11", 64)));
    CHECK(open_positions().size() == 14);
    REQUIRE(sampler.edit(edit_of("0:put:10:f", 64)));
    CHECK(open_positions().size() == 13);
    CHECK(sampler.frame().id[10] == 5);
    CHECK(sampler.frame().flags[10] == (position_revealed | position_conditioned));
    const Frame after = run(sampler);
    CHECK(after.step == 32 + 7);
    for (int position = 40; position < 64; ++position) CHECK(after.id[position] == done.id[position]);
    for (int position = 12; position < 20; ++position) CHECK(after.id[position] == done.id[position]);
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

TEST_CASE("a region of a long text is noised within a window around it") {
    std::vector<std::vector<int>> passes;
    const MaskedPredictor model = recording(hash_model(5, 16), passes);
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
    for (int position = 0; position < 2; ++position) {
        const auto p = table.conditional(before, position);
        double entropy = 0;
        for (const double x : p) entropy -= x * std::log(x);
        CHECK(frame.entropy[position] == Approx(entropy));
        const int top = frame.top_id[position * 4];
        CHECK(p[top] == Approx(*std::max_element(p.begin(), p.end())));
        CHECK(frame.top_probability[position * 4] == Approx(p[top]));
        CHECK(frame.top_id[position * 4 + 3] == -1);
    }
    CHECK(frame.probability[fixed] == Approx(table.conditional(before, fixed)[frame.id[fixed]]));
    CHECK(frame.flags[fixed] == (position_revealed | position_new));
    CHECK(frame.flags[2] == (position_revealed | position_conditioned));
    CHECK(frame.entropy[2] == 0);
    CHECK(frame.probability[2] == 1);
}
