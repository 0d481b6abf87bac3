#include <sys/stat.h>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/program.h"
#include "tests/test_support.h"

using namespace folio::test;
using nlohmann::json;

namespace {

json row(const std::string& task, const std::string& kernels, int threads, double ms) {
    return {{"task", task},
            {"kernels", kernels},
            {"products", "f32"},
            {"threads", threads},
            {"repetitions", 9},
            {"median_ms", ms},
            {"lower_quartile_ms", 0.9 * ms},
            {"upper_quartile_ms", 1.2 * ms},
            {"chars_per_s", 256e3 / ms}};
}

json report(const std::string& processor, json rows) {
    return {{"program", "folio"},
            {"machine", {{"processor", processor}, {"cores", 2}, {"memory_mib", 4096}}},
            {"date", "2026-11-23T01:02:03Z"},
            {"parameters", 1000},
            {"length", 256},
            {"sampling_steps", 16},
            {"results", std::move(rows)},
            {"self_check", {{"passed", true}}}};
}

/// Two reports that share one row: the second is four times as fast there.
struct Files {
    TemporaryFolder folder;
    json first = report("Slow & <old>", {row("forward", "avx2", 1, 20), row("sampling", "avx2", 1, 320)});
    json second = report("Fast", {row("forward", "avx2", 1, 5), row("forward", "vnni9", 2, 2.5)});

    std::string put(const std::string& name, const std::string& content) {
        write(folder / name, content);
        return (folder / name).string();
    }
    std::string a() { return put("a.json", first.dump()); }
    std::string b() { return put("b.json", second.dump()); }
};

void expect_failure(const std::vector<std::string>& arguments, int code) {
    const Outcome outcome = folio::test::folio(arguments);
    CAPTURE(arguments, outcome.err, outcome.out);
    CHECK(outcome.code == code);
    CHECK(outcome.out.empty());
    CHECK(is_one_sentence(outcome.err));
}

std::vector<std::string> words(const std::string& line) {
    std::istringstream stream(line);
    return {std::istream_iterator<std::string>(stream), {}};
}

std::vector<std::string> line_of(const std::string& table, const std::string& begin) {
    std::istringstream lines(table);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(begin)) return words(line);
    }
    return {};
}

}  // namespace

TEST_CASE("reports stand side by side in a table") {
    Files files;
    const Outcome outcome = folio::test::folio({"bench", "--compare", files.a(), files.b()});
    CAPTURE(outcome.err, outcome.out);
    REQUIRE(outcome.code == 0);
    CHECK(outcome.out.find("1  Slow & <old> \"a.json\": 2 cores, 2026-11-23, 1000 parameters") == 0);
    CHECK(line_of(outcome.out, "forward  ").at(3) == "1");
    CHECK(line_of(outcome.out, "forward  ") == std::vector<std::string>{"forward", "avx2", "f32", "1", "20.00",
                                                                        "(18.00", "to", "24.00)", "5.000", "(4.500",
                                                                        "to", "6.000)", "4x"});
    CHECK(outcome.out.find("vnni9") != std::string::npos);
    CHECK(line_of(outcome.out, "sampling").back() == "-");
    CHECK(line_of(outcome.out, "task").size() > 6);
}

TEST_CASE("the merged table as JSON has every row once, and a ratio where both reports have it") {
    Files files;
    const Outcome outcome = folio::test::folio({"bench", "--json", "--compare", files.a(), files.b()});
    REQUIRE(outcome.code == 0);
    const json merged = json::parse(outcome.out);
    CHECK(merged.at("reports").size() == 2);
    CHECK(merged.at("reports")[0].at("name") == "Slow & <old>");
    REQUIRE(merged.at("results").size() == 3);
    const json& shared = merged.at("results")[0];
    CHECK(shared.at("task") == "forward");
    CHECK(shared.at("reports")[1].at("ratio") == 4.0);
    CHECK(shared.at("reports")[1].at("upper_quartile_ms") == 6.0);
    CHECK_FALSE(shared.at("reports")[0].contains("ratio"));
    // Of a task, the rows of all reports stand together.
    CHECK(merged.at("results")[1].at("kernels") == "vnni9");
    CHECK(merged.at("results")[1].at("reports")[0].is_null());
    CHECK(merged.at("results")[2].at("reports")[1].is_null());
}

