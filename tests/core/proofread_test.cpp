#include "core/sampling/proofread.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "core/process/masked.h"
#include "core/process/prediction.h"
#include "core/sampling/autoregressive_sampler.h"
#include "core/sampling/gaps.h"
#include "core/sampling/masked_sampler.h"
#include "core/weights/vocabulary.h"
#include "tests/table_model.h"

using namespace folio;
using folio::test::chi_square;
using folio::test::hash_model;
using folio::test::next_frame;
using folio::test::plausible;
using folio::test::request_for;
using folio::test::TableModel;

namespace {

/// An autoregressive model whose logits are hashes of all that it reads, in order.
AutoregressivePredictor hash_reader(int characters, int seq_len) {
    AutoregressivePredictor model;
    model.config.vocab_size = characters;
    model.config.seq_len = seq_len;
    model.decode = [=](std::span<const int> ids, int, std::span<float> logits) -> Result<void> {
        const std::size_t rows = logits.size() / static_cast<std::size_t>(characters);
        REQUIRE(!ids.empty());
        REQUIRE(static_cast<int>(ids.size()) <= seq_len);
        REQUIRE(rows <= ids.size());
        std::uint64_t text = 1469598103934665603u;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            text = (text ^ static_cast<std::uint64_t>(ids[i] + 1)) * 1099511628211u;
            if (i + rows < ids.size()) continue;
            for (int id = 0; id < characters; ++id) {
                const std::size_t row = i + rows - ids.size();
                logits[row * static_cast<std::size_t>(characters) + static_cast<std::size_t>(id)] =
                    static_cast<float>(5 * uniform(philox(text, 0, static_cast<std::uint32_t>(id), 98u).word[0]));
            }
        }
        return {};
    };
    return model;
}

/// A proofreader of a masked model of so many characters: the same ids, and the last character as newline.
Proofreader proofreader_of(AutoregressivePredictor model) {
    const int characters = model.config.vocab_size;
    std::vector<int> ids(static_cast<std::size_t>(characters) + 1);
    std::iota(ids.begin(), ids.end(), 0);
    ids.back() = -1;
    return {{std::move(ids), characters - 1}, std::move(model)};
}

MaskedSampler sampler_of(const MaskedPredictor& model, const SamplingRequest& request, const Proofreader& proofreader) {
    auto sampler = MaskedSampler::create(model, request, &proofreader);
    if (!sampler) FAIL(sampler.error().sentence);
    return std::move(*sampler);
}

std::vector<Frame> frames_of(Sampler& sampler) {
    std::vector<Frame> frames = {sampler.frame()};
    while (!sampler.done()) {
        REQUIRE(frames.size() < 10000);
        frames.push_back(next_frame(sampler));
    }
    return frames;
}

int count_unrevealed(const Frame& frame) { return static_cast<int>(std::count(frame.id.begin(), frame.id.end(), -1)); }

int ceil_div(int a, int b) { return (a + b - 1) / b; }

}  // namespace

TEST_CASE("the proofreader rates each character in the window that an autoregressive sampler sees") {
    for (const int seq_len : {1, 2, 3, 8}) {
        for (const int length : {1, 2, 7, 8, 9, 33}) {
            for (const bool has_newline : {true, false}) {
                CAPTURE(seq_len, length, has_newline);
                AutoregressivePredictor model = hash_reader(5, seq_len);
                Proofreader proofreader = proofreader_of(model);
                std::vector<std::vector<int>> contexts;
                AutoregressivePredictor watched = model;
                watched.decode = [&](std::span<const int> ids, int known, std::span<float> logits) {
                    contexts.emplace_back(ids.begin(), ids.end());
                    return model.decode(ids, known, logits);
                };
                SamplingRequest request = request_for(length, SamplerKind::left_to_right, 1);
                if (has_newline)
                    request.before = proofreader.newline;
                else
                    request.conditioned[0] = 2;
                if (!has_newline) proofreader.newline = -1;
                AutoregressiveSampler sampler = AutoregressiveSampler::create(watched, request).value();
                const std::vector<int> text = frames_of(sampler).back().id;

                const std::vector<double> nll = proofread_nll(proofreader, text).value();
                REQUIRE(nll.size() == text.size());
                if (!has_newline) CHECK(std::isnan(nll[0]));
                for (std::size_t i = 0; i < contexts.size(); ++i) {
                    const std::size_t position = i + (has_newline ? 0 : 1);
                    std::vector<float> logits(5);
                    std::vector<double> probability(5);
                    REQUIRE(model.decode(contexts[i], 0, logits));
                    softmax(logits, -1, probability);
                    CHECK(nll[position] == Approx(-std::log(probability[static_cast<std::size_t>(text[position])])));
                }
            }
        }
    }
}

