#include "core/weights/vocabulary.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>

using namespace folio;
using Catch::Matchers::Contains;

TEST_CASE("vocabulary: the sorted characters of a text", "[weights]") {
    const auto vocabulary = Vocabulary::of_text("b\u00e9a\na\U0001F3AD\r\nb");
    REQUIRE(vocabulary);
    CHECK(vocabulary->list() == "\n\rab\u00e9\U0001F3AD");
    CHECK(vocabulary->size() == 6);
    CHECK(vocabulary->character(4) == 0xE9);
    CHECK(vocabulary->character(-1) == no_character);
    CHECK(vocabulary->character(6) == no_character);
    CHECK(vocabulary->id(0x1F3AD) == 5);
    CHECK(vocabulary->id('z') == -1);
    CHECK(vocabulary->id(no_character) == -1);

    const std::string text = "b\u00e9\U0001F3AD\r\na";
    const auto ids = vocabulary->encode(text);
    REQUIRE(ids);
    CHECK(*ids == std::vector<int>{3, 4, 5, 1, 0, 2});
    CHECK(vocabulary->decode(*ids) == text);
    CHECK(vocabulary->encode("")->empty());
    CHECK(vocabulary->decode({}) == "");
    CHECK(vocabulary->decode(std::vector<int>{2, 6}) == "a\uFFFD");
    CHECK(*Vocabulary::of_list(vocabulary->list()) == *vocabulary);
}

TEST_CASE("vocabulary: text that it does not have", "[weights]") {
    const auto vocabulary = *Vocabulary::of_text("abc");
    const auto sentence = [&](const char* text) {
        const auto ids = vocabulary.encode(text);
        return ids ? "" : ids.error().sentence;
    };
    CHECK(sentence("abcabc") == "");
    CHECK_THAT(sentence("ab\u00e9"), Contains("\"\u00e9\" (U+00E9)") && Contains("position 2"));
    CHECK_THAT(sentence("\x1B[31m"), Contains("no U+001B,") && !Contains("\x1B"));
    CHECK_THAT(sentence("a\xFF"), Contains("not UTF-8 at byte 1"));
    CHECK_THAT(sentence("a\uFFFD"), Contains("U+FFFD"));
}

TEST_CASE("vocabulary: a list with ids that have no character", "[weights]") {
    const auto vocabulary = Vocabulary::of_list("\uFFFDa\uFFFDb");
    REQUIRE(vocabulary);
    CHECK(vocabulary->size() == 4);
    CHECK(vocabulary->character(0) == no_character);
    CHECK(*vocabulary->encode("ba") == std::vector<int>{3, 1});
    CHECK(vocabulary->list() == "\uFFFDa\uFFFDb");
    const std::string with_nul("\0a", 2);
    CHECK(Vocabulary::of_list(with_nul)->id(0) == 0);
}

TEST_CASE("vocabulary: what is refused", "[weights]") {
    const auto list = [](const char* text) { return Vocabulary::of_list(text).error().sentence; };
    CHECK_THAT(list("aba"), Contains("\"a\" (U+0061) twice"));
    CHECK_THAT(list(""), Contains("no character"));
    CHECK_THAT(list("\uFFFD\uFFFD"), Contains("no character"));
    CHECK_THAT(list("a\xC0\x80"), Contains("not UTF-8 at byte 1"));
    const auto text = [](const char* s) { return Vocabulary::of_text(s).error().sentence; };
    CHECK_THAT(text(""), Contains("no character"));
    CHECK_THAT(text("a\uFFFD"), Contains("position 1"));
    CHECK_THAT(text("ab\xED\xA0\x80"), Contains("not UTF-8 at byte 2"));
}

TEST_CASE("vocabulary: the 65 characters of Tiny Shakespeare", "[weights]") {
    const char* named = std::getenv("FOLIO_DATA");
    std::ifstream file(named != nullptr ? named : "../shared/data/tinyshakespeare.txt", std::ios::binary);
    if (!file) {
        WARN("Tiny Shakespeare is not here: not tested");
        return;
    }
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto vocabulary = Vocabulary::of_text(text);
    REQUIRE(vocabulary);
    CHECK(vocabulary->list() == "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    const auto ids = vocabulary->encode(text);
    REQUIRE(ids);
    CHECK(ids->size() == 1115394);
    CHECK(vocabulary->decode(*ids) == text);
}
