#include "core/weights/safetensors.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "tests/weights_bytes.h"

using namespace folio;
using Catch::Matchers::Contains;

namespace {

/// The sentence with which a file is refused; empty when it is taken.
std::string refusal(const std::string& file) {
    const auto result = read_safetensors(bytes(file));
    if (result) return "";
    for (const char c : result.error().sentence) CHECK((static_cast<unsigned char>(c) >= 0x20 && c != 0x7F));
    CHECK(result.error().sentence.size() < 400);
    return result.error().sentence;
}

/// One tensor "a" of four bytes by default.
std::string one(const std::string& claim, const std::string& data = "0123") {
    return file_of(R"({"a":)" + claim + "}", data);
}

}  // namespace

TEST_CASE("safetensors: what is written is read back", "[weights]") {
    const std::vector<float> floats{1.0f, -2.5f, 3e-40f};
    const std::vector<std::uint16_t> halves{0x3C00, 0x8000};
    const std::vector<std::int8_t> small{-128, 0, 127, 5, 6, 7};
    const std::vector<TensorView> tensors{
        {"b", Dtype::i8, {3, 2}, std::as_bytes(std::span(small))},
        {"a \"quoted\"\n\u00e9", Dtype::f32, {3}, std::as_bytes(std::span(floats))},
        {"half", Dtype::f16, {2, 1, 1}, std::as_bytes(std::span(halves))},
        {"empty", Dtype::bf16, {0, 7}, {}},
        {"scalar", Dtype::bf16, {}, std::as_bytes(std::span(halves)).first(2)},
    };
    const Metadata metadata{{"folio.x", "{\"y\":1}"}, {"format", "pt"}};
    std::string text;
    REQUIRE(write_safetensors(metadata, tensors, into(text)));
    CHECK(static_cast<unsigned char>(text[0]) % 8 == 0);

    const auto file = read_safetensors(bytes(text));
    REQUIRE(file);
    CHECK(file->metadata == metadata);
    REQUIRE(file->tensors.size() == tensors.size());
    for (const TensorView& tensor : tensors) {
        const TensorView* found = file->find(tensor.name);
        REQUIRE(found != nullptr);
        CHECK(found->dtype == tensor.dtype);
        CHECK(found->shape == tensor.shape);
        CHECK(std::equal(found->data.begin(), found->data.end(), tensor.data.begin(), tensor.data.end()));
    }
    CHECK(file->find("c") == nullptr);

    SECTION("every shorter file is refused") {
        for (std::size_t size = 0; size < text.size(); ++size) CHECK(refusal(text.substr(0, size)) != "");
    }
    SECTION("a sink's failure is passed on") {
        int pieces = 0;
        const auto result = write_safetensors(metadata, tensors, [&](auto) -> Result<void> {
            if (++pieces == 3) return fail("disk full");
            return {};
        });
        REQUIRE_FALSE(result);
        CHECK(result.error().sentence == "disk full");
        CHECK(pieces == 3);
    }
}

TEST_CASE("safetensors: what is accepted", "[weights]") {
    CHECK(refusal(file_of("{}")) == "");
    CHECK(refusal(file_of("{}      ")) == "");
    CHECK(refusal(file_of(R"({"__metadata__":{}})")) == "");
    CHECK(refusal(file_of(R"({"__metadata__":{"anything":"at all"}})")) == "");
    CHECK(refusal(one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})")) == "");
    CHECK(refusal(one(R"({"data_offsets":[0,4],"shape":[2,1],"dtype":"BF16"})")) == "");
    // Any order, and metadata behind the tensors.
    const std::string header = R"({"z":{"dtype":"I8","shape":[2],"data_offsets":[2,4]},)"
                               R"("y":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"__metadata__":{"k":"v"}})";
    const std::string text = file_of(header, "0123");
    const auto file = read_safetensors(bytes(text));
    REQUIRE(file);
    CHECK(file->tensors[0].name == "y");
    CHECK(static_cast<char>(file->find("z")->data[0]) == '2');
}