TEST_CASE("each round opens a smaller share of the characters") {
    CHECK(proofread_count(0.1, 0, 4, 240) == 24);
    CHECK(proofread_count(0.1, 1, 4, 240) == 18);
    CHECK(proofread_count(0.1, 3, 4, 240) == 6);
    CHECK(proofread_count(0.1, 0, 1, 251) == 26);
    CHECK(proofread_count(0.1, 0, 3, 30) == 3);
    CHECK(proofread_count(1, 0, 4, 17) == 17);
    CHECK(proofread_count(1, 1, 3, 17) == 12);
    CHECK(proofread_count(0.001, 0, 4, 17) == 1);
    CHECK(proofread_count(0, 0, 4, 17) == 0);
    CHECK(proofread_count(0.5, 0, 4, 0) == 0);
}

TEST_CASE("the least likely characters are opened, each with the one before it") {
    const double none = std::numeric_limits<double>::quiet_NaN();
    //                             0     1  2  3    4  5  6
    const std::vector<double> nll = {none, 5, 1, 2, 2 + 1e-6, 4, 9};
    const std::vector<std::uint8_t> free(7, 0), ends = {0, 0, 0, 0, 0, 1, 1};
    using Positions = std::vector<int>;
    CHECK(positions_to_reopen(nll, free, 0).empty());
    CHECK(positions_to_reopen(nll, free, 1) == Positions{5, 6});
    CHECK(positions_to_reopen(nll, free, 2) == Positions{0, 1, 5, 6});
    CHECK(positions_to_reopen(nll, free, 3) == Positions{0, 1, 4, 5, 6});
    CHECK(positions_to_reopen(nll, free, 4) == Positions{0, 1, 2, 3, 4, 5, 6});  // 3 and 4 tie
    CHECK(positions_to_reopen(nll, free, 100) == Positions{0, 1, 2, 3, 4, 5, 6});
    CHECK(positions_to_reopen(nll, ends, 2) == Positions{0, 1, 2, 3});
    CHECK(positions_to_reopen(nll, std::vector<std::uint8_t>{1, 0, 0, 0, 0, 0, 1}, 1) == Positions{1});
}

TEST_CASE("a proofread sample is scored, opened and filled round by round") {
    const int length = 40, steps = 12;
    MaskedPredictor model = hash_model(6, length);
    int passes = 0;
    model.predict = [&, inner = model.predict](std::span<const int> ids, std::span<const int> times, int batch,
                                               int window, std::span<float> logits) {
        ++passes;
        return inner(ids, times, batch, window, logits);
    };
    const Proofreader proofreader = proofreader_of(hash_reader(6, 16));
    for (const SamplerKind kind :
         {SamplerKind::spread, SamplerKind::confidence, SamplerKind::ancestral, SamplerKind::threshold}) {
        CAPTURE(name_of(kind));
        SamplingRequest request = request_for(length, kind, steps);
        request.options.rounds = 3;
        request.options.proofread_share = 0.2;
        for (int i = 0; i < 4; ++i) request.conditioned[static_cast<std::size_t>(i)] = i;
        MaskedSampler sampler = sampler_of(model, request, proofreader);
        passes = 0;
        const std::vector<Frame> frames = frames_of(sampler);
        int rounds = 0, promised = frames.front().steps;
        for (std::size_t i = 1; i < frames.size(); ++i) {
            const Frame &before = frames[i - 1], &now = frames[i];
            CHECK(now.step == static_cast<int>(i));
            CHECK(now.steps <= promised);
            promised = now.steps;
            CHECK(now.done == (i + 1 == frames.size()));
            CHECK(now.proofread_nll.empty() == (count_unrevealed(before) > 0));
            if (now.proofread_nll.empty()) continue;
            const std::vector<double> nll = proofread_nll(proofreader, before.id).value();
            std::vector<std::uint8_t> given(length, 0);
            std::fill_n(given.begin(), 4, std::uint8_t{1});
            const auto wanted = positions_to_reopen(nll, given, proofread_count(0.2, rounds, 3, length - 4));
            std::vector<int> opened;
            for (int position = 0; position < length; ++position) {
                CHECK(now.proofread_nll[static_cast<std::size_t>(position)] ==
                      static_cast<float>(nll[static_cast<std::size_t>(position)]));
                if (now.id[static_cast<std::size_t>(position)] < 0) opened.push_back(position);
            }
            CHECK(opened == wanted);
            // The passes that follow are those of any text opened again.
            const int budget = ceil_div(steps * static_cast<int>(opened.size()), length);
            std::size_t filled = i;
            while (count_unrevealed(frames[filled]) > 0) ++filled;
            const int taken = static_cast<int>(filled - i);
            CHECK(taken <= budget);
            if (kind == SamplerKind::ancestral) CHECK(taken == budget);
            ++rounds;
        }
        CHECK(rounds == 3);
        CHECK(passes == frames.back().step - rounds);
        CHECK(next_frame(sampler).step == frames.back().step);
        for (int i = 0; i < 4; ++i) CHECK(frames.back().id[static_cast<std::size_t>(i)] == i);
    }
}

