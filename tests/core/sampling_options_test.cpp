#include <catch2/catch.hpp>
#include <cmath>

#include "tests/sampler_support.h"

using namespace folio;
using namespace folio::test;

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