TEST_CASE("another model's time gets no ratio, and that is said in one line") {
    Files files;
    files.second["parameters"] = 2000;
    files.second["sampling_steps"] = 8;
    files.second["training_batch"] = 4;  // the first says none
    const std::string said =
        "The reports differ in parameters (1000, 2000), passes of a sample (16, 8); where that matters there is no "
        "ratio.";
    const Outcome outcome = folio::test::folio({"bench", "--compare", files.a(), files.b()});
    CHECK(line_of(outcome.out, "forward  ").back() == "6.000)");
    CHECK(outcome.out.ends_with("\n" + said + "\n"));
    const Outcome merged = folio::test::folio({"bench", "--compare", files.a(), files.b(), "--json"});
    CHECK(json::parse(merged.out).at("warning") == said);
    CHECK_FALSE(json::parse(merged.out).at("fastest")[0].at("reports")[1].contains("ratio"));
    // What differs is said where no row is shared, too.
    files.second["results"] = json::array({row("forward", "wasm", 1, 5)});
    CHECK(folio::test::folio({"bench", "--compare", files.a(), files.b()}).out.find(said) != std::string::npos);
    const Outcome alike = folio::test::folio({"bench", "--compare", files.a(), files.a(), "--json"});
    CHECK_FALSE(json::parse(alike.out).contains("warning"));
}

TEST_CASE("a training step by another optimizer gets no ratio") {
    Files files;
    for (json* report : {&files.first, &files.second}) {
        (*report)["results"] = json::array({row("forward", "avx2", 1, 5), row("training", "avx2", 1, 50)});
        (*report)["training_batch"] = 4;
    }
    const std::vector<std::string> arguments{"bench", "--compare", files.a(), files.b(), "--json"};
    const auto training_has_ratio = [&](const char* first, const char* second) {
        files.first["training_optimizer"] = first;
        files.second["training_optimizer"] = second;
        files.a();
        files.b();
        const json merged = json::parse(folio::test::folio(arguments).out);
        CHECK(merged.at("results")[0].at("reports")[1].contains("ratio"));
        return merged.at("results")[1].at("reports")[1].contains("ratio");
    };
    CHECK(training_has_ratio("muon", "muon"));
    CHECK_FALSE(training_has_ratio("muon", "adamw"));
    CHECK(folio::test::folio({"bench", "--compare", files.a(), files.b()}).out.find("optimizers (muon, adamw)") !=
          std::string::npos);
    files.first.erase("training_optimizer");
    files.a();
    const json merged = json::parse(folio::test::folio(arguments).out);
    CHECK(merged.at("results")[1].at("reports")[1].contains("ratio"));
}

TEST_CASE("targets without a common set are compared by the fastest set of each") {
    Files files;
    json f32 = row("forward", "amx", 1, 1), noising = row("noising", "", 1, 1),
         twice = row("forward", "wasm_relaxed", 1, 40);
    f32["products"] = "bf16";
    noising.erase("kernels");
    files.first = report("Here", {row("forward", "avx2", 1, 20), row("forward", "avx512", 1, 10),
                                  row("forward", "avx512", 2, 6), f32, noising});
    files.second = report("Browser", {row("forward", "wasm", 1, 80), twice, row("sampling", "wasm", 1, 900), noising});
    const json third = report("Phone", {row("sampling", "neon", 1, 300), row("forward", "neon", 1, 5)});
    const std::vector<std::string> compared{"bench", "--compare", files.a(), files.b(),
                                            files.put("c.json", third.dump())};
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), compared.begin(), compared.end());
        return folio::test::folio(more);
    };

    const json fastest = json::parse(with({"--json"}).out).at("fastest");
    REQUIRE(fastest.size() == 2);
    CHECK(fastest[0].at("task") == "forward");
    CHECK(fastest[0].at("products") == "f32");
    CHECK(fastest[0].at("threads") == 1);
    CHECK_FALSE(fastest[0].contains("kernels"));
    const json& cells = fastest[0].at("reports");
    CHECK(cells[0].at("kernels") == "avx512");
    CHECK(cells[0].at("median_ms") == 10.0);
    CHECK(cells[1].at("kernels") == "wasm_relaxed");
    CHECK(cells[1].at("ratio") == 0.25);
    CHECK(cells[2].at("kernels") == "neon");
    CHECK(cells[2].at("ratio") == 2.0);
    // The first report has no such row, so there is nothing to be as fast as.
    CHECK(fastest[1].at("task") == "sampling");
    CHECK(fastest[1].at("reports")[0].is_null());
    CHECK_FALSE(fastest[1].at("reports")[2].contains("ratio"));

    const std::string table = with({}).out, title = "\nThe fastest set of each report:\n";
    const auto at = table.find(title);
    REQUIRE(at != std::string::npos);
    CHECK(line_of(table.substr(at), "forward") ==
          std::vector<std::string>{"forward", "f32",    "1",    "10.00",  "(9.000",       "to",    "12.00)", "avx512",
                                   "40.00",   "(36.00", "to",   "48.00)", "wasm_relaxed", "0.25x", "5.000",  "(4.500",
                                   "to",      "6.000)", "neon", "2x"});
    CHECK(folio::test::folio({"bench", "--compare", files.a()}).out.find(title) == std::string::npos);

    const fs::path picture = files.folder / "bars.svg";
    REQUIRE(with({"--svg", picture.string()}).code == 0);
    const std::string svg = content_of(picture);
    const auto drawn = svg.find(">forward: the fastest set of each report<");
    REQUIRE(drawn != std::string::npos);
    for (const char* label : {">avx512, f32, 1 thread<", ">wasm_relaxed, f32, 1 thread<", ">neon, f32, 1 thread<"}) {
        CHECK(svg.find(label, drawn) != std::string::npos);
    }
}

