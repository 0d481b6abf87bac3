#include <pty.h>
#include <sys/stat.h>
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/text.h"
#include "core/model/parameters.h"
#include "core/ops/cpu/make_ops.h"
#include "core/predict/gaussian_predictor.h"
#include "core/weights/model_file.h"
#include "native/host/models.h"
#include "native/host/npy.h"
#include "native/host/text_data.h"
#include "native/report/bench_schema.h"
#include "native/report/json_schema.h"
#include "tests/program.h"
#include "tests/test_support.h"

using namespace folio::test;
using nlohmann::json;

namespace {

const std::string model = golden_path("masked.safetensors").string();
const std::string gaussian_model = golden_path("exact-gaussian.safetensors").string();
const std::string exact_model = golden_path("exact-masked.safetensors").string();
const std::string exact_reader = golden_path("exact-gpt.safetensors").string();
const std::string causal_model = golden_path("causal.safetensors").string();
const std::string timed_model = golden_path("masked-time.safetensors").string();

std::vector<std::string> sample(std::vector<std::string> more) {
    more.insert(more.begin(), {"sample", "--weights", model, "--length", "20"});
    return more;
}

std::size_t characters(const std::string& utf8) {
    return static_cast<std::size_t>(
        std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

void expect_failure(const Outcome& outcome, int code) {
    CAPTURE(outcome.err, outcome.out);
    CHECK(outcome.code == code);
    CHECK(outcome.out.empty());
    CHECK(is_one_sentence(outcome.err));
}

/// Values of a file in NumPy's format, float32 and version 1.0.
struct Array {
    std::string header;
    std::vector<float> values;
};

Array read_npy(const fs::path& path) {
    const std::string bytes = content_of(path);
    REQUIRE(bytes.size() > 10);
    REQUIRE(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
    const std::size_t length = static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
    REQUIRE((10 + length) % 64 == 0);
    Array array{bytes.substr(10, length), {}};
    REQUIRE(array.header.back() == '\n');
    array.values.resize((bytes.size() - 10 - length) / sizeof(float));
    std::memcpy(array.values.data(), bytes.data() + 10 + length, array.values.size() * sizeof(float));
    return array;
}

}  // namespace

TEST_CASE("wrong usage is one sentence on stderr and exit code 2") {
    const std::vector<std::string> arguments = GENERATE(values<std::vector<std::string>>({
        {},
        {"dance"},
        {"sample"},
        {"sample", "--weights"},
        {"sample", "--weights", model, "--no-such-option"},
        {"sample", "--weights", model, "surplus"},
        sample({"--steps", "0"}),
        sample({"--steps", "-3"}),
        sample({"--steps", "1.5"}),
        sample({"--steps", "many"}),
        sample({"--steps", ""}),
        sample({"--steps", "99999999999999999999"}),
        sample({"--length", "0"}),
        sample({"--temperature", "-1"}),
        sample({"--temperature", "nan"}),
        sample({"--temperature", "inf"}),
        sample({"--top-k", "-1"}),
        sample({"--top-p", "-0.5"}),
        sample({"--top-p", "nan"}),
        sample({"--tau", "2"}),
        sample({"--tau", "0.5"}),
        sample({"--sampler", "threshold", "--eta", "0.1"}),
        sample({"--threads", "0"}),
        sample({"--count", "0"}),
        sample({"--seed", "-1"}),
        sample({"--seed", "18446744073709551616"}),
        sample({"--sampler", "psychic"}),
        sample({"--sampler", "left-to-right"}),
        {"sample", "--weights", causal_model, "--sampler", "confidence"},
        {"sample", "--weights", causal_model, "--from-text", "ab"},
        {"sample", "--weights", causal_model, "--prompt", "abc", "--length", "2"},
        {"eval", "--weights", causal_model, "--order", "margin"},
        {"sample", "--weights", gaussian_model, "--sampler", "confidence"},
        {"sample", "--weights", gaussian_model, "--prompt", "To be", "--length", "4"},
        {"eval", "--weights", gaussian_model, "--order", "margin"},
        {"eval", "--weights", model, "--judge", causal_model},
        {"eval", "--weights", model, "--samples", "1", "--judge", model},
        {"logits", "--weights", gaussian_model, "--text", "To be", "--t", "0.5", "--out", "x.npy"},
        {"logits", "--weights", gaussian_model, "--input", "z.npy", "--out", "x.npy"},
        {"logits", "--weights", model, "--input", "z.npy", "--t", "0.5", "--out", "x.npy"},
        {"logits", "--weights", causal_model, "--text", "ab", "--t", "0.5", "--out", "x.npy"},
        sample({"--prompt", "xyz"}),
        sample({"--prompt", "\xff"}),
        sample({"--prompt", std::string("a\x1b[31mb")}),
        sample({"--prompt", std::string(21, 'a')}),
        sample({"--edit", "nonsense"}),
        sample({"--edit", "1:noise:5-30"}),
        sample({"--edit", "1:put:3:z"}),
        sample({"--from-text", ""}),
        sample({"--from-text", "aba"}),
        sample({"--trace", ""}),
        sample({"--trace", "/dev/stdout"}),
        sample({"--prompt", "a", "--prompt-file", "/dev/null"}),
        sample({"--prompt-file", ""}),
        {"sample", "--weights", ""},
        {"info", ""},
        {"eval", "--weights", model, "--data", ""},
        {"eval", "--weights", model, "--against", ""},
        {"export", "--weights", model, "--dtype", "f16", "--out", ""},
        {"train", "--init", ""},
        {"train", "--data", ""},
        {"train", "--out", ""},
        {"bench", "--compare", "x", "--svg", ""},
        sample({"--device", "abacus"}),
        {"infill", "--weights", model},
        {"infill", "--weights", model, "--text", ""},
        {"infill", "--weights", model, "--text", "a_b", "--mark", ""},
        {"infill", "--weights", model, "--text", "a_b", "--mark", "__"},
        {"infill", "--weights", model, "--text", "a_b", "--prompt", "a"},
        {"infill", "--weights", model, "--text", "a_b", "--length", "3"},
        {"infill", "--weights", model, "--text", "a_b", "--mark", "{"},
        {"infill", "--weights", model, "--text", "a_b", "--mark", "}"},
        {"infill", "--weights", model, "--text", "a{3-1}b"},
        {"infill", "--weights", model, "--text", "a{0-1}b"},
        {"infill", "--weights", model, "--text", "a{}b"},
        {"infill", "--weights", model, "--text", "a{2}b"},
        {"infill", "--weights", model, "--text", "a{1-2"},
        {"infill", "--weights", model, "--text", "a{b"},
        {"infill", "--weights", model, "--text", "a{1-500}b"},
        {"infill", "--weights", exact_model, "--text", "a{1-17}b{1-17}"},
        {"infill", "--weights", model, "--text", "a{1-2}b", "--edit", "1:keep:0-0"},
        {"infill", "--weights", model, "--text", "a{1-2}b", "--from-text", "aab"},
        {"infill", "--weights", model, "--text", "a{1-2}b", "--trace", "x.jsonl"},
        {"infill", "--weights", model, "--text", "a{1-2}b", "--animate"},
        {"infill", "--weights", causal_model, "--text", "a{1-2}b"},
        {"sample", "--weights", exact_model, "--proofread", ""},
        {"sample", "--weights", exact_model, "--proofread", exact_model},
        {"sample", "--weights", exact_model, "--proofread", causal_model},  // of other characters
        {"sample", "--weights", exact_reader, "--proofread", exact_reader},
        {"sample", "--weights", exact_model, "--rounds", "2"},
        {"sample", "--weights", exact_model, "--proofread-share", "0.1"},
        {"sample", "--weights", exact_model, "--proofread", exact_reader, "--proofread-share", "1.1"},
        {"sample", "--weights", exact_model, "--proofread", exact_reader, "--proofread-share", "-0.1"},
        {"sample", "--weights", exact_model, "--proofread", exact_reader, "--rounds", "-1"},
        {"sample", "--weights", exact_reader, "--temperature-fall", "0.1"},
        {"sample", "--weights", exact_model, "--stop-stable", "4"},
        {"sample", "--weights", exact_model, "--churn", "0.1"},
        {"sample", "--weights", gaussian_model, "--sampler", "ddim", "--churn", "0.1"},
        {"eval", "--weights", exact_model, "--proofread", exact_reader},
        {"eval", "--weights", exact_model, "--samples", "1", "--proofread", exact_model},
        {"eval", "--weights", exact_model, "--samples", "1", "--rounds", "1"},
        {"eval"},
        {"eval", "--weights", model, "--draws", "0"},
        {"eval", "--weights", model, "--windows", "0"},
        {"eval", "--weights", model, "--order", "backwards"},
        {"eval", "--weights", model, "--samples", "0"},
        {"eval", "--weights", model, "--samples", "-1"},
        {"eval", "--weights", model, "--samples", "some"},
        {"eval", "--weights", model, "--samples", "2", "--steps", "0"},
        {"eval", "--weights", model, "--samples", "2", "--length", "9"},
        {"eval", "--weights", model, "--plot", "x.svg"},
        {"eval", "--weights", model, "--temperature", "0.5"},
        {"logits", "--weights", model, "--out", "x.npy"},
        {"logits", "--weights", model, "--text", "a", "--ids", "b", "--out", "x.npy"},
        {"logits", "--weights", model, "--text", "a"},
        {"logits", "--weights", model, "--text", "a", "--t", "1.5", "--out", "x.npy"},
        {"export", "--weights", model, "--out", "x"},
        {"export", "--weights", model, "--dtype", "f64", "--out", "x"},
        {"eval", "--weights", exact_model, "--precision", "f32"},
        {"info"},
        {"train", "--preset", "poetry"},
        {"train", "--preset", "gpt", "--loss", "nelbo"},
        {"train", "--preset", "masked", "--input-noise", "0.1"},
        {"train", "--steps", "0"},
        {"train", "--batch", "0"},
        {"train", "--seq-len", "0"},
        {"train", "--lr", "-1"},
        {"train", "--lr", "nan"},
        {"train", "--ema", "1"},
        {"train", "--threads", "0"},
        {"train", "--checkpoint-every", "0"},
        {"train", "--d-model", "100"},
        {"bench", "--threads", "0"},
        {"bench", "--size", "huge"},
        {"bench", "--size", ""},
        {"bench", "--size", "tiny", "--weights", model},
        {"bench", "--conv-radius", "0", "--weights", model},
        {"bench", "--conv-radius", "-1"},
        {"bench", "--conv-radius", "17"},
        {"bench", "--task", "noising"},
        {"bench", "--task", "training", "--weights", exact_model},
        {"bench", "--task", "forward", "--batch", "2"},
        {"bench", "--task", "sampling", "--muon-lr", "0"},
        {"bench", "--batch", "0"},
        {"bench", "--muon-lr", "-1"},
        {"bench", "--muon-lr", "fast"},
        {"bench", "--seconds", "-1"},
    }));
    CAPTURE(arguments);
    expect_failure(folio::test::folio(arguments), 2);
}

TEST_CASE("what cannot be read or written is one sentence on stderr and exit code 1") {
    const TemporaryFolder folder;
    write(folder / "noise", "this is no weights file at all");
    write(folder / "cut", content_of(model).substr(0, 5000));
    write(folder / "spared", content_of(model));
    write(folder / "ids", "[[1, 2], [3]]");
    write(folder / "large ids", "[[1, 11]]");
    write(folder / "short", std::string(120, 'a'));  // 12 to validate on, and a window has 13
    write(folder / "letters", std::string(1000, 'a'));
    const auto npy = [](std::size_t length, std::size_t width, float value) {
        const std::vector<float> values(length * width, value);
        return folio::npy_header({1, length, width})
            .append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    };
    write(folder / "narrow.npy", npy(3, 64, 0));
    write(folder / "long.npy", npy(4 * 128 + 1, 65, 0));
    write(folder / "infinite.npy", npy(3, 65, INFINITY));
    write(folder / "cut.npy", npy(3, 65, 0).substr(0, 300));
    std::string doubles = npy(3, 65, 0);
    doubles[doubles.find("<f4") + 2] = '8';
    write(folder / "doubles.npy", doubles);
    write(folder / "huge.npy", folio::npy_header({1ull << 32, 1ull << 32, 65}));
    ::mkfifo((folder / "pipe").c_str(), 0600);
    const std::string out = (folder / "out").string();
    const auto at = [&](const char* name) { return (folder / name).string(); };
    const std::vector<std::vector<std::string>> cases = {
        {"info", at("nothing")},
        {"info", at("noise")},
        {"info", at("cut")},
        {"info", at("pipe")},
        {"info", at("")},
        {"info", "/dev/zero"},
        {"info", std::string("evil\x1b]0;name\x07")},
        {"sample", "--weights", exact_model, "--proofread", at("nothing")},
        {"sample", "--weights", exact_model, "--proofread", at("noise")},
        {"infill", "--weights", exact_model, "--text", "a{1-2}b", "--proofread", at("cut")},
        {"logits", "--weights", model, "--ids", at("ids"), "--out", out},
        {"logits", "--weights", model, "--ids", at("large ids"), "--out", out},
        {"logits", "--weights", model, "--text", std::string(49, 'a'), "--out", out},
        {"logits", "--weights", model, "--text", "ab", "--out", at("no/such/folder/x.npy")},
        {"logits", "--weights", gaussian_model, "--input", at("noise"), "--t", "0.5", "--out", out},
        {"logits", "--weights", gaussian_model, "--input", at("narrow.npy"), "--t", "0.5", "--out", out},
        {"logits", "--weights", gaussian_model, "--input", at("long.npy"), "--t", "0.5", "--out", out},
        {"logits", "--weights", gaussian_model, "--input", at("infinite.npy"), "--t", "0.5", "--out", out},
        {"logits", "--weights", gaussian_model, "--input", at("cut.npy"), "--t", "0.5", "--out", out},
        {"logits", "--weights", gaussian_model, "--input", at("doubles.npy"), "--t", "0.5", "--out", out},
        {"logits", "--weights", gaussian_model, "--input", at("huge.npy"), "--t", "0.5", "--out", out},
        {"export", "--weights", model, "--dtype", "f16", "--out", "/dev/null"},
        {"export", "--weights", model, "--dtype", "f16", "--out", "/dev/full"},
        {"export", "--weights", model, "--dtype", "f16", "--out", at("")},
        {"eval", "--weights", model, "--data", at("nothing")},
        {"eval", "--weights", model, "--data", at("noise")},
        {"eval", "--weights", model, "--data", at("short"), "--samples", "2"},
        {"eval", "--weights", model, "--data", at("letters"), "--samples", "2", "--plot", "/dev/null"},
        {"eval", "--weights", model, "--data", at("letters"), "--samples", "2", "--plot", at("no/such/folder/x.svg")},
    };
    for (const auto& arguments : cases) {
        CAPTURE(arguments);
        expect_failure(folio::test::folio(arguments), 1);
    }
    CHECK_FALSE(fs::exists(out));
    CHECK_FALSE(fs::exists(folder / ".out.folio-partial"));
    CHECK(fs::is_character_file("/dev/null"));
}

TEST_CASE("nothing that a command reads is written over, under whatever name") {
    const TemporaryFolder folder;
    const auto at = [&](const char* name) { return (folder / name).string(); };
    write(folder / "weights", content_of(exact_model));
    write(folder / "text", std::string(3000, 'a') + "b");
    write(folder / "ids", "[[1, 2]]");
    fs::create_symlink(folder / "weights", folder / "link");
    fs::create_hard_link(folder / "weights", folder / "hard");
    const std::string kept = content_of(folder / "weights"), text = content_of(folder / "text");
    for (const char* name : {"weights", "./weights", "link", "hard"}) {
        CAPTURE(name);
        expect_failure(folio::test::folio({"export", "--weights", at("weights"), "--dtype", "f16", "--out", at(name)}),
                       2);
        expect_failure(folio::test::folio({"logits", "--weights", at("weights"), "--text", "aa", "--out", at(name)}),
                       2);
        expect_failure(folio::test::folio({"sample", "--weights", at("weights"), "--length", "2", "--trace", at(name)}),
                       2);
        expect_failure(
            folio::test::folio({"sample", "--weights", exact_model, "--proofread", at("weights"), "--trace", at(name)}),
            2);
        expect_failure(folio::test::folio(
                           {"sample", "--weights", exact_model, "--prompt-file", at("weights"), "--trace", at(name)}),
                       2);
    }
    expect_failure(folio::test::folio({"logits", "--weights", exact_model, "--ids", at("ids"), "--out", at("ids")}), 2);
    const std::vector<std::string> plot = {"eval", "--weights", exact_model, "--samples", "1", "--plot", at("text")};
    expect_failure(folio::test::folio(plot, {"FOLIO_DATA=" + at("text")}), 2);
    std::vector<std::string> named = plot;
    named.insert(named.end(), {"--data", at("text")});
    expect_failure(folio::test::folio(named), 2);
    CHECK(content_of(folder / "weights") == kept);
    CHECK(content_of(folder / "text") == text);
    CHECK(fs::is_symlink(folder / "link"));
}

TEST_CASE("a trace is there line by line, whatever ends the command") {
    const TemporaryFolder folder;
    const std::string trace = (folder / "trace").string();
    write(trace, "what was there before\n");
    {
        Program program({"sample", "--weights", exact_model, "--length", "256", "--steps", "64", "--count", "100000",
                         "--trace", trace});
        while (program.running() && fs::file_size(trace) < 100000)
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        program.signal(SIGINT);
        CHECK(program.wait() == 130);
    }
    const std::string content = content_of(trace);
    REQUIRE(content.starts_with("{\"sample\":0,\"step\":0,"));
    CHECK(json::parse(content.substr(0, content.find('\n'))).at("length") == 256);
    // Wrong usage that shows before the first step leaves the old file.
    write(trace, "old");
    expect_failure(folio::test::folio({"sample", "--weights", exact_model, "--trace", trace, "--prompt", "\x01"}), 2);
    CHECK(content_of(trace) == "old");
}

TEST_CASE("a prompt may come from a file or a pipe, and the program says its version") {
    const TemporaryFolder folder;
    write(folder / "prompt", "The \nof\n\n");
    const auto sampled = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"sample", "--weights", exact_model, "--length", "30", "--steps", "3"});
        const Outcome outcome = folio::test::folio(more);
        CAPTURE(outcome.err);
        CHECK(outcome.code == 0);
        return outcome.out;
    };
    const std::string wanted = sampled({"--prompt", "The \nof\n"});  // one newline is dropped
    CHECK(sampled({"--prompt-file", (folder / "prompt").string()}) == wanted);
    ::mkfifo((folder / "pipe").c_str(), 0600);
    std::thread writer([&] { write(folder / "pipe", "The \nof\n\n"); });
    CHECK(sampled({"--prompt-file", (folder / "pipe").string()}) == wanted);
    writer.join();