TEST_CASE("a round that changes nothing is the last, and no round is none") {
    MaskedPredictor model = hash_model(4, 10);
    model.predict = [](std::span<const int>, std::span<const int>, int, int, std::span<float> logits) -> Result<void> {
        for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = i % 5 == 2 ? 60.f : 0.f;  // always character 2
        return {};
    };
    const Proofreader proofreader = proofreader_of(hash_reader(4, 6));
    SamplingRequest request = request_for(10, SamplerKind::spread, 5);
    request.options.rounds = 8;
    MaskedSampler sampler = sampler_of(model, request, proofreader);
    const std::vector<Frame> frames = frames_of(sampler);
    CHECK(frames.size() == 1 + 5 + 1 + 1);  // one character and the one before it: ceil(5 * 2 / 10) passes

    request.options.proofread_share = 0;  // opens nothing, so changes nothing
    MaskedSampler idle = sampler_of(model, request, proofreader);
    CHECK(frames_of(idle).size() == 1 + 5 + 1);
    request.options.rounds = 0;
    MaskedSampler none = sampler_of(model, request, proofreader);
    CHECK(frames_of(none).size() == 1 + 5);
    request.options.rounds = 2;
    request.conditioned.assign(10, 1);
    MaskedSampler all_given = sampler_of(model, request, proofreader);
    const std::vector<Frame> scored = frames_of(all_given);
    CHECK(scored.size() == 2);
    CHECK(scored.back().id == request.conditioned);
    CHECK(scored.back().proofread_nll.size() == 10);
}

TEST_CASE("a round that opens the whole text draws from the model's distribution again") {
    const TableModel table(3, 3, 5);
    const MaskedPredictor model = table.model();
    Proofreader proofreader = proofreader_of(folio::test::left_to_right(TableModel(3, 3, 9)));
    proofreader.newline = 0;
    SamplingRequest request = request_for(3, SamplerKind::spread, 3);
    request.options.temperature = 1;
    request.options.rounds = 1;
    request.options.proofread_share = 1;
    std::vector<int> counts(table.joint.size(), 0);
    for (int i = 0; i < 20000; ++i) {
        request.sample = static_cast<std::uint64_t>(i);
        MaskedSampler sampler = sampler_of(model, request, proofreader);
        ++counts[table.index(frames_of(sampler).back().id)];
    }
    CHECK(plausible(chi_square(counts, table.joint), 26));
    CHECK(!plausible(chi_square(counts, TableModel(3, 3, 6).joint), 26));
}

