#include <algorithm>
#include <catch2/catch.hpp>

#include "core/sampling/autoregressive_sampler.h"
#include "tests/sampler_support.h"

using namespace folio;
using namespace folio::test;

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
    SECTION("from the unseen character before the text where its first position is open") {
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
        for (std::size_t position = 0; position < seen.size(); ++position) {
            const std::vector<int>& text = seen[position];
            CHECK(text.size() <= 8);
            CHECK(text.size() >= std::min<std::size_t>(position + 1, 4));
            const std::size_t tail = std::min(position, text.size());
            CHECK(std::equal(text.end() - static_cast<std::ptrdiff_t>(tail), text.end(),
                             frame.id.begin() + static_cast<std::ptrdiff_t>(position - tail)));
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