    const Outcome version = folio::test::folio({"--version"});
    CHECK(version.code == 0);
    CHECK(version.out.starts_with("folio "));
}

/// A terminal's screen as these bytes leave it: line breaks, \r, cursor up, erase below and styles; East Asian
/// characters take two columns.
class Screen {
public:
    explicit Screen(int columns) : columns_(columns) {}

    void feed(const std::string& bytes) {
        for (std::size_t i = 0; i < bytes.size();) {
            if (bytes[i] == '\033') {
                std::size_t end = i + 2;
                while (!std::isalpha(static_cast<unsigned char>(bytes.at(end)))) ++end;
                obey(bytes[end], bytes.substr(i + 2, end - i - 2));
                i = end + 1;
            } else {
                char32_t code;
                REQUIRE(::folio::decode_utf8(bytes, i, code));
                put(code);
            }
        }
    }
    int count(const std::string& wanted) const {
        return static_cast<int>(std::count_if(
            rows_.begin(), rows_.end(), [&](const auto& row) { return row.second.find(wanted) != row.second.npos; }));
    }

private:
    void obey(char command, const std::string& argument) {
        if (command == 'A')
            row_ -= std::stoi(argument);
        else if (command == 'J')
            rows_.erase(rows_.lower_bound(row_), rows_.end());
        else
            REQUIRE(command == 'm');
        REQUIRE(row_ >= 0);
    }
    void put(char32_t code) {
        if (code == '\r')
            column_ = 0;
        else if (code == '\n')
            ++row_, column_ = 0;
        else {
            const int width = code >= 0x3000 && code < 0xA000 ? 2 : 1;
            if (column_ + width > columns_) ++row_, column_ = 0;
            ::folio::append_utf8(rows_[row_], code);
            column_ += width;
        }
    }