TEST_CASE("the picture is well-formed, escaped, and without a script") {
    Files files;
    const fs::path picture = files.folder / "bars.svg";
    const std::vector<std::string> arguments{"bench", "--compare", files.a(), files.b(), "--svg", picture.string()};
    REQUIRE(folio::test::folio(arguments).code == 0);
    const std::string svg = content_of(picture);
    CHECK(svg.starts_with("<svg "));
    CHECK(svg.ends_with("</svg>\n"));
    CHECK(svg.find("Slow &#38; &#60;old&#62;") != std::string::npos);
    CHECK(svg.find("<old>") == std::string::npos);
    CHECK(svg.find("prefers-color-scheme: dark") != std::string::npos);
    CHECK(svg.find("<script") == std::string::npos);
    const auto count = [&](const std::string& part) {
        std::size_t found = 0;
        for (auto at = svg.find(part); at != svg.npos; at = svg.find(part, at + 1)) ++found;
        return found;
    };
    // Two of the row that both have, one each of the others, and two of the fastest.
    CHECK(count("class=\"bar ") == 6);
    CHECK(count("class=\"whisker\"") == 6);
    CHECK_FALSE(fs::exists(files.folder / ".bars.svg.folio-partial"));
}

TEST_CASE("a file that is no report ends in one sentence") {
    Files files;
    const auto with = [&](auto&& change) {
        json changed = files.first;
        change(changed);
        return changed.dump();
    };
    const std::vector<std::string> contents = {
        "",
        "null",
        "[]",
        "{}",
        "no JSON at all",
        std::string(1 << 15, '['),
        files.first.dump().substr(0, 200),
        std::string((1 << 20) + 1, ' '),
        "\xff" + files.first.dump(),
        R"({"program":"folio","results":[]})",
        R"({"program":"folio","program":"folio","results":[1]})",
        with([](json& r) { r["program"] = "another"; }),
        with([](json& r) { r["results"] = "none"; }),
        with([](json& r) {
            r["results"] = json::array({1, 2});
        }),
        with([](json& r) { r["machine"] = "this one"; }),
        with([](json& r) { r["machine"]["processor"] = 7; }),
        with([](json& r) { r["machine"]["processor"] = "evil\x1b]0;name\x07"; }),
        with([](json& r) {
            r["machine"]["processor"] =
                "\xe2\x80\xae"
                "backwards";
        }),
        with([](json& r) { r["machine"]["processor"] = std::string(5000, 'x'); }),
        with([](json& r) { r["machine"]["cores"] = -1; }),
        with([](json& r) { r["parameters"] = 1e300; }),
        with([](json& r) { r["date"] = "2026\n"; }),
        with([](json& r) { r["training_optimizer"] = 1; }),
        with([](json& r) { r["self_check"]["passed"] = "yes"; }),
        with([](json& r) { r["results"][0].erase("median_ms"); }),
        with([](json& r) { r["results"][0].erase("task"); }),
        with([](json& r) { r["results"][0]["task"] = "for\x1bward"; }),
        with([](json& r) { r["results"][0]["threads"] = 0; }),
        with([](json& r) { r["results"][0]["threads"] = 1.5; }),
        with([](json& r) { r["results"][0]["threads"] = 99999999999; }),
        with([](json& r) { r["results"][0]["median_ms"] = "5"; }),
        with([](json& r) { r["results"][0]["median_ms"] = -5; }),
        with([](json& r) { r["results"][0]["median_ms"] = 1e30; }),
        with([](json& r) { r["results"][0]["upper_quartile_ms"] = 1; }),
        with([](json& r) { r["results"].push_back(r["results"][1]); }),
        R"({"program":"folio","results":[{"task":"forward","threads":1,"repetitions":1,"median_ms":1e999}]})",
    };
    for (std::size_t i = 0; i < contents.size(); ++i) {
        CAPTURE(i);
        const fs::path picture = files.folder / "never.svg";
        const std::vector<std::string> arguments{"bench", "--compare",     files.a(), files.put("broken", contents[i]),
                                                 "--svg", picture.string()};
        expect_failure(arguments, 1);
        CHECK_FALSE(fs::exists(picture));
    }
    const std::string pipe = (files.folder / "pipe").string();
    ::mkfifo(pipe.c_str(), 0600);
    for (const std::string& path : {pipe, (files.folder / "nothing").string(), (files.folder / "").string(),
                                    std::string("/dev/zero"), std::string("evil\x1b[m")}) {
        expect_failure({"bench", "--compare", path}, 1);
    }
}