TEST_CASE("safetensors: what is refused", "[weights]") {
    const auto [file, words] = GENERATE(table<std::string, std::string>({
        {"", "only 0 bytes"},
        {"1234567", "only 7 bytes"},
        {std::string(8, '\xFF'), "no safetensors file"},
        {std::string("\x10\0\0\0\0\0\0\0{}", 10), "cut short"},
        {std::string("\0\0\0\0\0\0\0\0", 8), "not valid JSON"},
        {file_of("[]"), "no JSON object"},
        {file_of("{"), "not valid JSON"},
        {file_of("{} x"), "not valid JSON near byte"},
        {file_of("\xEF\xBB\xBF{}"), "not valid JSON"},
        {file_of(std::string("{}\0{}", 5)), "not valid JSON"},
        {file_of("{}// comment"), "not valid JSON"},
        {file_of("{\"\xFF\":1}"), "not valid JSON"},
        {file_of(R"({"\ud800":1})"), "not valid JSON"},
        {file_of("{\"a\nb\":1}"), "not valid JSON"},
        {file_of(R"({"a":1e999})"), "not valid JSON"},
        {file_of(R"({"a":)" + std::string(17, '[') + std::string(17, ']') + "}"), "more than 16 deep"},
        {file_of(R"({"a":)" + std::string(100000, '[')), "more than 16 deep"},
        {file_of(R"({"__metadata__":{"a":"1"},"__metadata__":{}})"), R"(key "__metadata__" twice)"},
        {file_of(R"({"__metadata__":{"a":"1","\u0061":"2"}})"), R"(key "a" twice)"},
        {file_of(R"({"__metadata__":{"a":1}})"), R"("a" is no string)"},
        {file_of(R"({"__metadata__":["a"]})"), "no JSON object"},
        {one("1"), "not described by"},
        {one("null"), "not described by"},
        {one("{}"), "not described by"},
        {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})"), "not described by"},
        {one(R"({"dtype":"F32","shape":[1],"offsets":[0,4]})"), "not described by"},
        {one(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})"), R"(key "dtype" twice)"},
        {one(R"({"dtype":3,"shape":[1],"data_offsets":[0,4]})"), "dtype that is no string"},
        {one(R"({"dtype":"F64","shape":[1],"data_offsets":[0,4]})"), R"(dtype "F64")"},
        {one(R"({"dtype":"f32","shape":[1],"data_offsets":[0,4]})"), R"(dtype "f32")"},
        {one(R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})"), "shape"},
        {one(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"), "shape"},
        {one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), "shape"},
        {one(R"({"dtype":"F32","shape":["1"],"data_offsets":[0,4]})"), "shape"},
        {one(R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]})"), "dimensions"},
        {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,4]})"), "data_offsets"},
        {one(R"({"dtype":"F32","shape":[1],"data_offsets":{"0":0}})"), "data_offsets"},
        {one(R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})"), "data_offsets"},
        {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), "ends before it begins"},
        {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), "takes 4 bytes"},
        {one(R"({"dtype":"F32","shape":[0],"data_offsets":[0,4]})"), "takes 4 bytes"},
        {one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})", ""), "takes 0 bytes"},
        {one(R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})"), "takes 4 bytes"},
        {one(R"({"dtype":"I8","shape":[18446744073709551616],"data_offsets":[0,4]})"), "shape"},
        {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "cut short"},
        {one(R"({"dtype":"I8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]})"), "cut short"},
        {one(R"({"dtype":"I8","shape":[3],"data_offsets":[1,4]})"), "gap"},
        {one(R"({"dtype":"I8","shape":[3],"data_offsets":[0,3]})"), "1 bytes behind"},
        {file_of("{}", "x"), "1 bytes behind"},
        {file_of(
             R"({"a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}})",
             "0123"),
         R"("b" overlaps)"},
        {file_of(
             R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})",
             "0123"),
         "overlaps"},
    }));
    CAPTURE(file, words);
    CHECK_THAT(refusal(file), Contains(words));
}