    int columns_, row_ = 0, column_ = 0;
    std::map<int, std::string> rows_;
};

/// All that the program writes on a terminal, where stderr and stdout are one.
std::string on_terminal(const std::vector<std::string>& arguments, const Environment& variables,
                        unsigned short columns) {
    const winsize size{24, columns, 0, 0};
    int master = -1;
    const pid_t process = ::forkpty(&master, nullptr, nullptr, &size);
    REQUIRE(process >= 0);
    if (process == 0) {
        for (const std::string& variable : variables) ::putenv(const_cast<char*>(variable.c_str()));
        std::vector<char*> words{const_cast<char*>(FOLIO_PROGRAM)};
        for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
        words.push_back(nullptr);
        ::execv(FOLIO_PROGRAM, words.data());
        ::_exit(127);
    }
    std::string output;
    char buffer[4096];
    for (ssize_t got; (got = ::read(master, buffer, sizeof buffer)) > 0;)
        output.append(buffer, static_cast<std::size_t>(got));
    ::close(master);
    int status = 0;
    ::waitpid(process, &status, 0);
    CHECK(status == 0);
    return output;
}

TEST_CASE("an animation leaves no old frame behind, and a terminal gets what it can take") {
    const TemporaryFolder folder;
    std::string text;
    for (int i = 0; i < 100; ++i) text += "漢字\tかな\r\nab";
    write(folder / "text", text);
    REQUIRE(folio::test::folio({"train", "--preset", "masked", "--n-layer", "1", "--d-model", "64", "--seq-len", "64",
                                "--batch", "2", "--steps", "2", "--threads", "1", "--data", (folder / "text").string(),
                                "--out", (folder / "run").string()})
                .code == 0);
    const std::vector<std::string> arguments{"sample",   "--weights", (folder / "run" / "last.safetensors").string(),
                                             "--length", "64",        "--steps",
                                             "6",        "--animate"};
    const std::string plain = folio::test::folio({arguments.begin(), arguments.end() - 1}).out;
    REQUIRE(plain.find("\t") != plain.npos);
    for (const unsigned short columns : {8, 21, 40, 80}) {
        const std::string output = on_terminal(arguments, {"TERM=xterm", "NO_COLOR="}, columns);
        CAPTURE(columns, output);
        CHECK(output.find("\033[2m") != output.npos);
        CHECK(output.find('?') == output.npos);
        Screen screen(columns);
        screen.feed(output);
        CHECK(screen.count("step") == 0);  // the finished text stands in the place of the last frame
    }
    const std::string uncoloured = on_terminal(arguments, {"TERM=xterm", "NO_COLOR=1"}, 80);
    CHECK(uncoloured.find("\033[A") == uncoloured.npos);
    CHECK(uncoloured.find("\033[2m") == uncoloured.npos);
    CHECK(uncoloured.find("A\r\033[J") != uncoloured.npos);
    for (const char* kind : {"TERM=dumb", "TERM="}) {
        const std::string dumb = on_terminal(arguments, {kind, "NO_COLOR="}, 80);
        CHECK(dumb.find('\033') == dumb.npos);
        CHECK(dumb.find("step 6 of 6") != dumb.npos);
    }
    // JSON holds the text itself, on a terminal too.
    std::vector<std::string> as_json(arguments.begin(), arguments.end() - 1);
    as_json.push_back("--json");
    CHECK(json::parse(on_terminal(as_json, {"TERM=xterm"}, 80))["text"] == plain.substr(0, plain.size() - 1));
}

