#include "core/evaluation/statistics.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

#include "tests/test_support.h"

using namespace folio;
using folio::test::Random;

namespace {

std::u32string random_text(Random& random, int length, int letters) {
    std::u32string text;
    for (int i = 0; i < length; ++i) text += U'a' + static_cast<char32_t>(random.below(letters));
    return text;
}

/// Number of occurrences of `piece` in the text, with at least one character behind it if `followed`.
int count(const std::u32string& text, const std::u32string& piece, bool followed = false) {
    int found = 0;
    for (std::size_t i = 0; i + piece.size() + followed <= text.size(); ++i)
        found += text.compare(i, piece.size(), piece) == 0;
    return found;
}

/// Witten and Bell's p(c | context) by its definition, every count a search of the text.
double probability(const std::u32string& text, const std::u32string& alphabet, const std::u32string& context,
                   char32_t c, int length) {
    const std::u32string used = context.substr(context.size() - length);
    const double shorter = length == 0 ? 1.0 / alphabet.size() : probability(text, alphabet, context, c, length - 1);
    const double followers = count(text, used, true);
    if (followers == 0) return shorter;
    double kinds = 0;
    for (const char32_t other : alphabet) kinds += count(text, used + other) > 0;
    return (count(text, used + c) + kinds * shorter) / (followers + kinds);
}

/// True if any piece of that length occurs in the text.
bool copies(std::u32string_view text, std::u32string_view sample, int length) {
    for (std::size_t i = 0; i + length <= sample.size(); ++i) {
        if (text.find(sample.substr(i, length)) != text.npos) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("the judge's probabilities, worked out by hand") {
    const std::vector<double> nats = NgramJudge(U"abab", 2, 3).nats(U"abac");
    REQUIRE(nats.size() == 4);
    // Of 4 characters 2 are a, of 2 kinds, each of 3 has a third of what is set aside: (2 + 2 / 3) / (4 + 2).
    CHECK(std::exp(-nats[0]) == Approx(4.0 / 9));
    CHECK(std::exp(-nats[1]) == Approx((2 + 4.0 / 9) / (2 + 1)));
    CHECK(std::exp(-nats[2]) == Approx((1 + 4.0 / 9) / (1 + 1)));  // the last b is followed by nothing
    CHECK(std::exp(-nats[3]) == Approx((0 + 1.0 / 9) / (2 + 1)));
    CHECK(NgramJudge(U"", 3, 4).nats(U"x").front() == Approx(std::log(4.0)));
}

TEST_CASE("the judge is the definition, and its probabilities add up to one in every context") {
    Random random(1);
    const std::u32string alphabet = U"abcdef";  // the text has the first four
    const int order = GENERATE(1, 2, 3, 5);
    const std::u32string text = random_text(random, 60, 4);
    const NgramJudge judge(text, order, static_cast<int>(alphabet.size()));
    for (int round = 0; round < 40; ++round) {
        const std::u32string context = random_text(random, random.below(8), round % 2 ? 3 : 5);
        double sum = 0;
        for (const char32_t c : alphabet) {
            const double p = std::exp(-judge.nats(context + c).back());
            CHECK(p == Approx(probability(text, alphabet, context, c,
                                          std::min<int>(order - 1, static_cast<int>(context.size())))));
            sum += p;
        }
        CHECK(sum == Approx(1));
    }
}

TEST_CASE("the longest copied run is that of a search for every piece") {
    Random random(2);
    for (int round = 0; round < 200; ++round) {
        const int letters = 1 + round % 4;
        std::u32string text = random_text(random, random.below(60), letters);
        if (round % 5 == 0) text += text + text;
        const std::u32string sample = random_text(random, 1 + random.below(20), letters + round % 2);
        int longest = 0;
        while (copies(text, sample, longest + 1)) ++longest;
        CHECK(CopyFinder(text).longest_run(sample) == longest);
        if (!text.empty()) CHECK(CopyFinder(text).longest_run(text) == static_cast<int>(text.size()));
    }
}

TEST_CASE("the figures of two samples, counted by hand") {
    const TrainingText training(U"the cat sat on the mat", 30);
    const std::vector<std::u32string> samples = {U"xhe CAT sat on themat", U"a dog the cat a"};
    const TextStatistics found = training.measure(samples);
    CHECK(found.count == 2);
    // Words: cat, sat, on; then dog, the, cat. Pairs: cat sat, sat on; then dog the, the cat.
    CHECK(found.words.share == Approx(5.0 / 6));
    CHECK(found.words.standard_error == Approx(1.0 / 6));
    CHECK(found.word_pairs.share == Approx(3.0 / 4));
    CHECK(found.word_pairs.standard_error == Approx(1.0 / 4));
    CHECK(found.copied_median == 8);  // "the cat "
    CHECK(found.copied_p90 == 11);    // " sat on the"
    CHECK(found.copied_32 == 0);
    const NgramJudge judge(U"the cat sat on the mat", 5, 30);
    double nats = 0;
    for (const std::u32string& sample : samples) {
        double sum = 0;
        for (const double one : judge.nats(sample)) sum += one;
        nats += sum / static_cast<double>(sample.size()) / 2;
    }
    CHECK(found.judge.nats_per_char == Approx(nats));

    const std::vector<std::u32string> letters = {U"aabb", U"aaaa"};
    const TextStatistics even = training.measure(letters);
    CHECK(even.entropy.nats_per_char == Approx(std::log(2.0) / 2));
    CHECK(even.entropy.standard_error == Approx(std::log(2.0) / 2));
    CHECK(even.pooled_entropy == Approx(-0.75 * std::log(0.75) - 0.25 * std::log(0.25)));
    CHECK(even.distinct_4 == Approx(2.0 / 8));
    CHECK(std::isnan(even.words.share));  // each is one word, and cut
    CHECK(std::isnan(training.measure(std::span(samples).first(1)).words.standard_error));

    const std::u32string verse = U"Shall I compare thee to a summer's day? Thou art more lovely";
    const std::vector<std::u32string> copies = {U"No: " + verse.substr(0, 31) + U"#", verse.substr(0, 32),
                                                verse.substr(7), U"day?"};
    const TextStatistics copied = TrainingText(verse, 40).measure(copies);
    CHECK(copied.copied_32 == Approx(0.5));
    CHECK(copied.copied_median == 31);
    CHECK(copied.copied_p90 == static_cast<int>(verse.size()) - 7);
}

TEST_CASE("the figures of Tiny Shakespeare are those known") {
    const char* named = std::getenv("FOLIO_DATA");
    if (!named) {
        WARN("FOLIO_DATA names no text: not tested");
        return;
    }
    std::ifstream file(named, std::ios::binary);
    const std::u32string text{std::istreambuf_iterator<char>(file), {}};
    REQUIRE(text.size() == 1115394);
    const std::u32string_view train = std::u32string_view(text).substr(0, text.size() * 9 / 10);
    const std::u32string_view validation = std::u32string_view(text).substr(train.size());
    constexpr int length = 256, windows = 435;
    const TrainingText training(train, 65);
    // Rounded as they are printed.
    const auto rounded = [](double value) { return std::round(value * 1000) / 1000; };

    SECTION("validation windows") {
        std::vector<std::u32string> samples;
        for (int i = 0; i < windows; ++i) samples.emplace_back(validation.substr(i * length, length));
        const TextStatistics found = training.measure(samples);
        CHECK(rounded(found.judge.nats_per_char) == 1.679);
        CHECK(found.judge.standard_error * std::sqrt(windows) == Approx(0.31).margin(0.005));
        CHECK(rounded(found.words.share) == 0.945);
        CHECK(rounded(found.word_pairs.share) == 0.518);
        CHECK(found.copied_median == 16);
        CHECK(found.copied_p90 == 21);
        CHECK(found.copied_32 == 0);
        CHECK(rounded(found.distinct_4) == 0.178);
        CHECK(rounded(found.pooled_entropy) == 3.337);
        CHECK(rounded(found.entropy.nats_per_char) == 3.201);
        CHECK(rounded(found.entropy.standard_error * std::sqrt(windows)) == 0.120);
        // Laid end to end, the windows have those across their borders too.
        CHECK(rounded(distinct_4(std::vector{std::u32string(validation.substr(0, windows * length))})) == 0.179);
        const int longest = CopyFinder(std::u32string(train)).longest_run(samples[7]);
        CHECK(copies(train, samples[7], longest));
        CHECK_FALSE(copies(train, samples[7], longest + 1));
    }
    SECTION("training windows copy themselves") {
        std::vector<std::u32string> samples;
        for (std::size_t i = 0; i < windows; ++i)
            samples.emplace_back(train.substr(i * (train.size() / windows), length));
        const TextStatistics found = training.measure(samples);
        CHECK(found.judge.nats_per_char == Approx(1.255).margin(2 * found.judge.standard_error));
        CHECK(found.words.share == 1);
        CHECK(found.word_pairs.share == 1);
        CHECK(found.copied_median == length);
        CHECK(found.copied_p90 == length);
        CHECK(found.copied_32 == 1);
    }
    SECTION("a character drawn after those that have the same three before them") {
        std::map<std::u32string_view, std::u32string> behind;
        for (std::size_t i = 0; i + 3 < train.size(); ++i) behind[train.substr(i, 3)] += train[i + 3];
        Random random(3);
        std::vector<std::u32string> samples;
        for (int i = 0; i < windows; ++i) {
            std::u32string& sample =
                samples.emplace_back(train.substr(random.below(static_cast<int>(train.size()) - 3), 3));
            while (sample.size() < length) {
                const std::u32string& choices = behind.at(std::u32string_view(sample).substr(sample.size() - 3));
                sample += choices[random.below(static_cast<int>(choices.size()))];
            }
        }
        const TextStatistics found = training.measure(samples);
        CHECK(found.judge.nats_per_char == Approx(1.771).margin(0.02));
        CHECK(found.words.share == Approx(0.723).margin(0.015));
        CHECK(found.word_pairs.share == Approx(0.251).margin(0.015));
        CHECK(found.copied_median == Approx(15).margin(1));
        CHECK(found.copied_p90 == Approx(20).margin(1));
        CHECK(found.pooled_entropy == Approx(3.309).margin(0.015));
    }
}