TEST_CASE("a picture that cannot be written, or would replace a report, is one sentence") {
    Files files;
    const std::string a = files.a();
    for (const std::string& path : {std::string("/dev/null"), (files.folder / "no/such/x.svg").string()}) {
        expect_failure({"bench", "--compare", a, "--svg", path}, 1);
    }
    expect_failure({"bench", "--compare", a, "--svg", a}, 2);
    CHECK(content_of(a) == files.first.dump());
}

TEST_CASE("comparing and measuring are not asked for at once") {
    Files files;
    const std::string a = files.a();
    for (const auto& arguments : std::vector<std::vector<std::string>>{{"--compare"},
                                                                       {"--svg", "x.svg"},
                                                                       {"--compare", a, "--threads", "2"},
                                                                       {"--compare", a, "--seconds", "1"},
                                                                       {"--compare", a, "--weights", "x"},
                                                                       {"--compare", a, "--size", "tiny"},
                                                                       {"--compare", a, "--task", "forward"},
                                                                       {"--compare", a, "--muon-lr", "0"},
                                                                       {a}}) {
        std::vector<std::string> command{"bench"};
        command.insert(command.end(), arguments.begin(), arguments.end());
        expect_failure(command, 2);
    }
}

TEST_CASE("what the bench writes can be compared") {
    Files files;
    const std::string model = golden_path("masked.safetensors").string();
    const Outcome measured =
        folio::test::folio({"bench", "--weights", model, "--seconds", "0", "--threads", "1", "--json"});
    REQUIRE(measured.code == 0);
    const json written = json::parse(measured.out);
    CHECK(written.at("date").get<std::string>().size() == 20);
    CHECK(written.at("sampling_steps") == 16);
    const Outcome in_order = folio::test::folio({"bench", "--weights", golden_path("exact-gpt.safetensors").string(),
                                                 "--seconds", "0", "--threads", "1", "--json"});
    REQUIRE(in_order.code == 0);
    CHECK(json::parse(in_order.out).at("sampling_steps") == json::parse(in_order.out).at("length"));
    const std::string file = files.put("measured.json", measured.out);
    const Outcome outcome = folio::test::folio({"bench", "--json", "--compare", file, file});
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == 0);
    const json merged = json::parse(outcome.out);
    CHECK(merged.at("results").size() == written.at("results").size());
    for (const json& line : merged.at("results")) CHECK(line.at("reports")[1].at("ratio") == 1.0);
}