TEST_CASE("a sentence tells the fault apart from others and says what to do") {
    const TemporaryFolder folder;
    const std::string folder_name = (folder / "").string();
    const auto at = [&](const std::string& name) { return (folder / name).string(); };
    ::mkfifo(at("fifo").c_str(), 0600);
    const auto expect = [&](const std::vector<std::string>& arguments, int code,
                            const std::vector<std::string>& parts) {
        const Outcome outcome = folio::test::folio(arguments);
        CAPTURE(arguments);
        expect_failure(outcome, code);
        for (const std::string& part : parts) {
            CAPTURE(part, outcome.err);
            CHECK(outcome.err.find(part) != outcome.err.npos);
        }
    };
    SECTION("files of NumPy") {
        const auto expect_npy = [&](const std::string& content, const std::vector<std::string>& parts) {
            write(folder / "x.npy", content);
            expect(
                {"logits", "--weights", gaussian_model, "--input", at("x.npy"), "--t", "0.5", "--out", at("out.npy")},
                1, parts);
        };
        const std::string header = folio::npy_header({1, 2, 3}), values(24, '\0');
        std::string fortran = header, doubles = header, version = header;
        fortran.replace(fortran.find("False"), 5, "True ");
        doubles.replace(doubles.find("<f4"), 3, "<f8");
        version[6] = 2;
        expect_npy(fortran + values, {"Fortran order", "ascontiguousarray", "x.npy"});
        expect_npy(doubles + values, {"float32", "ascontiguousarray"});
        expect_npy(version + values, {"version"});
        expect_npy(header + values.substr(1), {"cut short", "23", "24", "again"});
        expect_npy(header + values + "1", {"too long"});
        expect_npy(header.substr(0, 30), {"cut short within its header"});
        expect_npy(header.substr(0, 7), {"cut short within its header"});
        expect_npy("nonsense", {"no .npy file"});
    }
    SECTION("texts that are empty or too short") {
        write(folder / "empty", "");
        write(folder / "short", std::string(36, 'a'));
        expect({"train", "--data", at("empty"), "--out", at("run")}, 1, {"is empty", "--data"});
        expect({"eval", "--weights", model, "--data", at("empty")}, 1, {"is empty"});
        write(folder / "short", "thou art my lord and king no more sh");
        expect({"train", "--data", at("short"), "--out", at("run"), "--seq-len", "16"}, 1,
               {"36 characters", "161", "--seq-len"});
    }
    SECTION("weights and checkpoints") {
        const std::string whole = content_of(model);
        write(folder / "cut", whole.substr(0, whole.size() - 100));
        expect({"info", at("cut")}, 1, {"cut", "damaged", "export it again"});
        expect({"export", "--weights", model, "--dtype", "f16", "--out", at("gone/x")}, 1, {"its folder is not there"});
    }
    SECTION("a backslash on the command line") {
        for (const char* option : {"--prompt", "--from-text"}) {
            expect({"sample", "--weights", model, option, "a\\nb"}, 2, {"no backslash", option, "$'one\\ntwo'"});
        }
        expect({"infill", "--weights", model, "--text", "a\\n_"}, 2, {"no backslash", "--text"});
        expect({"logits", "--weights", model, "--text", "a\\n", "--out", at("x")}, 2, {"no backslash"});
        expect(sample({"--prompt", "a\\nb"}), 2, {"--prompt-file"});
        // As the mark of a gap it stands for none.
        CHECK(folio::test::folio({"infill", "--weights", model, "--text", "a\\", "--mark", "\\"}).code == 0);
    }
    SECTION("outputs that would lose something") {
        const auto shell = [&](const std::string& line) {
            const int status = std::system(("cd " + folder_name + " && (" + line + ") 2>err").c_str());
            return WEXITSTATUS(status);
        };
        const std::string program = FOLIO_PROGRAM;
        fs::copy_file(model, folder / ".out.folio-partial");
        expect({"export", "--weights", at(".out.folio-partial"), "--dtype", "f32", "--out", at("out")}, 2,
               {"written first"});
        CHECK(content_of(folder / ".out.folio-partial") == content_of(model));
        CHECK(shell(program + " export --weights " + model + " --dtype f32 --json --out both > both") == 2);
        CHECK(shell(program + " logits --weights " + model + " --text The --json --out /dev/stdout > both") == 2);
        CHECK(content_of(folder / "err").find("results are printed") != std::string::npos);
        // Without anything to print a redirected stdout may be the file.
        CHECK(shell(program + " export --weights " + model + " --dtype f32 --out /dev/stdout > alone") == 0);
        CHECK(content_of(folder / "alone").size() > 1000);
        CHECK(shell(program + " export --weights " + model + " --dtype f32 --out /dev/stdout | cat") == 0);  // of cat
        CHECK(content_of(folder / "err").find("no regular file") != std::string::npos);
        fs::create_symlink("nowhere", folder / "dangling");
        expect({"train", "--data", at(".out.folio-partial"), "--out", at("dangling")}, 1, {});
        expect(sample({"--trace", at("fifo")}), 1, {"pipe"});
    }
    SECTION("names that are empty, and a GPU that is missing") { expect({"bench", "--compare", ""}, 2, {"empty"}); }
    SECTION("a text too long for a number of steps") {
        expect({"sample", "--weights", model, "--sampler", "ancestral", "--steps", "1048576", "--length", "1048576"}, 2,
               {"steps", "shorter text"});
    }
}

TEST_CASE("the program runs under a loader, and variables of OpenMP change nothing") {
    const std::vector<std::string> arguments = sample({"--threads", "2"});
    const Outcome plain = folio::test::folio(arguments);
    REQUIRE(plain.code == 0);
    const Outcome varied =
        folio::test::folio(arguments, {"OMP_STACKSIZE=16k", "GOMP_CPU_AFFINITY=999", "OMP_NUM_THREADS=none"});
    CHECK(varied.code == 0);
    CHECK(varied.out == plain.out);
    CHECK(varied.err == plain.err);
#if !defined(FOLIO_SANITIZED)  // AddressSanitizer needs address space without a limit
    const fs::path loader = "/lib64/ld-linux-x86-64.so.2";
    if (!fs::exists(loader)) return;
    const TemporaryFolder folder;
    std::string line = loader.string() + " " + FOLIO_PROGRAM;
    for (const std::string& argument : arguments) line += " " + argument;
    CHECK(std::system((line + " >" + (folder / "text").string() + " 2>&1").c_str()) == 0);
    CHECK(content_of(folder / "text") == plain.out);
#endif
}

TEST_CASE("a model of one position samples and fills gaps") {
    const TemporaryFolder folder;
    std::string text;
    while (text.size() < 2000) text += "the text to ";
    write(folder / "text", text);
    REQUIRE(folio::test::folio({"train",
                                "--preset",
                                "gpt",
                                "--n-layer",
                                "1",
                                "--d-model",
                                "64",
                                "--seq-len",
                                "1",
                                "--batch",
                                "2",
                                "--steps",
                                "2",
                                "--sample-every",
                                "1",
                                "--threads",
                                "1",
                                "--data",
                                (folder / "text").string(),
                                "--out",
                                (folder / "run").string()})
                .code == 0);
    const std::string weights = (folder / "run" / "best.safetensors").string();
    CHECK(folio::test::folio({"sample", "--weights", weights, "--prompt", "t", "--length", "5"}).out.size() == 6);
    const Outcome filled = folio::test::folio({"infill", "--weights", weights, "--text", "t_e_o"});
    CHECK(filled.code == 0);
    CHECK(filled.out.size() == 6);
    expect_failure(folio::test::folio({"sample", "--weights", weights, "--length", "5"}),
                   2);  // no newline to begin after
}

TEST_CASE("a name that is not UTF-8 is reported with U+FFFD, and a missing GPU is no wrong usage") {
    const TemporaryFolder folder;
    const Outcome exported = folio::test::folio(
        {"export", "--weights", model, "--dtype", "f16", "--json", "--out", (folder / "\xff").string()});
    CHECK(exported.code == 0);
    CHECK(json::parse(exported.out).at("file").get<std::string>().ends_with("\uFFFD"));
    const Outcome logits = folio::test::folio(
        {"logits", "--weights", model, "--text", "aa", "--json", "--out", (folder / "\xfe").string()});
    CHECK(logits.code == 0);
    CHECK(json::parse(logits.out).at("file").get<std::string>().ends_with("\uFFFD"));
    if (!fs::exists("/dev/nvidiactl")) {
        expect_failure(folio::test::folio(sample({"--device", "cuda"})), 1);
        expect_failure(folio::test::folio({"bench", "--device", "cuda"}), 1);
    }
}