TEST_CASE("a proofread sample goes on from any saved step, and a failing proofreader changes nothing") {
    const MaskedPredictor model = hash_model(6, 16);
    Proofreader proofreader = proofreader_of(hash_reader(6, 8));
    bool broken = false;
    proofreader.model.decode = [&, inner = proofreader.model.decode](std::span<const int> ids, int known,
                                                                     std::span<float> logits) -> Result<void> {
        if (broken) return fail("Broken.");
        return inner(ids, known, logits);
    };
    SamplingRequest request = request_for(40, SamplerKind::spread, 6);
    request.options.proofread_share = 0.3;
    const auto edit = [](Edit::Kind kind, int step, int from, int to) {
        return Edit{kind, step, from, to, 100, kind == Edit::Kind::put ? 3 : -1};
    };
    request.edits = {edit(Edit::Kind::put, 3, 5, 5), edit(Edit::Kind::noise, 22, 10, 20),
                     edit(Edit::Kind::open, 1000, 30, 34)};
    MaskedSampler sampler = sampler_of(model, request, proofreader);
    std::vector<State> states = {sampler.save()};
    std::vector<Frame> frames = {sampler.frame()};
    while (!sampler.done()) {
        broken = true;
        const auto failed = sampler.step();
        if (!failed) {
            CHECK(failed.error().sentence == "Broken.");
            CHECK(sampler.save() == states.back());
        } else {
            REQUIRE(sampler.restore(states.back()));
        }
        broken = false;
        frames.push_back(next_frame(sampler));
        states.push_back(sampler.save());
    }
    int scored = 0;
    for (std::size_t i = 0; i < states.size(); ++i) {
        scored += !frames[i].proofread_nll.empty();
        MaskedSampler other = sampler_of(model, request, proofreader);
        REQUIRE(other.restore(states[i]));
        CHECK(other.save() == states[i]);
        const Frame end = frames_of(other).back();
        CHECK(end.id == frames.back().id);
        CHECK(end.probability == frames.back().probability);
        CHECK(end.step == frames.back().step);
    }
    CHECK(scored == 4);
    // The edit that was due after all rounds has its passes, and no further round.
    CHECK(frames.back().edits_applied == 3);
    CHECK(frames.back().proofread_nll.empty());

    int refused = 0;
    const State good = states[states.size() / 2];
    MaskedSampler victim = sampler_of(model, request, proofreader);
    REQUIRE(victim.restore(good));
    for (std::size_t i = 0; i < good.size(); ++i) {
        State bad = good;
        bad[i] ^= 0x80;
        if (victim.restore(bad)) {
            frames_of(victim);
            REQUIRE(victim.restore(good));
        } else {
            ++refused;
        }
        CHECK(victim.save() == good);
    }
    CHECK(refused > 40);
}

TEST_CASE("what is written into the last open position ends a round") {
    const MaskedPredictor model = hash_model(6, 12);
    const Proofreader proofreader = proofreader_of(hash_reader(6, 8));
    SamplingRequest request = request_for(12, SamplerKind::spread, 12);
    request.options.rounds = 2;
    MaskedSampler sampler = sampler_of(model, request, proofreader);
    while (sampler.frame().proofread_nll.empty()) REQUIRE(sampler.step());
    const Frame opened = sampler.frame();
    for (int position = 0; position < 12; ++position) {
        if (opened.id[static_cast<std::size_t>(position)] < 0)
            REQUIRE(sampler.edit({Edit::Kind::put, 0, position, position, 100, 1}));
    }
    REQUIRE(!sampler.done());
    CHECK(!next_frame(sampler).proofread_nll.empty());  // the second round
    frames_of(sampler);
    CHECK(sampler.done());
}

TEST_CASE("a proofread text's time is the share of all positions that were not given") {
    MaskedPredictor model = hash_model(5, 16, 64);
    std::vector<int> rows;
    model.predict = [&, inner = model.predict](std::span<const int> ids, std::span<const int> times, int batch,
                                               int window, std::span<float> logits) {
        rows.push_back(times[0]);
        return inner(ids, times, batch, window, logits);
    };
    const Proofreader proofreader = proofreader_of(hash_reader(5, 8));
    SamplingRequest request = request_for(16, SamplerKind::spread, 8);
    request.conditioned[15] = 1;
    request.options.rounds = 1;
    request.options.proofread_share = 0.2;
    MaskedSampler sampler = sampler_of(model, request, proofreader);
    while (sampler.frame().proofread_nll.empty()) REQUIRE(sampler.step());
    while (!sampler.done()) {
        const int open = count_unrevealed(sampler.frame());
        REQUIRE(sampler.step());
        CHECK(rows.back() == time_row(open / 15.0, 64));
    }
}