TEST_CASE("safetensors: too much of anything", "[weights]") {
    std::string many = "{\"t\":0", deep = "{\"__metadata__\":{\"a\":\"\"";
    for (int i = 0; i < 9000; ++i) many += ",\"" + std::to_string(i) + "\":0";
    CHECK_THAT(refusal(file_of(many + "}")), Contains("9001 tensors"));
    for (int i = 0; i < 140000; ++i) deep += ",\"" + std::to_string(i) + "\":\"\"";
    CHECK_THAT(refusal(file_of(deep + "}}")), Contains("more than 131072 values"));
    CHECK_THAT(refusal(file_of(std::string((16 << 20) + 1, ' '))), Contains("no safetensors file"));
}

TEST_CASE("safetensors: no name steers a terminal", "[weights]") {
    // refusal() looks at every byte of the sentence.
    CHECK_THAT(refusal(one(R"({"dtype":"\u001b[31m\u0000","shape":[1],"data_offsets":[0,4]})")),
               Contains(R"(\u{1B}[31m\u{0})"));
    CHECK_THAT(refusal(file_of("{\"\\u009b\\u202ex\\r\\n\x7F\":1}")), Contains(R"(\u{9B}\u{202E}x\u{D}\u{A}\u{7F})"));
    const std::string sentence = refusal(file_of("{\"" + std::string(100000, 'n') + "\":1}"));
    CHECK_THAT(sentence, Contains(std::string(48, 'n') + "...\""));
    CHECK(quote("a\xFF\"\\\xC3\xA9") == "\"a\\xFF\\\"\\\\\xC3\xA9\"");
}

TEST_CASE("UTF-8: every code point and no other form", "[weights]") {
    for (char32_t code = 0; code < 0x110000; ++code) {
        if (code >= 0xD800 && code < 0xE000) continue;
        std::string text;
        append_utf8(text, code);
        std::size_t place = 0;
        char32_t back = 1;
        if (!decode_utf8(text, place, back) || back != code || place != text.size()) FAIL(describe_character(code));
        // Cut short it is refused, and one byte is passed over.
        if (text.size() > 1) {
            place = 0;
            if (decode_utf8(std::string_view(text).substr(0, text.size() - 1), place, back) || place != 1)
                FAIL(describe_character(code));
        }
    }
    for (const char* broken : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xED\xA0\x80",
                               "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                               "\xF5\x80\x80\x80", "\xFF", "\xC3(", "\xE2\x82(", "\xF8\x88\x80\x80\x80"}) {
        std::size_t place = 0;
        char32_t code;
        CHECK_FALSE(decode_utf8(broken, place, code));
        CHECK(place == 1);
    }
}

TEST_CASE("f16 and bf16: widening is exact and narrowing brings it back", "[weights]") {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto pattern = static_cast<std::uint16_t>(bits);
        const int exponent = bits >> 10 & 0x1F, fraction = bits & 0x3FF;
        const float sign = bits & 0x8000 ? -1.0f : 1.0f;
        const float wide = from_f16(pattern);
        if (exponent == 31 && fraction != 0) {
            if (!std::isnan(wide) || !std::isnan(from_f16(to_f16(wide)))) FAIL(bits);
        } else {
            const float wanted = exponent == 31 ? sign * INFINITY
                                 : exponent == 0
                                     ? sign * std::ldexp(static_cast<float>(fraction), -24)
                                     : sign * std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
            if (wide != wanted || std::signbit(wide) != std::signbit(wanted) || to_f16(wide) != pattern) FAIL(bits);
        }
        const float broad = from_bf16(pattern);
        if (std::isnan(broad)) {
            if (!std::isnan(from_bf16(to_bf16(broad)))) FAIL(bits);
        } else if (to_bf16(broad) != pattern || std::bit_cast<std::uint32_t>(broad) != bits << 16) {
            FAIL(bits);
        }
    }
}

TEST_CASE("f16 and bf16: narrowing rounds to nearest, ties to even", "[weights]") {
    const auto check = [](auto narrow, auto widen, int infinity) {
        for (int bits = 0; bits < infinity; ++bits) {
            const auto low = static_cast<std::uint16_t>(bits), high = static_cast<std::uint16_t>(bits + 1);
            // The step into infinity is as wide as the last one before it.
            const double from = widen(low);
            const double to =
                bits + 1 == infinity ? 2 * from - widen(static_cast<std::uint16_t>(bits - 1)) : widen(high);
            const auto middle = static_cast<float>((from + to) / 2);
            if (static_cast<double>(middle) != (from + to) / 2) continue;  // only in bf16's subnormals' last place
            const std::uint16_t even = bits % 2 == 0 ? low : high;
            if (narrow(middle) != even || narrow(-middle) != (even | 0x8000)) FAIL(bits);
            if (narrow(std::nextafter(middle, 0.0f)) != low) FAIL(bits);
            if (narrow(std::nextafter(middle, INFINITY)) != high) FAIL(bits);
        }
    };
    check(to_f16, from_f16, 0x7C00);
    check(to_bf16, from_bf16, 0x7F80);
    CHECK(to_f16(65504.0f) == 0x7BFF);
    CHECK(to_f16(65519.0f) == 0x7BFF);
    CHECK(to_f16(65520.0f) == 0x7C00);
    CHECK(to_f16(std::numeric_limits<float>::max()) == 0x7C00);
    CHECK(to_f16(-INFINITY) == 0xFC00);
    CHECK(to_f16(std::numeric_limits<float>::denorm_min()) == 0);
    CHECK(to_bf16(std::numeric_limits<float>::max()) == 0x7F80);
    CHECK((to_bf16(std::bit_cast<float>(0x7F800001u)) & 0x7FFF) > 0x7F80);
    CHECK((to_f16(std::bit_cast<float>(0xFF800001u)) & 0x7FFF) > 0x7C00);
}

TEST_CASE("tensors: conversion and finiteness at any alignment", "[weights]") {
    const auto dtype = GENERATE(Dtype::f32, Dtype::f16, Dtype::bf16);
    const auto shift = GENERATE(0u, 1u, 3u);
    const std::size_t count = GENERATE(as<std::size_t>(), 0, 1, 7, 33);
    std::string memory(shift, 'x');
    for (std::size_t i = 0; i < count; ++i) {
        const float value = static_cast<float>(i) - 3.5f;
        const std::uint16_t narrow = dtype == Dtype::f16 ? to_f16(value) : to_bf16(value);
        memory.append(
            dtype == Dtype::f32 ? reinterpret_cast<const char*>(&value) : reinterpret_cast<const char*>(&narrow),
            size_of(dtype));
    }
    TensorView tensor{"t", dtype, {count}, bytes(memory).subspan(shift)};
    std::vector<float> floats(count, 99.0f);
    to_floats(tensor, floats.data());
    for (std::size_t i = 0; i < count; ++i) CHECK(floats[i] == static_cast<float>(i) - 3.5f);
    CHECK(all_finite(tensor));
    if (count == 0) return;
    // The last element's upper bytes all ones: NaN; then an infinity.
    memory[memory.size() - 1] = '\x7F';
    memory[memory.size() - 2] = '\xFF';
    CHECK_FALSE(all_finite(tensor));
    memory[memory.size() - 1] = dtype == Dtype::f16 ? '\xFC' : '\xFF';
    memory[memory.size() - 2] = dtype == Dtype::f16 ? '\0' : '\x80';
    if (dtype == Dtype::f32) memory[memory.size() - 3] = memory[memory.size() - 4] = '\0';
    CHECK_FALSE(all_finite(tensor));
}