TEST_CASE("a set of kernels is forced by name") {
    const std::vector<std::string> arguments{"bench", "--weights", model, "--seconds", "0", "--json"};
    const Outcome portable = folio::test::folio(arguments, {"FOLIO_KERNELS=portable"});
    REQUIRE(portable.code == 0);
    const json report = json::parse(portable.out);
    for (const json& result : report.at("results")) {
        if (result.contains("kernels")) CHECK(result.at("kernels") == "portable");
    }
    const Outcome unknown = folio::test::folio(arguments, {"FOLIO_KERNELS=abacus"});
    expect_failure(unknown, 2);
    CHECK(unknown.err.find("FOLIO_KERNELS=\"abacus\"") != std::string::npos);
}

TEST_CASE("bench times random weights of a size, and a training step as it is told to") {
    const Outcome outcome =
        folio::test::folio({"bench", "--size", "tiny", "--conv-radius", "3", "--batch", "2", "--muon-lr", "0",
                            "--seconds", "0.05", "--threads", "1", "--device", "cpu", "--json"},
                           {"FOLIO_KERNELS=portable"});
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == 0);
    const json report = json::parse(outcome.out);
    CHECK(folio::schema_violation(report, json::parse(folio::bench_report_schema)) == std::nullopt);
    folio::ModelConfig config;
    config.d_model = 128;
    config.d_ff = 512;
    config.n_layer = config.n_head = 2;
    config.conv_radius = 3;
    CHECK(report.at("parameters") == folio::parameter_count(config));
    CHECK(report.at("training_batch") == 2);
    CHECK(report.at("training_optimizer") == "adamw");
    CHECK(report.at("self_check").at("passed") == true);
    std::vector<std::string> rows;
    for (const json& row : report.at("results")) {
        rows.push_back(row.at("task").get<std::string>() + " " + row.value("products", "-"));
        if (row.at("task") == "training")
            CHECK(row.at("chars_per_s").get<double>() * row.at("median_ms").get<double>() == Approx(2 * 256 * 1000.0));
    }
    CHECK(rows == std::vector<std::string>{"noising -", "forward f32", "forward int8", "sampling f32", "sampling int8",
                                           "training f32"});
}

TEST_CASE("bench times one task alone") {
    for (const std::string task : {"forward", "sampling", "training"}) {
        const Outcome outcome =
            folio::test::folio({"bench", "--weights", model, "--task", task, "--seconds", "0", "--json"});
        CAPTURE(task, outcome.err);
        REQUIRE(outcome.code == 0);
        const json report = json::parse(outcome.out);
        CHECK(folio::schema_violation(report, json::parse(folio::bench_report_schema)) == std::nullopt);
        for (const json& row : report.at("results")) CHECK(row.at("task") == task);
        CHECK(report.contains("self_check") == (task != "training"));
        CHECK(report.at("training_optimizer") == "muon");
    }
    const Outcome shown = folio::test::folio({"bench", "--weights", model, "--task", "training", "--seconds", "0"});
    CHECK(shown.code == 0);
    CHECK(shown.out.find("\ntraining ") != std::string::npos);
}

TEST_CASE("help goes to stdout with exit code 0") {
    for (const char* command :
         {"", "train", "sample", "infill", "eval", "logits", "export", "info", "verify", "bench"}) {
        std::vector<std::string> arguments{command, "--help"};
        if (!*command) arguments.erase(arguments.begin());
        const Outcome help = folio::test::folio(arguments);
        CAPTURE(command);
        CHECK(help.code == 0);
        CHECK(help.err.empty());
        CHECK(help.out.find("--help") != std::string::npos);
    }
}

TEST_CASE("sample prints the text, one newline and nothing else") {
    const Outcome one = folio::test::folio(sample({"--prompt", "Ib\xc3\xa9 a", "--seed", "7"}));
    CHECK(one.code == 0);
    CHECK(one.err.empty());
    REQUIRE(one.out.ends_with("\n"));
    CHECK(characters(one.out) == 21);
    CHECK(one.out.starts_with("Ib\xc3\xa9 a"));

    SECTION("the same again from the same seed, whatever the number of threads") {
        CHECK(folio::test::folio(sample({"--prompt", "Ib\xc3\xa9 a", "--seed", "7", "--threads", "3"})).out == one.out);
        CHECK(folio::test::folio(sample({"--prompt", "Ib\xc3\xa9 a", "--seed", "8"})).out != one.out);
    }
    SECTION("several are parted by a line of dashes, the first as if it were alone") {
        const Outcome three = folio::test::folio(sample({"--prompt", "Ib\xc3\xa9 a", "--seed", "7", "--count", "3"}));
        CHECK(three.out.starts_with(one.out + "---\n"));
        CHECK(characters(three.out) == 3 * 21 + 2 * 4);
    }
    SECTION("as JSON") {
        const json report =
            json::parse(folio::test::folio(sample({"--prompt", "Ib\xc3\xa9 a", "--seed", "7", "--json"})).out);
        CHECK(report.at("text").get<std::string>() + "\n" == one.out);
        CHECK(report.at("seed") == 7);
        const json several = json::parse(folio::test::folio(sample({"--seed", "7", "--json", "--count", "2"})).out);
        REQUIRE(several.is_array());
        CHECK(several.size() == 2);
    }
    SECTION("the trace ends in the text and changes nothing") {
        const TemporaryFolder folder;
        const std::string trace = (folder / "trace").string();
        CHECK(folio::test::folio(sample({"--prompt", "Ib\xc3\xa9 a", "--seed", "7", "--trace", trace})).out == one.out);
        std::ifstream lines(trace);
        json last;
        int count = 0;
        for (std::string line; std::getline(lines, line); ++count) {
            last = json::parse(line);
            CHECK(last.at("step") == count);
            for (const char* key : {"ids", "flags", "probability", "entropy", "top", "top_probability"})
                CHECK(last.at(key).size() == 20);
        }
        CHECK(last.at("text").get<std::string>() + "\n" == one.out);
        CHECK(last.at("steps") == count - 1);
    }
    SECTION("an animation goes to stderr and changes nothing") {
        const Outcome animated = folio::test::folio(sample({"--prompt", "Ib\xc3\xa9 a", "--seed", "7", "--animate"}));
        CHECK(animated.out == one.out);
        CHECK(animated.err.find("step 1 of") != std::string::npos);
    }
}

TEST_CASE("what stdout does not take is a failure, and Ctrl-C ends a command with 130") {
    const TemporaryFolder folder;
    for (const char* length : {"9", "9000"}) {
        const std::string err = (folder / "err").string();
        const std::string full = std::string(FOLIO_PROGRAM) + " sample --weights " + model + " --steps 1 --length " +
                                 length + " >/dev/full 2>" + err;
        CHECK(WEXITSTATUS(std::system(full.c_str())) == 1);
        CHECK(content_of(err) == "The output cannot be written.\n");
    }
    Program program({"sample", "--weights", model, "--length", "1000000", "--steps", "1000000"});
    program.wait_for_handler(SIGINT);
    program.signal(SIGINT);
    CHECK(program.wait() == 130);
    CHECK(program.out().empty());
}

TEST_CASE("words on the command line are taken as they stand") {
    for (const char* prompt : {"", "'", "[a]", "{}", "%%", "-", "--", "--help", "a,b", "@a", "\n"}) {
        const std::string text = prompt;
        if (text.find_first_not_of("\n !',Iab") != text.npos) {
            expect_failure(folio::test::folio(sample({"--prompt", text})), 2);  // its characters, not its form
            continue;
        }
        const Outcome outcome = folio::test::folio(sample({"--prompt", text}));
        CHECK(folio::test::folio(sample({"--prompt=" + text, "--seed", "1"})).out == outcome.out);
        CAPTURE(text, outcome.err);
        CHECK(outcome.code == 0);
        CHECK(outcome.out.starts_with(text));
    }
}