TEST_CASE("the proofreader must have the characters of the sampled model") {
    const Vocabulary letters = Vocabulary::of_text("abc\n").value(), more = Vocabulary::of_text("abcd\n").value();
    const Vocabulary gaps = Vocabulary::of_list("\uFFFDcb\na").value();
    CHECK(letters.ids_in(letters).value() == std::vector<int>{0, 1, 2, 3});
    CHECK(gaps.ids_in(letters).value() == std::vector<int>{-1, 3, 2, 0, 1});
    CHECK(letters.ids_in(more).error().sentence.find("\"d\"") != std::string::npos);
    CHECK(more.ids_in(letters).error().sentence.find("\"d\"") != std::string::npos);
}

TEST_CASE("open gaps are expanded into all choices of lengths") {
    const auto texts = [](std::string_view text, std::string_view mark = "_") {
        std::vector<std::string> result;
        const auto choices = expand_gaps(text, mark, 256);
        REQUIRE(choices);
        for (const GapChoice& choice : *choices) result.push_back(choice.text);
        return result;
    };
    using Texts = std::vector<std::string>;
    CHECK(texts("a_b") == Texts{"a_b"});
    CHECK(texts("a{2-4}b") == Texts{"a__b", "a___b", "a____b"});
    CHECK(texts("{1-2}{3-3}_{{{1-2}}", "~") == Texts{"~~~~_{{~}", "~~~~_{{~~}", "~~~~~_{{~}", "~~~~~_{{~~}"});
    CHECK(expand_gaps("{{1-2}", "_", 256).value().front().lengths.empty());
    CHECK(expand_gaps("x{1-2}y{5-6}", "_", 256).value()[2].lengths == std::vector<int>{2, 5});
    CHECK(expand_gaps("{1-256}", "_", 256).value().size() == 256);
    CHECK(expand_gaps("{1-16} {1-16}", "_", 256).value().size() == 256);
    for (const char* wrong :
         {"{1-257}", "{300-301}", "{0-2}", "{3-1}", "{-1-3}", "{1--3}", "{}", "{1}", "{1-}", "{-2}", "{a-b}", "{1-2",
          "{1 -2}", "{1-2.5}", "{1-99999999999}", "{1-16}{1-17}", "{+1-2}", "a{b"}) {
        INFO(wrong);
        CHECK(!expand_gaps(wrong, "_", 256));
    }
    CHECK(!expand_gaps("a_b", "{", 256));
    CHECK(!expand_gaps("a_b", "}", 256));
    CHECK(!expand_gaps("{1-9}", "_", 8));
}

TEST_CASE("the choice with the least nats is kept, of ties the shorter one") {
    const std::vector<GapChoice> choices = {{{1, 3}, ""}, {{2, 1}, ""}, {{1, 2}, ""}, {{2, 2}, ""}};
    CHECK(best_choice(choices, std::vector<double>{1, 1, 1, 0.5}) == 3);
    CHECK(best_choice(choices, std::vector<double>{1, 1, 1, 1}) == 2);
    CHECK(best_choice(choices, std::vector<double>{1 - 1e-6, 1, 1 + 1e-6, 1}) == 2);
    CHECK(best_choice(choices, std::vector<double>{0.9, 1, 1, 1}) == 0);
    CHECK(best_choice(choices, std::vector<double>{HUGE_VAL, HUGE_VAL, 3, HUGE_VAL}) == 2);

    Frame frame;
    frame.probability = {0.5f, 1, 0.25f, 0};
    CHECK(filled_nll(frame, std::vector<int>{-1, 2, -1, 2}) == Approx(1.5 * std::log(2)));
    CHECK(std::isnan(filled_nll(frame, std::vector<int>{1, 2, 1, 2})));
    CHECK(std::isfinite(filled_nll(frame, std::vector<int>{1, 2, 1, -1})));
    const Proofreader proofreader = proofreader_of(hash_reader(4, 8));
    const std::vector<int> text = {0, 1, 2, 0};
    const std::vector<double> nll = proofread_nll(proofreader, text).value();
    CHECK(text_nll(proofreader, text).value() == Approx((nll[0] + nll[1] + nll[2] + nll[3]) / 4));
}
