#include <catch2/catch.hpp>

#include "core/base/philox.h"
#include "core/base/random_order.h"
#include "tests/test_support.h"

namespace folio {
namespace {

void check(const Words& words, std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
    CHECK(words.word[0] == a);
    CHECK(words.word[1] == b);
    CHECK(words.word[2] == c);
    CHECK(words.word[3] == d);
}

TEST_CASE("philox: the published test vectors") {
    // Random123's kat_vectors, philox4x32 10: counter and key of zeros, of ones, and of the digits of pi.
    check(philox(0, 0, 0, 0u), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    const std::uint64_t ones = ~std::uint64_t{0};
    check(philox(ones, ones, 0xffffffff, 0xffffffffu), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    check(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x13198a2e, 0x03707344u), 0xd16cfe09, 0x94fdcceb, 0x5001e420,
          0x24126ea1);
}

TEST_CASE("philox: the golden addresses") {
    const auto cases = test::golden_json("philox.json");
    REQUIRE(cases.size() > 3);
    for (const auto& one : cases) {
        const auto hexadecimal = [&](const char* key) {
            return std::stoull(one.at(key).get<std::string>(), nullptr, 16);
        };
        INFO(one.dump());
        check(philox(hexadecimal("seed"), hexadecimal("index"), one.at("step").get<std::uint32_t>(),
                     one.at("purpose").get<std::uint32_t>()),
              one.at("words")[0], one.at("words")[1], one.at("words")[2], one.at("words")[3]);
    }
}

TEST_CASE("philox: four elements share a counter, and uniform stays inside (0, 1)") {
    const Words words = philox(7, 3, 2, Purpose::draw);
    for (std::uint64_t i = 0; i < 4; ++i) CHECK(philox_word(7, 12 + i, 2, Purpose::draw) == words.word[i]);
    CHECK(philox_word(7, 16, 2, Purpose::draw) == philox(7, 4, 2, Purpose::draw).word[0]);
    CHECK(uniform(0) > 0);
    CHECK(uniform(0xffffffff) < 1);
    CHECK(uniform(0x80000000) == Approx(0.5));
}

TEST_CASE("philox: purposes keep their numbers") {
    // Samples and resumed runs depend on them.
    CHECK(static_cast<int>(Purpose::window) == 1);
    CHECK(static_cast<int>(Purpose::batch_draws) == 2);
    CHECK(static_cast<int>(Purpose::mask_position) == 3);
    CHECK(static_cast<int>(Purpose::initialise) == 4);
    CHECK(static_cast<int>(Purpose::draw) == 5);
    CHECK(static_cast<int>(Purpose::reveal) == 6);
    CHECK(static_cast<int>(Purpose::renoise) == 7);
    CHECK(static_cast<int>(Purpose::window_length) == 8);
    CHECK(static_cast<int>(Purpose::evaluate) == 9);
    CHECK(static_cast<int>(Purpose::noise_text) == 10);
    CHECK(static_cast<int>(Purpose::quantise) == 11);
    CHECK(static_cast<int>(Purpose::input_noise) == 12);
    CHECK(static_cast<int>(Purpose::diffuse) == 13);
    CHECK(static_cast<int>(Purpose::pure_noise) == 14);
    CHECK(static_cast<int>(Purpose::reverse) == 15);
    CHECK(static_cast<int>(Purpose::churn) == 16);
    CHECK(static_cast<int>(Purpose::conditioned) == 17);
    CHECK(static_cast<int>(Purpose::dropout) == 64);
}

TEST_CASE("a random order goes by the words, equal ones by index") {
    const std::vector<std::uint32_t> words = {5, 1, 0xFFFFFFFFu, 5, 0};
    CHECK(random_order(words, 5) == std::vector<int>{4, 1, 0, 3, 2});
    CHECK(random_order(words, 3) == std::vector<int>{4, 1, 0});
    CHECK(random_order(words, 0).empty());
}

}  // namespace
}  // namespace folio