TEST_CASE("an autoregressive model writes on from the prompt, fills gaps and can be edited") {
    const auto text_of = [](const std::vector<std::string>& more) {
        std::vector<std::string> arguments{"sample", "--weights", causal_model, "--seed", "4"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Outcome outcome = folio::test::folio(arguments);
        CAPTURE(arguments, outcome.err);
        REQUIRE(outcome.code == 0);
        return outcome.out;
    };
    const std::string once = text_of({"--length", "60", "--prompt", "abc"});
    CHECK(characters(once) == 61);
    CHECK(once.starts_with("abc"));
    CHECK(text_of({"--length", "60", "--prompt", "abc", "--threads", "3", "--steps", "2", "--sampler",
                   "left-to-right"}) == once);
    CHECK(text_of({"--length", "60", "--prompt", "abc", "--edit", "9:put:5:!"})[5] == '!');
    CHECK(text_of({"--length", "20"}) != text_of({"--length", "20", "--seed", "5"}));
    const Outcome filled = folio::test::folio({"infill", "--weights", causal_model, "--text", "a__b_"});
    REQUIRE(filled.code == 0);
    CHECK(filled.out.starts_with("a"));
    CHECK(characters(filled.out) == 6);
    CHECK(json::parse(text_of({"--length", "5", "--json"})).at("steps") == 5);
}

TEST_CASE("a Gaussian model samples, fills gaps, noises a text and is scored as the others are") {
    const auto run = [](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin() + 1, {"--weights", gaussian_model});
        const Outcome outcome = folio::test::folio(arguments);
        CAPTURE(arguments, outcome.err);
        REQUIRE(outcome.code == 0);
        return outcome.out;
    };
    for (const char* sampler : {"ddpm", "ddim", "churn"}) {
        const json report = json::parse(
            run({"sample", "--sampler", sampler, "--steps", "5", "--length", "40", "--prompt", "To be", "--json"}));
        CHECK(report.at("steps") == 5);
        CHECK(report.at("text").get<std::string>().starts_with("To be"));
        CHECK(characters(report.at("text")) == 40);
    }
    const std::string filled = run({"infill", "--text", "To be, ______ to be", "--steps", "4"});
    CHECK(filled.starts_with("To be, "));
    CHECK(filled.ends_with(" to be\n"));
    const std::string given = "To be, or not to be, that is the question";
    const std::string back = run({"sample", "--from-text", given, "--steps", "6"});
    CHECK(characters(back) == given.size() + 1);
    CHECK(run({"sample", "--from-text", given, "--steps", "6"}) == back);
    CHECK(run({"sample", "--length", "30", "--steps", "4", "--edit", "4:put:3:Q", "--edit", "4:noise:5-9:60"})[3] ==
          'Q');

    const TemporaryFolder folder;
    std::string text;
    while (text.size() < 1500) text += given + ".\n";
    write(folder / "text", text);
    const json report = json::parse(run({"eval", "--data", (folder / "text").string(), "--draws", "3", "--json"}));
    const json& parts = report.at("parts");
    CHECK(report.at("windows") == 1);  // floor((150 - 1) / 128)
    CHECK(report.at("levels").size() == 20);
    CHECK(parts.at("prior").get<double>() == Approx(0.0013).margin(2e-4));
    CHECK(parts.at("prior").get<double>() + parts.at("reconstruction").get<double>() +
              parts.at("diffusion").get<double>() ==
          Approx(report.at("nats_per_char").get<double>()));
}

TEST_CASE("logits of a Gaussian model on given noisy rows are written row by row") {
    const TemporaryFolder folder;
    const std::string bytes = content_of(gaussian_model), in = (folder / "z.npy").string(),
                      out = (folder / "x.npy").string();
    const folio::ModelFile gaussian = folio::read_model(std::as_bytes(std::span(bytes))).value();
    Random random(8);
    const std::size_t batch = 2, length = 7, V = 65;
    const std::vector<float> z = random.normals<float>(batch * length * V);
    write(in, folio::npy_header({batch, length, V})
                  .append(reinterpret_cast<const char*>(z.data()), z.size() * sizeof(float)));
    const auto logits_at = [&](const char* t) {
        const Outcome outcome = folio::test::folio(
            {"logits", "--weights", gaussian_model, "--input", in, "--t", t, "--out", out, "--json"});
        CAPTURE(outcome.err);
        REQUIRE(outcome.code == 0);
        CHECK(json::parse(outcome.out).at("shape") == json{batch, length, V});
        return read_npy(out).values;
    };
    const auto diffusion = folio::GaussianDiffusion::create(gaussian.process.gaussian, static_cast<int>(V)).value();
    folio::Serial serial;
    const folio::KernelSet* baseline = folio::available_kernels().back();
    const auto ops = folio::make_ops(serial, {&baseline, 1}, folio::Precision::int8);
    folio::Denoiser denoiser = folio::make_denoiser(*ops, gaussian);
    for (const char* t : {"0.25", "1"}) {
        const std::vector<float> logits = logits_at(t);
        REQUIRE(logits.size() == z.size());
        for (std::size_t row = 0; row < batch; ++row) {
            folio::GaussianPredictor rows(denoiser, diffusion, gaussian.process.gaussian.matched_filter,
                                          static_cast<int>(length));
            std::copy_n(z.begin() + static_cast<std::ptrdiff_t>(row * length * V), length * V, rows.z().begin());
            REQUIRE(rows.forward(diffusion.schedule().level(std::stod(t)), [](int) { return false; }));
            CHECK(std::equal(rows.output().begin(), rows.output().end(),
                             logits.begin() + static_cast<std::ptrdiff_t>(row * length * V)));
        }
    }
    CHECK(logits_at("0.25") != logits_at("0.26"));
}

TEST_CASE("every sampler ends within its steps") {
    for (const char* sampler : {"ancestral", "confidence", "margin", "threshold", "entropy", "remask"}) {
        const Outcome outcome =
            folio::test::folio(sample({"--sampler", sampler, "--steps", "4", "--length", "12", "--json"}));
        CAPTURE(sampler, outcome.err);
        REQUIRE(outcome.code == 0);
        const json report = json::parse(outcome.out);
        CHECK(report.at("steps").get<int>() <= 4);
        CHECK(characters(report.at("text")) == 12);
    }
}

TEST_CASE("infill leaves what is fixed untouched") {
    const std::string text = "Ia_b!__, \xe2\x82\xac_";
    const Outcome filled = folio::test::folio({"infill", "--weights", model, "--text", text});
    REQUIRE(filled.code == 0);
    std::size_t place = 0, gap = 0;
    while (gap < text.size()) {
        char32_t fixed, character;
        REQUIRE(place < filled.out.size());
        folio::decode_utf8(text, gap, fixed);
        folio::decode_utf8(filled.out, place, character);
        if (fixed != U'_') CHECK(character == fixed);
    }
    CHECK(filled.out.substr(place) == "\n");
    const Outcome marked = folio::test::folio(
        {"infill", "--weights", model, "--text", "Ia\xe2\x82\xac\xc3\xa9", "--mark", "\xe2\x82\xac"});
    CHECK(marked.code == 0);
    CHECK(marked.out.starts_with("Ia"));
    CHECK(marked.out.ends_with("\xc3\xa9\n"));
    CHECK(folio::test::folio({"infill", "--weights", model, "--text", "abba"}).out == "abba\n");
}

TEST_CASE("a gap of open length is filled by the choice of highest mean log-probability") {
    const std::vector<std::string> options = {"--steps", "4", "--seed", "6", "--temperature", "0.7", "--json"};
    const auto infill = [&](const std::string& text, std::vector<std::string> more = {}) {
        more.insert(more.end(), options.begin(), options.end());
        more.insert(more.begin(), {"infill", "--weights", exact_model, "--text", text});
        const Outcome outcome = folio::test::folio(more);
        CAPTURE(text, outcome.err);
        REQUIRE(outcome.code == 0);
        return json::parse(outcome.out);
    };
    for (const std::vector<std::string>& reader :
         {std::vector<std::string>{}, {"--proofread", exact_reader, "--rounds", "2"}}) {
        const json filled = infill("The {1-3} of {2-3}_ee", reader);
        REQUIRE(filled.at("candidates").size() == 6);
        double least = HUGE_VAL;
        for (const json& candidate : filled.at("candidates")) {
            const auto marks = [&](int i) {
                return std::string(candidate.at("lengths").at(i).get<std::size_t>(), '_');
            };
            // Each choice is what the text with so many marks gives.
            CHECK(candidate.at("text") == infill("The " + marks(0) + " of " + marks(1) + "_ee", reader).at("text"));
            least = std::min(least, candidate.at("nats_per_char").get<double>());
        }
        for (const json& candidate : filled.at("candidates")) {
            if (candidate.at("text") == filled.at("text")) CHECK(candidate.at("nats_per_char").get<double>() == least);
        }
    }
    const json one = infill("a{3-3}b");
    CHECK(one.at("candidates").size() == 1);
    CHECK(one.at("text") == infill("a___b").at("text"));
    CHECK_FALSE(infill("a___b").contains("candidates"));
    // Every sample chooses for itself, and without --json the text stands alone.
    const json several = infill("The {1-4} of", {"--count", "3"});
    REQUIRE(several.size() == 3);
    for (const json& each : several) CHECK(each.at("candidates").size() == 4);
    const Outcome plain = folio::test::folio({"infill", "--weights", exact_model, "--text", "a{3-3}b", "--steps", "4",
                                              "--seed", "6", "--temperature", "0.7"});
    CHECK(plain.out == one.at("text").get<std::string>() + "\n");
}

TEST_CASE("a proofread sample is scored in its trace, and is the same on any number of threads") {
    const TemporaryFolder folder;
    const std::string trace = (folder / "trace").string();
    const std::vector<std::string> arguments = {
        "sample", "--weights", exact_model, "--proofread", exact_reader, "--prompt",          "The ", "--length",
        "60",     "--steps",   "8",         "--rounds",    "2",          "--proofread-share", "0.2"};
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), arguments.begin(), arguments.end());
        return folio::test::folio(more);
    };
    const Outcome one = with({"--threads", "1"});
    REQUIRE(one.code == 0);
    CHECK(with({"--threads", "2"}).out == one.out);
    CHECK(with({"--trace", trace}).out == one.out);
    std::ifstream lines(trace);
    int step = 0, scored = 0;
    std::string text;
    for (std::string line; std::getline(lines, line); ++step) {
        const json at = json::parse(line);
        CHECK(at.at("step") == step);
        if (at.contains("proofread_nll")) {
            ++scored;
            REQUIRE(at.at("proofread_nll").size() == 60);
            for (const json& nll : at.at("proofread_nll")) CHECK(nll.get<double>() >= 0);
            CHECK(at.at("text").get<std::string>().find("\uFFFD") != std::string::npos);
        }
        text = at.at("text");
    }
    CHECK(scored == 2);
    CHECK(text + "\n" == one.out);
    // No round is the sample itself.
    std::vector<std::string> bare = {"sample",   "--weights", exact_model, "--prompt", "The ",
                                     "--length", "60",        "--steps",   "8"};
    const Outcome none = folio::test::folio(bare);
    CHECK(with({"--rounds", "0"}).out == none.out);
    CHECK(none.out != one.out);

    const Outcome gaussian = folio::test::folio({"sample", "--weights", gaussian_model, "--proofread", exact_reader,
                                                 "--length", "40", "--steps", "8", "--stop-stable", "1", "--json"});
    REQUIRE(gaussian.code == 0);
    CHECK(json::parse(gaussian.out).contains("passes_saved"));
}

TEST_CASE("a text goes into noise and comes back, and edits are done") {
    const Outcome back = folio::test::folio({"sample", "--weights", model, "--from-text", "abba, abba!"});
    CHECK(back.code == 0);
    CHECK(characters(back.out) == 12);
    const Outcome edited = folio::test::folio({"sample", "--weights", model, "--length", "12", "--steps", "3", "--edit",
                                               "3:put:2:!", "--edit", "2:put:0:I", "--edit", "9:noise:4-8:50"});
    CHECK(edited.code == 0);
    CHECK(edited.out.starts_with("I"));
    CHECK(characters(edited.out) == 13);
}

TEST_CASE("logits are those of an independent implementation") {
    const auto [weights, name] = GENERATE(values<std::pair<std::string, std::string>>(
        {{model, "masked.json"},
         {causal_model, "causal.json"},
         {timed_model, "masked-time.json"},
         {golden_path("conv.safetensors").string(), "conv.json"},
         {golden_path("conv-causal.safetensors").string(), "conv-causal.json"}}));
    const json golden = golden_json(name);
    const TemporaryFolder folder;
    // Rows with a time of their own go one by one.
    const auto ids = golden.at("ids");
    const std::size_t batch = ids.size(), length = ids[0].size();
    std::vector<float> logits;
    if (golden.at("t").is_null()) {
        write(folder / "ids", ids.dump());
        const Outcome outcome = folio::test::folio(
            {"logits", "--weights", weights, "--ids", (folder / "ids").string(), "--out", (folder / "x.npy").string()});
        CAPTURE(outcome.err);
        REQUIRE(outcome.code == 0);
        const Array array = read_npy(folder / "x.npy");
        CHECK(array.header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 9, 11), }"));
        logits = array.values;
    } else {
        for (std::size_t row = 0; row < batch; ++row) {
            write(folder / "ids", json::array({ids[row]}).dump());
            REQUIRE(folio::test::folio({"logits", "--weights", weights, "--ids", (folder / "ids").string(), "--t",
                                        golden["t"][row].dump(), "--out", (folder / "x.npy").string()})
                        .code == 0);
            const Array array = read_npy(folder / "x.npy");
            logits.insert(logits.end(), array.values.begin(), array.values.end());
        }
    }
    const auto expected = golden.at("logits").get<std::vector<double>>();
    REQUIRE(logits.size() == expected.size());
    REQUIRE(logits.size() == batch * length * 11);
    double largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) largest = std::max(largest, std::abs(logits[i] - expected[i]));
    CHECK(largest < 1e-4);
}

TEST_CASE("export and info tell the same model") {
    const TemporaryFolder folder;
    const std::string half = (folder / "half").string(), full = (folder / "full").string();
    REQUIRE(folio::test::folio({"export", "--weights", model, "--dtype", "f16", "--out", half}).code == 0);
    REQUIRE(folio::test::folio({"export", "--weights", half, "--dtype", "f32", "--out", full}).code == 0);
    const json original = json::parse(folio::test::folio({"info", model, "--json"}).out);
    const json exported = json::parse(folio::test::folio({"info", half, "--json"}).out);
    for (const char* key : {"config", "process", "vocab", "parameters"}) CHECK(original.at(key) == exported.at(key));
    CHECK(exported.at("tensors")[0].at("dtype") == "F16");
    CHECK(original.at("sha256").get<std::string>().size() == 64);
    CHECK(original.at("sha256") != exported.at("sha256"));
    const Outcome shown = folio::test::folio({"info", model});
    CHECK(shown.code == 0);
    CHECK(shown.out.find(original.at("sha256").get<std::string>()) != std::string::npos);
    const std::string bytes = content_of(full);
    const auto read = folio::read_model(std::as_bytes(std::span(bytes)));
    REQUIRE(read);
    const std::string model_bytes = content_of(model);
    const auto first = folio::read_model(std::as_bytes(std::span(model_bytes)));
    for (std::size_t i = 0; i < read->parameters.size(); ++i) {
        REQUIRE(read->parameters[i] == folio::from_f16(folio::to_f16(first->parameters[i])));
    }
}

TEST_CASE("an I8 file gives one text under every set of kernels and on any number of threads") {
    const TemporaryFolder folder;
    const auto at = [&](const char* name) { return (folder / name).string(); };
    const std::vector<std::string> request{"sample", "--weights", exact_model, "--prompt", "ROMEO:", "--length",
                                           "90",     "--steps",   "20",        "--count",  "2"};
    const Outcome first = folio::test::folio(request, {"FOLIO_KERNELS=portable"});
    REQUIRE(first.code == 0);
    for (const folio::KernelSet* set : folio::available_kernels()) {
        for (const char* threads : {"1", "2"}) {
            auto more = request;
            more.push_back("--threads");
            more.push_back(threads);
            const Outcome outcome = folio::test::folio(more, {"FOLIO_KERNELS=" + std::string(set->name)});
            CHECK(outcome.out == first.out);
        }
    }
    // Rounding once is enough, and back to floats it is an ordinary model.
    REQUIRE(folio::test::folio({"export", "--weights", exact_model, "--dtype", "int8", "--out", at("again")}).code ==
            0);
    CHECK(content_of(folder / "again") == content_of(exact_model));
    REQUIRE(folio::test::folio({"export", "--weights", exact_model, "--dtype", "f32", "--out", at("floats")}).code ==
            0);
    REQUIRE(folio::test::folio({"export", "--weights", model, "--dtype", "int8", "--out", at("rounded")}).code == 0);
    CHECK(folio::test::folio({"info", at("rounded")}).out.find("I8") != std::string::npos);
    REQUIRE(
        folio::test::folio({"logits", "--weights", exact_model, "--text", "To be", "--out", at("exact.npy")}).code ==
        0);
    REQUIRE(
        folio::test::folio({"logits", "--weights", at("floats"), "--text", "To be", "--out", at("floats.npy")}).code ==
        0);
    const auto a = read_npy(folder / "exact.npy").values, b = read_npy(folder / "floats.npy").values;
    double error = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) error += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
    CHECK(error > 0);
    CHECK(error < 0.01 * size);
}

TEST_CASE("eval reports every figure of the specification") {
    const TemporaryFolder folder;
    std::string text;
    Random random(5);
    for (int i = 0; i < 1000; ++i) text += "\n !',Iab"[random.below(8)];
    write(folder / "text", text);
    const Outcome outcome =
        folio::test::folio({"eval", "--weights", model, "--data", (folder / "text").string(), "--draws", "8", "--order",
                            "left-to-right", "--order", "margin", "--json"});
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == 0);
    const json report = json::parse(outcome.out);
    CHECK(report.at("process") == "masked");
    CHECK(report.at("windows") == 8);  // floor((100 - 1) / 12)
    CHECK(report.at("characters") == 96);
    const double nats = report.at("nats_per_char");
    CHECK(nats > 0);
    CHECK(report.at("stderr") > 0);
    CHECK(report.at("bits_per_char").get<double>() == Approx(nats / std::log(2.0)));
    CHECK(report.at("perplexity").get<double>() == Approx(std::exp(nats)));
    CHECK(report.at("levels").size() == 20);
    CHECK(report.at("orders").size() == 2);
    CHECK(report.at("orders").at("margin").at("nats_per_char") > 0);
    // A model against itself: no difference at all; the autoregressive one is scored exactly, with nothing drawn.
    const auto compared = [&](const std::string& one, const std::string& other) {
        const Outcome outcome = folio::test::folio(
            {"eval", "--weights", one, "--against", other, "--data", (folder / "text").string(), "--json"});
        CAPTURE(outcome.err);
        REQUIRE(outcome.code == 0);
        return json::parse(outcome.out);
    };
    const json same = compared(model, model);
    CHECK(same.at("against").at("difference") == 0);
    CHECK(same.at("against").at("stderr") == 0);
    const json causal = compared(causal_model, model);
    CHECK(causal.at("process") == "ar");
    CHECK(causal.at("characters") == 96);
    CHECK_FALSE(causal.contains("levels"));
    CHECK(causal.at("against").at("difference").get<double>() ==
          Approx(causal.at("nats_per_char").get<double>() - same.at("nats_per_char").get<double>()));
    CHECK(causal.at("against").at("stderr") > 0);
    const json fewer = json::parse(folio::test::folio({"eval", "--weights", model, "--windows", "3", "--json"},
                                                      {"FOLIO_DATA=" + (folder / "text").string()})
                                       .out);
    CHECK(fewer.at("windows") == 3);
}

TEST_CASE("eval lays samples beside real text, and draws their frontier") {
    const TemporaryFolder folder;
    std::string text;
    Random random(6);
    for (int i = 0; i < 2000; ++i) text += "\n !',Iab"[random.below(8)];
    write(folder / "text", text);
    // A sampler that the model does not have is refused, and before the long work.
    const Outcome refused = folio::test::folio(
        {"eval", "--weights", model, "--data", (folder / "text").string(), "--samples", "1", "--sampler", "ddim"});
    expect_failure(refused, 2);
    const std::string picture = (folder / "frontier.svg").string();
    const std::vector<std::string> arguments{"eval",    "--weights", model,       "--data", (folder / "text").string(),
                                             "--draws", "1",         "--samples", "3",      "--sampler",
                                             "margin",  "--steps",   "5",         "--json", "--plot",
                                             picture};
    const Outcome outcome = folio::test::folio(arguments);
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == 0);
    json report = json::parse(outcome.out);
    for (const char* of : {"samples", "real"}) {
        for (const char* key : {"count", "judge_nll", "judge_stderr", "entropy", "distinct_4", "word_rate",
                                "word_bigram_rate", "copied_median", "copied_p90", "copied_32"}) {
            CAPTURE(of, key);
            CHECK(report.at(of).contains(key));
        }
        CHECK(report.at(of).at("judge_nll") > 0);
        CHECK(report.at(of).at("entropy") > 0);
        CHECK(report.at(of).at("copied_p90") <= 12);
    }
    CHECK(report.at("samples").at("count") == 3);
    CHECK(report.at("real").at("count") == 16);  // floor((200 - 1) / 12)
    CHECK(report.at("samples").at("passes") == 5);
    CHECK(report.at("samples").at("ms") > 0);
    CHECK(report.at("samples").at("sampler") == "margin");
    CHECK_FALSE(report.at("real").contains("ms"));

    // Every sampler with 4 numbers of passes and 4 temperatures; the same again but for the clock.
    REQUIRE(report.at("frontier").size() == 7 * 4 * 4);
    const std::string svg = content_of(picture);
    CHECK(svg.starts_with("<svg "));
    CHECK(svg.ends_with("</svg>\n"));
    CHECK(svg.find("remask, 64 passes, temperature 0.9: entropy ") != svg.npos);
    CHECK(svg.find("3 samples of 12 characters") != svg.npos);
    json again = json::parse(folio::test::folio(arguments).out);
    for (json* one : {&report, &again}) {
        (*one)["samples"].erase("ms");
        for (json& setting : (*one)["frontier"]) setting.erase("ms");
    }
    CHECK(report == again);
    CHECK(content_of(picture) == svg);

    // The samples are those that `folio sample` draws from the seeds 0, 1, 2, ...
    const json one = json::parse(folio::test::folio({"eval", "--weights", model, "--data", (folder / "text").string(),
                                                     "--draws", "1", "--samples", "1", "--json"})
                                     .out);
    const std::string sampled = folio::test::folio({"sample", "--weights", model, "--length", "12", "--seed", "0"}).out;
    std::map<char32_t, double> counts;
    for (std::size_t position = 0; position + 1 < sampled.size();) {
        char32_t character;
        REQUIRE(folio::decode_utf8(sampled, position, character));
        counts[character] += 1;
    }
    double entropy = 0;
    for (const auto& [character, count] : counts) entropy -= count / 12 * std::log(count / 12);
    CHECK(one.at("samples").at("entropy").get<double>() == Approx(entropy));
    CHECK(one.at("samples").at("judge_stderr").is_null());
    CHECK_FALSE(one.at("samples").contains("model_nll"));

    // Beside the 5-gram an autoregressive model judges: what it says of the text itself follows from its exact
    // likelihood.
    const auto judge = [&](const std::string& weights) {
        return folio::test::folio({"eval", "--weights", weights, "--data", (folder / "text").string(), "--draws", "1",
                                   "--samples", "2", "--judge", causal_model, "--json"});
    };
    const json judged = json::parse(judge(causal_model).out);
    CHECK(judged.at("samples").at("model_nll") > 0);
    CHECK(judged.at("samples").at("model_stderr") > 0);
    // It scores 11 of the 12 characters here and 12 of 13 there.
    CHECK(judged.at("real").at("model_nll").get<double>() ==
          Approx(judged.at("nats_per_char").get<double>()).epsilon(0.05));
    expect_failure(judge(model), 2);  // which writes characters that the judge has never seen
}
