#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "core/model/parameters.h"
#include "native/host/failure.h"
#include "native/training/checkpoint.h"
#include "native/training/settings.h"
#include "tests/program.h"
#include "tests/test_support.h"

using namespace folio::test;
using nlohmann::json;

namespace {

std::string some_text() {
    const char* words[] = {"thou", "art", "my", "lord", "and", "king", "no", "more", "shall", "speak"};
    Random random(11);
    std::string text;
    while (text.size() < 6000) text += std::string(words[random.below(10)]) + (random.below(8) ? " " : ".\n");
    return text;
}

/// A training small enough for a test, in `folder`.
std::vector<std::string> train(const fs::path& folder, const fs::path& text, std::vector<std::string> more) {
    std::vector<std::string> arguments{"train", "--out", folder.string(), "--data", text.string(), "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

const std::vector<std::string> small{"--n-layer",      "1",  "--d-model",    "32", "--n-head",    "2",
                                     "--seq-len",      "24", "--batch",      "4",  "--steps",     "200",
                                     "--warmup",       "10", "--eval-every", "20", "--log-every", "5",
                                     "--sample-every", "0",  "--dropout",    "0.1"};

std::vector<std::string> operator+(std::vector<std::string> first, const std::vector<std::string>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

/// The metrics without what a clock says.
std::vector<json> metrics(const fs::path& folder) {
    std::vector<json> entries;
    std::ifstream file(folder / "metrics.jsonl");
    for (std::string line; std::getline(file, line);) {
        entries.push_back(json::parse(line));
        entries.back().erase("chars_per_s");
        entries.back().erase("elapsed_s");
    }
    return entries;
}

std::vector<float> parameters(const fs::path& file) {
    const std::string bytes = content_of(file);
    const auto model = folio::read_model(std::as_bytes(std::span(bytes)));
    REQUIRE(model);
    return model->parameters;
}

void expect_same_run(const fs::path& one, const fs::path& other) {
    CHECK(metrics(one) == metrics(other));
    CHECK(parameters(one / "last.safetensors") == parameters(other / "last.safetensors"));
    CHECK(parameters(one / "best.safetensors") == parameters(other / "best.safetensors"));
    const folio::Checkpoint a = folio::read_checkpoint(one / "checkpoint.safetensors");
    const folio::Checkpoint b = folio::read_checkpoint(other / "checkpoint.safetensors");
    CHECK(a.state.parameters == b.state.parameters);
    CHECK(a.state.average == b.state.average);
    CHECK(a.state.moment1 == b.state.moment1);
    CHECK(a.state.moment2 == b.state.moment2);
    CHECK(a.state.losses.sums == b.state.losses.sums);
    CHECK(a.state.losses.counts == b.state.losses.counts);
    CHECK(a.model.process.gaussian.knots == b.model.process.gaussian.knots);
    CHECK(a.position.step == b.position.step);
}

/// Waits until the run has logged something of step `step` or later, or has ended.
void wait_for_step(Program& program, const fs::path& folder, int step) {
    while (program.running()) {
        const std::string content = content_of(folder / "metrics.jsonl");
        const std::size_t end = content.rfind('\n');
        if (end != content.npos) {
            const std::size_t begin = end == 0 ? content.npos : content.rfind('\n', end - 1);
            const json last = json::parse(content.substr(begin + 1, end - begin - 1));
            if (last.at("step") >= step) return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

/// A run that goes on until something ends it, and has logged step 10.
struct LongRun {
    TemporaryFolder folder;
    fs::path text = folder / "text", run = folder / "run";
    std::optional<Program> program;

    LongRun() {
        write(text, some_text());
        program.emplace(train(run, text, small + std::vector<std::string>{"--steps", "100000"}));
        wait_for_step(*program, run, 10);
    }
};

}  // namespace

TEST_CASE("a run that was stopped and resumed equals one never stopped") {
    const TemporaryFolder folder;
    const fs::path text = folder / "text", straight = folder / "straight";
    write(text, some_text());
    const std::string preset = GENERATE("masked", "gpt", "gaussian", "gaussian-article");
    std::vector<std::string> small = ::small + std::vector<std::string>{"--preset", preset};
    if (preset == "gaussian")
        small = small + std::vector<std::string>{"--refit-every", "30"};  // in a masked run it is refused
    const Outcome whole = folio::test::folio(train(straight, text, small));
    CAPTURE(preset, whole.err);
    REQUIRE(whole.code == 0);
    REQUIRE(metrics(straight).size() == 40);

    {
        INFO("by Ctrl-C, at whatever step it comes");
        const fs::path stopped = folder / "interrupted";
        Program program(train(stopped, text, small));
        wait_for_step(program, stopped, 10);
        program.signal(SIGINT);
        REQUIRE(program.wait() == 130);
        CHECK(program.err().find("go on with: folio train --resume --out " + stopped.string()) != std::string::npos);
        const Outcome resumed = folio::test::folio(train(stopped, text, {"--resume"}));
        CAPTURE(resumed.err);
        REQUIRE(resumed.code == 0);
        expect_same_run(straight, stopped);
    }
    {
        INFO("by SIGKILL, again and again, in the middle of writing checkpoints");
        const fs::path stopped = folder / "killed";
        const std::vector<std::string> often{"--checkpoint-every", "1"};
        int kills = 0;
        for (int step = 1; step < 60; step += 13) {
            const bool first = !fs::exists(stopped / "checkpoint.safetensors");
            Program program(train(stopped, text, first ? small + often : std::vector<std::string>{"--resume"}));
            wait_for_step(program, stopped, step);
            program.signal(SIGKILL);
            kills += program.wait() == -SIGKILL;
            if (fs::exists(stopped / "checkpoint.safetensors"))
                folio::read_checkpoint(stopped / "checkpoint.safetensors");
        }
        CHECK(kills > 0);
        const Outcome resumed = folio::test::folio(train(stopped, text, {"--resume"}));
        CAPTURE(resumed.err);
        REQUIRE(resumed.code == 0);
        expect_same_run(straight, stopped);
        CHECK_FALSE(fs::exists(stopped / ".checkpoint.safetensors.folio-partial"));
    }
    {
        INFO("by another number of threads");
        const Outcome threaded =
            folio::test::folio(train(folder / "threaded", text, small + std::vector<std::string>{"--threads", "2"}));
        REQUIRE(threaded.code == 0);
        expect_same_run(straight, folder / "threaded");
    }
}

TEST_CASE("a closed terminal stops a run as Ctrl-C does, and is ignored where it was before") {
    LongRun long_run;
    const TemporaryFolder& folder = long_run.folder;
    const fs::path &text = long_run.text, &run = long_run.run;
    Program& program = *long_run.program;
    program.signal(SIGHUP);
    CHECK(program.wait() == 130);
    CHECK(folio::read_checkpoint(run / "checkpoint.safetensors").position.step >= 10);

    ::signal(SIGHUP, SIG_IGN);  // as nohup does; children inherit it
    Program ignoring(train(folder / "other", text, small));
    ::signal(SIGHUP, SIG_DFL);
    wait_for_step(ignoring, folder / "other", 10);
    ignoring.signal(SIGHUP);
    CHECK(ignoring.wait() == 0);
}

TEST_CASE("no run begins in a folder that holds weights, or writes over its text") {
    const TemporaryFolder folder;
    const fs::path text = folder / "text", run = folder / "run";
    write(text, some_text());
    const std::vector<std::string> short_run = small + std::vector<std::string>{"--steps", "2"};
    REQUIRE(folio::test::folio(train(run, text, short_run)).code == 0);
    fs::create_directory_symlink(run, folder / "link");
    const std::string best = content_of(run / "best.safetensors");
    for (const char* file : {"checkpoint.safetensors", "metrics.jsonl", "best.safetensors"}) {
        for (const char* name : {"run", "link"}) {
            const Outcome refused = folio::test::folio(train(folder / name, text, short_run));
            CAPTURE(file, name, refused.err);
            CHECK(refused.code == 2);
            CHECK(is_one_sentence(refused.err));
            CHECK(folio::test::folio(
                      train(folder / name, text,
                            short_run + std::vector<std::string>{"--init", (run / "last.safetensors").string()}))
                      .code == 2);
        }
        CHECK(content_of(run / "best.safetensors") == best);
        if (std::string(file) != "best.safetensors") fs::remove(run / file);
    }
    const fs::path own = folder / "own";
    fs::create_directory(own);
    write(own / "best.safetensors", some_text());
    CHECK(folio::test::folio(train(own, own / "best.safetensors", short_run)).code == 2);
    CHECK(content_of(own / "best.safetensors") == some_text());
}

TEST_CASE("a line of the metrics that cannot be written leaves a checkpoint of its step") {
    LongRun long_run;
    const TemporaryFolder& folder = long_run.folder;
    const fs::path &text = long_run.text, &run = long_run.run;
    Program& program = *long_run.program;
    fs::create_symlink("/dev/full", folder / "full");
    fs::rename(folder / "full", run / "metrics.jsonl");
    CHECK(program.wait() == 1);
    CAPTURE(program.err());
    CHECK(program.err().find("metrics.jsonl\" cannot be written: the disk is full") != std::string::npos);
    const int saved = folio::read_checkpoint(run / "checkpoint.safetensors").position.step;
    CHECK(saved >= 10);
    CHECK(saved % 5 == 0);  // the step that was to be logged
    fs::remove(run / "metrics.jsonl");
    CHECK(folio::test::folio(train(run, text, {"--resume", "--steps", std::to_string(saved + 1)})).code == 0);
}

TEST_CASE("best weights that cannot be written leave a checkpoint") {
    const TemporaryFolder folder;
    const fs::path run = folder / "run";
    write(folder / "text", some_text());
    Program program(train(run, folder / "text", small + std::vector<std::string>{"--steps", "100000"}));
    wait_for_step(program, run, 21);
    fs::remove(run / "best.safetensors");
    fs::create_directory(run / "best.safetensors");
    CHECK(program.wait() == 1);
    CHECK(program.err().find("best.safetensors") != std::string::npos);
    const int step = folio::read_checkpoint(run / "checkpoint.safetensors").position.step;
    CHECK(step >= 21);
    CHECK(step % 20 == 0);  // that of the validation
}

#if defined(FOLIO_NO_FLOCK)
TEST_CASE("a file system without locks is written all the same") {
    const TemporaryFolder folder;
    write(folder / "text", some_text());
    const std::vector<std::string> few = small + std::vector<std::string>{"--steps", "2", "--eval-every", "2"};
    const Outcome outcome =
        folio::test::folio(train(folder / "run", folder / "text", few), {"LD_PRELOAD=" FOLIO_NO_FLOCK});
    CAPTURE(outcome.err);
    CHECK(outcome.code == 0);
    CHECK(fs::exists(folder / "run/best.safetensors"));
}
#endif

TEST_CASE("numbers that a validation or a sample first finds not to be finite are rolled back") {
    const TemporaryFolder folder;
    const fs::path text = folder / "text";
    write(text, some_text());
    for (const char* first : {"--eval-every", "--sample-every"}) {
        const fs::path run = folder / first;
        const Outcome outcome = folio::test::folio(
            train(run, text,
                  small + std::vector<std::string>{"--lr", "1e10", "--muon-lr", "1e10", "--warmup", "0", "--decay", "0",
                                                   "--steps", "6", first, "1"}));
        CAPTURE(first, outcome.err);
        CHECK(outcome.err.find("damaged") == std::string::npos);
        if (outcome.code == 0) continue;
        CHECK(outcome.code == 1);
        CHECK(outcome.err.find("Training diverges") != std::string::npos);
        const Outcome resumed = folio::test::folio(train(run, text, {"--resume"}));
        CHECK(resumed.err.find("damaged") == std::string::npos);
    }
}

TEST_CASE("an autoregressive run shows samples of a text that has no newline") {
    const TemporaryFolder folder;
    std::string text = some_text();
    std::replace(text.begin(), text.end(), '\n', ' ');
    write(folder / "text", text);
    const Outcome outcome =
        folio::test::folio(train(folder / "run", folder / "text",
                                 {"--preset", "gpt", "--n-layer", "1", "--d-model", "32", "--n-head", "2", "--seq-len",
                                  "24", "--batch", "4", "--steps", "2", "--sample-every", "1", "--log-every", "1"}));
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == 0);
    CHECK(metrics(folder / "run").back()["sample"].get<std::string>()[0] == text[text.size() * 9 / 10]);
}

TEST_CASE("a run is resumed only as what it was begun") {
    const TemporaryFolder folder;
    const fs::path text = folder / "text", run = folder / "run";
    write(text, some_text());
    write(folder / "other", some_text() + "!");
    REQUIRE(folio::test::folio(train(run, text, small + std::vector<std::string>{"--steps", "6"})).code == 0);

    const auto expect = [&](const std::vector<std::string>& arguments, int code) {
        const Outcome outcome = folio::test::folio(arguments);
        CAPTURE(arguments, outcome.err);
        CHECK(outcome.code == code);
        if (code != 0) CHECK(is_one_sentence(outcome.err));
    };
    expect(train(run, text, small), 2);  // no --resume
    expect(train(run, text, {"--resume", "--batch", "5"}), 2);
    expect(train(run, text, {"--resume", "--size", "tiny"}), 2);
    expect(train(run, text, {"--resume", "--lr", "0.5"}), 2);
    expect(train(run, text, {"--resume", "--steps", "3"}), 2);
    expect(train(run, text, {"--resume", "--preset", "gpt"}), 2);
    expect(train(run, text, {"--resume", "--init", (run / "last.safetensors").string()}), 2);
    expect(train(run, folder / "other", {"--resume"}), 2);
    expect(train(folder / "nowhere", text, {"--resume"}), 1);
    CHECK_FALSE(fs::exists(folder / "nowhere"));
    expect(train(run, text, {"--resume", "--batch", "4", "--steps", "8"}), 0);
    CHECK(folio::read_checkpoint(run / "checkpoint.safetensors").position.step == 8);
    expect(
        train(folder / "from", text, {"--init", (run / "last.safetensors").string(), "--steps", "2", "--batch", "2"}),
        0);
    expect(train(folder / "short", text, small + std::vector<std::string>{"--seq-len", "700"}), 1);
}

TEST_CASE("a run remembers its text, and eval says when it scores another") {
    const TemporaryFolder folder;
    const fs::path text = folder / "text", run = folder / "run";
    write(text, some_text());
    const std::vector<std::string> few = small + std::vector<std::string>{"--steps", "2", "--eval-every", "2"};
    const auto resume = [&](const std::string& steps, std::vector<std::string> more = {},
                            const Environment& variables = {}) {
        return folio::test::folio(
            std::vector<std::string>{"train", "--resume", "--out", run.string(), "--threads", "1", "--steps", steps} +
                more,
            variables);
    };
    const auto checkpoint = [&] { return folio::read_checkpoint(run / "checkpoint.safetensors"); };
    REQUIRE(folio::test::folio(train(run, text, few)).code == 0);
    CHECK(checkpoint().text_file == text);

    write(folder / "other", some_text() + "and more\n");
    const Environment other{"FOLIO_DATA=" + (folder / "other").string()};
    CHECK(resume("3").code == 0);
    CHECK(resume("4", {}, other).code == 0);  // the file that it remembers comes first
    const Outcome wrong = resume("5", {"--data", (folder / "other").string()});
    CHECK(wrong.code == 2);
    CHECK(wrong.err.find("other") != wrong.err.npos);

    fs::rename(text, folder / "moved");
    const Environment nowhere{"XDG_CACHE_HOME=" + (folder / "cache").string(), "FOLIO_DATA="};
    for (const Environment& variables : {nowhere, other}) {
        const Outcome gone = resume("5", {}, variables);
        CHECK(gone.code == 2);
        CHECK(is_one_sentence(gone.err));
        CHECK(gone.err.find(text.string()) != gone.err.npos);
        CHECK(gone.err.find("--data") != gone.err.npos);
    }
    CHECK(resume("5", {}, {"FOLIO_DATA=" + (folder / "moved").string()}).code == 0);
    CHECK(checkpoint().text_file == folder / "moved");

    const std::string weights = (run / "last.safetensors").string();
    const auto eval = [&](const std::string& scored) {
        return folio::test::folio({"eval", "--weights", weights, "--data", (folder / scored).string(), "--windows", "2",
                                   "--draws", "1", "--threads", "1"});
    };
    CHECK(eval("moved").err.find("another text") == std::string::npos);
    write(folder / "foreign", "Ünïcödé " + some_text());
    const Outcome foreign = eval("foreign");
    CHECK(foreign.code == 1);
    CHECK(is_one_sentence(foreign.err));
    CHECK(foreign.err.find("was trained on another text") != foreign.err.npos);
    const Outcome noticed = eval("other");
    CHECK(noticed.code == 0);
    CHECK(noticed.err.find("was trained on another text") != noticed.err.npos);
}

TEST_CASE("a text may come through a pipe and begin with a byte order mark") {
    const TemporaryFolder folder;
    write(folder / "text", some_text());
    ::mkfifo((folder / "pipe").c_str(), 0600);
    std::thread writer([&] { write(folder / "pipe", "\xEF\xBB\xBF" + some_text()); });
    const std::vector<std::string> few = small + std::vector<std::string>{"--steps", "2", "--eval-every", "2"};
    const Outcome piped = folio::test::folio(train(folder / "piped", folder / "pipe", few));
    writer.join();
    REQUIRE(piped.code == 0);
    REQUIRE(folio::test::folio(train(folder / "plain", folder / "text", few)).code == 0);
    CHECK(parameters(folder / "piped/last.safetensors") == parameters(folder / "plain/last.safetensors"));
    // Nothing but the mark is no text.
    write(folder / "mark", "\xEF\xBB\xBF");
    CHECK(folio::test::folio(train(folder / "none", folder / "mark", few)).err.find("is empty") != std::string::npos);
    const Outcome resumed =
        folio::test::folio({"train", "--resume", "--out", (folder / "piped").string(), "--steps", "3"});
    CHECK(resumed.code == 2);
    CHECK(is_one_sentence(resumed.err));
    CHECK(resumed.err.find("--data") != resumed.err.npos);
}

TEST_CASE("eval refuses before it works, and scores samples of a text without newlines") {
    const TemporaryFolder folder;
    std::string line = some_text();
    std::erase(line, '\n');
    std::string foreign = line;
    std::replace(foreign.begin(), foreign.end(), 'h', 'H');
    write(folder / "text", line);
    write(folder / "foreign", foreign);
    const std::vector<std::string> few =
        small + std::vector<std::string>{"--steps", "2", "--eval-every", "2", "--preset", "gpt"};
    REQUIRE(folio::test::folio(train(folder / "run", folder / "text", few)).code == 0);
    REQUIRE(folio::test::folio(train(folder / "foreign-run", folder / "foreign", few)).code == 0);
    const std::vector<std::string> eval{
        "eval",      "--weights", (folder / "run/last.safetensors").string(), "--data", (folder / "text").string(),
        "--threads", "1"};
    const Outcome refused = folio::test::folio(
        eval + std::vector<std::string>{"--against", (folder / "foreign-run/last.safetensors").string()});
    CHECK(refused.code == 1);
    CHECK(refused.out.empty());
    CHECK(refused.err.find("passes over a window") == std::string::npos);  // no progress yet
    CHECK(is_one_sentence(refused.err));
    CHECK(refused.err.find("foreign-run") != std::string::npos);
    const Outcome sampled =
        folio::test::folio(eval + std::vector<std::string>{"--samples", "2", "--windows", "2", "--json"});
    CAPTURE(sampled.err);
    REQUIRE(sampled.code == 0);
    CHECK(json::parse(sampled.out).at("samples").at("count") == 2);
}

TEST_CASE("a masked or a Gaussian run begins with an autoregressive model's weights") {
    const TemporaryFolder folder;
    write(folder / "text", some_text());
    using Words = std::vector<std::string>;
    const Words short_run = {"--steps", "1", "--batch",   "2", "--eval-every", "1", "--warmup", "1",
                             "--lr",    "0", "--muon-lr", "0", "--ema",        "0"};
    const Words gpt = small + Words{"--steps", "3", "--preset", "gpt", "--eval-every", "3"};
    REQUIRE(folio::test::folio(train(folder / "gpt", folder / "text", gpt)).code == 0);
    const std::string source_file = (folder / "gpt/last.safetensors").string();
    const auto model = [](const fs::path& file) {
        const std::string bytes = content_of(file);
        auto read = folio::read_model(std::as_bytes(std::span(bytes)));
        REQUIRE(read);
        return std::move(*read);
    };
    const folio::ModelFile source = model(source_file);
    const auto tensor = [](const folio::ModelFile& of, const std::string& name) {
        std::vector<float> values;
        folio::for_each_tensor(of.config, [&](const folio::TensorSpec& spec) {
            const auto begin = of.parameters.begin() + static_cast<std::ptrdiff_t>(spec.offset);
            if (spec.name == name) values.assign(begin, begin + static_cast<std::ptrdiff_t>(spec.count()));
        });
        return values;
    };
    for (const char* preset : {"masked", "gaussian"}) {
        // At a rate of 0 the weights that a run writes are those that it began with.
        const Outcome outcome = folio::test::folio(
            train(folder / preset, folder / "text", short_run + Words{"--preset", preset, "--init", source_file}));
        CAPTURE(preset, outcome.err);
        REQUIRE(outcome.code == 0);
        CHECK(outcome.err.find("Starting from") != outcome.err.npos);
        CHECK(outcome.err.find(preset == std::string("masked") ? "[MASK]" : "self_emb.weight") != outcome.err.npos);
        const folio::ModelFile made = model(folder / preset / "last.safetensors");
        CHECK_FALSE(made.config.causal);
        CHECK(made.config.d_ff == source.config.d_ff);
        folio::for_each_tensor(source.config, [&](const folio::TensorSpec& spec) {
            const std::vector<float> taken = tensor(source, spec.name), now = tensor(made, spec.name);
            CAPTURE(spec.name);
            REQUIRE(now.size() >= taken.size());
            if (spec.kind == folio::TensorKind::filter) {
                // Offsets -3 .. 0 are taken, 1 .. 3 are zero.
                CHECK(std::any_of(taken.begin(), taken.end(), [](float x) { return x != 0; }));
                CHECK(std::equal(taken.begin(), taken.end(), now.begin()));
                CHECK(now.size() == static_cast<std::size_t>(7 * spec.cols));
                CHECK(std::all_of(now.begin() + static_cast<std::ptrdiff_t>(taken.size()), now.end(),
                                  [](float x) { return x == 0; }));
                return;
            }
            CHECK(std::equal(taken.begin(), taken.end(), now.begin()));
            if (spec.kind == folio::TensorKind::matrix || preset == std::string("gaussian"))
                CHECK(now.size() == taken.size());
            else
                CHECK(now.size() == taken.size() + static_cast<std::size_t>(spec.cols));
            if (spec.kind == folio::TensorKind::head)
                CHECK(std::all_of(now.begin() + static_cast<std::ptrdiff_t>(taken.size()), now.end(),
                                  [](float x) { return x == 0; }));
        });
    }
    // Of another radius, the offsets that both have; within a process, too, and by default the file's own.
    const auto begun = [&](const char* run, const Words& more) {
        const Outcome outcome =
            folio::test::folio(train(folder / run, folder / "text", short_run + Words{"--init", source_file} + more));
        CAPTURE(run, outcome.err);
        REQUIRE(outcome.code == 0);
        return model(folder / run / "last.safetensors");
    };
    const auto d = static_cast<std::ptrdiff_t>(source.config.d_model);
    const std::string filter = "blocks.0.mlp.conv.weight";
    const std::vector<float> of_source = tensor(source, filter),
                             narrow = tensor(begun("narrow", {"--conv-radius", "1"}), filter);
    CHECK(narrow.size() == static_cast<std::size_t>(3 * d));
    CHECK(std::equal(narrow.begin(), narrow.begin() + 2 * d, of_source.begin() + 2 * d));
    CHECK(begun("same", {"--preset", "gpt"}).parameters == source.parameters);
    const std::vector<float> wide = tensor(begun("wide", {"--preset", "gpt", "--conv-radius", "4"}), filter);
    CHECK(wide.size() == static_cast<std::size_t>(5 * d));
    CHECK(std::equal(wide.begin() + d, wide.end(), of_source.begin()));
    const auto refused = [&](const Words& more, const std::string& part) {
        const Outcome outcome =
            folio::test::folio(train(folder / "no", folder / "text", short_run + Words{"--init", source_file} + more));
        CAPTURE(more, outcome.err);
        CHECK(outcome.code == 2);
        CHECK(is_one_sentence(outcome.err));
        CHECK(outcome.err.find(part) != outcome.err.npos);
        CHECK_FALSE(fs::exists(folder / "no"));
    };
    refused({"--d-model", "64"}, "token_emb.weight");
    refused({"--conv-radius", "0"}, "blocks.0.mlp.conv.weight");
    refused({"--n-layer", "2"}, "blocks.1.attn.c_q.weight");
    refused({"--size", "tiny"}, "token_emb.weight");
    refused({"--n-head", "1"}, "--n-head 2");
    refused({"--preset", "gaussian-article"}, "kind");
    const Outcome backwards =
        folio::test::folio(train(folder / "no", folder / "text",
                                 Words{"--preset", "gpt", "--init", (folder / "masked/last.safetensors").string()}));
    CHECK(backwards.code == 2);
}

TEST_CASE("mask rates are an option of masked runs") {
    const TemporaryFolder folder;
    write(folder / "text", some_text());
    using Words = std::vector<std::string>;
    const Words few = small + Words{"--steps", "3", "--eval-every", "3"};
    REQUIRE(
        folio::test::folio(train(folder / "uniform", folder / "text", few + Words{"--mask-rate", "uniform"})).code ==
        0);
    REQUIRE(folio::test::folio(train(folder / "beta", folder / "text", few + Words{"--mask-rate", "beta"})).code == 0);
    REQUIRE(folio::test::folio(train(folder / "default", folder / "text", few)).code == 0);
    CHECK(parameters(folder / "uniform/last.safetensors") != parameters(folder / "beta/last.safetensors"));
    CHECK(parameters(folder / "default/last.safetensors") == parameters(folder / "beta/last.safetensors"));
    // The NELBO alone is enough to ask for uniform rates.
    REQUIRE(folio::test::folio(train(folder / "nelbo", folder / "text", few + Words{"--loss", "nelbo"})).code == 0);
    CHECK(folio::read_checkpoint(folder / "nelbo/checkpoint.safetensors").settings["mask-rate"] == "uniform");
    // Steps that lower the NELBO have uniform rates, whatever the others have.
    for (const char* rate : {"uniform", "beta"}) {
        REQUIRE(folio::test::folio(train(folder / (std::string("bound-") + rate), folder / "text",
                                         few + Words{"--mask-rate", rate, "--nelbo-share", "1"}))
                    .code == 0);
    }
    CHECK(parameters(folder / "bound-uniform/last.safetensors") == parameters(folder / "bound-beta/last.safetensors"));
    for (const Words& wrong : {Words{"--mask-rate", "beta", "--loss", "nelbo"},
                               Words{"--mask-rate", "beta", "--preset", "gpt"}, Words{"--mask-rate", "half"}}) {
        const Outcome outcome = folio::test::folio(train(folder / "no", folder / "text", few + wrong));
        CHECK(outcome.code == 2);
        CHECK(is_one_sentence(outcome.err));
    }
}

TEST_CASE("the rows of the Gaussian recipe can be left out, as far as they can stand without one another") {
    const TemporaryFolder folder;
    const fs::path text = folder / "text";
    write(text, some_text());
    const std::vector<std::string> gaussian = small + std::vector<std::string>{"--preset", "gaussian", "--steps", "4"};
    const std::vector<std::string> no_bound{"--refit-every", "0", "--nelbo-share", "0"},
        alone{"--matched-filter", "no", "--self-conditioning", "0"};
    const auto expect = [&](const char* run, const std::vector<std::string>& options, int code) {
        const Outcome outcome = folio::test::folio(train(folder / run, text, options));
        CAPTURE(run, outcome.err);
        CHECK(outcome.code == code);
        if (code != 0) CHECK(is_one_sentence(outcome.err));
        return code == 0 ? folio::read_checkpoint(folder / run / "checkpoint.safetensors").model : folio::ModelFile{};
    };
    using Words = std::vector<std::string>;
    const folio::ModelFile eps =
        expect("eps", gaussian + Words{"--prediction", "eps", "--schedule", "linear"} + alone + no_bound, 0);
    CHECK(eps.process.gaussian.prediction == folio::GaussianPrediction::eps);
    CHECK(eps.process.gaussian.steps == 128);
    CHECK_FALSE(eps.process.gaussian.centred);
    CHECK_FALSE(eps.config.self_conditioning);
    const folio::ModelFile even = expect("even", gaussian + Words{"--schedule", "even"} + alone + no_bound, 0);
    CHECK(even.process.gaussian.knots == std::vector<double>{-4, 6});
    CHECK_FALSE(even.process.gaussian.matched_filter);
    const folio::ModelFile whole = expect("whole", gaussian + Words{"--refit-every", "2", "--nelbo-share", "0.25"}, 0);
    CHECK(whole.process.gaussian.matched_filter);
    CHECK(whole.config.self_conditioning);
    CHECK(whole.process.gaussian.knots != folio::warped_gaussian(whole.config.vocab_size).knots);
    expect("article", small + Words{"--preset", "gaussian-article", "--steps", "4"}, 0);

    const auto from = [&](const char* run) {
        return Words{"--preset", "gaussian", "--steps", "4", "--init", (folder / run / "last.safetensors").string()};
    };
    expect("wrong", gaussian + Words{"--prediction", "eps"}, 2);
    expect("wrong", gaussian + Words{"--schedule", "linear"}, 2);
    expect("wrong", gaussian + Words{"--prediction", "v"}, 2);
    expect("wrong", small + Words{"--preset", "gaussian-article", "--prediction", "x0"}, 2);
    expect("wrong", from("whole") + Words{"--matched-filter", "no"}, 2);
    expect("wrong", from("even") + Words{"--self-conditioning", "0.5"}, 2);
    expect("wrong", from("article"), 2);
    expect("wrong", from("whole") + Words{"--preset", "gaussian-article"}, 2);
    expect("on", from("even"), 0);
    CHECK_FALSE(fs::exists(folder / "wrong"));
}

TEST_CASE("a damaged checkpoint is refused in a sentence") {
    const TemporaryFolder folder;
    const fs::path text = folder / "text", run = folder / "run";
    write(text, some_text());
    REQUIRE(folio::test::folio(train(run, text, small + std::vector<std::string>{"--steps", "2"})).code == 0);
    const std::string good = content_of(run / "checkpoint.safetensors");
    const auto refused = [&](const std::string& bytes) {
        write(run / "checkpoint.safetensors", bytes);
        try {
            folio::read_checkpoint(run / "checkpoint.safetensors");
        } catch (const folio::Failure& failure) {
            return failure.exit_code == 1 && failure.sentence.size() > 10;
        }
        return false;
    };
    CHECK(refused(""));
    CHECK(refused(good.substr(0, 100)));
    CHECK(refused(good.substr(0, good.size() - 1)));
    CHECK(refused(good + "x"));
    CHECK(refused(content_of(run / "last.safetensors")));
    for (const char* word : {"loss_count", "warmup", "lr_factor", "\\\"text\\\"", "moment2"}) {
        std::string changed = good;
        const std::size_t place = changed.find(word);
        REQUIRE(place != changed.npos);
        changed[place + 2] = 'Q';
        CAPTURE(word);
        CHECK(refused(changed));
    }
    std::string flipped = good;
    flipped[good.size() - 4096] ^= 1;  // the last bit of some number
    CHECK(refused(flipped));
    CHECK_FALSE(refused(good));
}

TEST_CASE("a checkpoint with a setting that no run can have is refused") {
    const TemporaryFolder folder;
    const fs::path run = folder / "run";
    write(folder / "text", some_text());
    REQUIRE(folio::test::folio(train(run, folder / "text", small + std::vector<std::string>{"--steps", "2"})).code ==
            0);
    const folio::Checkpoint good = folio::read_checkpoint(run / "checkpoint.safetensors");
    const auto with = [&](const char* name, const json& value) {
        folio::Checkpoint changed = good;
        changed.settings[name] = value;
        folio::write_checkpoint(run / "checkpoint.safetensors", changed);
    };
    const std::pair<const char*, json> wrong[] = {{"loss", "median"}, {"loss", 1},           {"rows-per-pass", 0},
                                                  {"batch", 2.5},     {"lr", "0.01"},        {"clip", 0},
                                                  {"seed", -1},       {"n-layer", 0},        {"no-such-option", 1},
                                                  {"precision", 32},  {"schedule", "linear"}};
    for (const auto& [name, value] : wrong) {
        CAPTURE(name, value.dump());
        with(name, value);
        CHECK_THROWS_AS(folio::read_checkpoint(run / "checkpoint.safetensors"), folio::Failure);
    }
    // A weights file may have longer windows than --seq-len takes.
    with("seq-len", 1 << 15);
    CHECK_NOTHROW(folio::read_checkpoint(run / "checkpoint.safetensors"));
}

TEST_CASE("the defaults of every preset are values of their options and make its recipe") {
    for (const folio::Preset& preset : folio::presets) {
        const json settings = folio::default_settings(preset);
        for (const folio::TrainingOption& option : folio::training_options()) {
            CAPTURE(preset.name, option.name);
            CHECK(folio::training_option(option.name) == &option);
            const json value = option.default_setting(preset);
            CHECK(settings.value(option.name, json()) == value);
            CHECK((value.is_null() || option.accepts(value)));
            CHECK((option.belongs_to(preset) || value.is_null()));
        }
        const folio::Recipe recipe = folio::to_recipe(settings), plain;
        const bool article = preset.article, in_order = preset.process == folio::ProcessKind::autoregressive;
        CHECK(recipe.batch == plain.batch);
        CHECK(recipe.lr == (article ? 1e-4f : plain.lr));
        CHECK(recipe.beta2 == (article ? 0.999f : plain.beta2));
        CHECK(recipe.short_windows == (article || in_order ? 0.f : plain.short_windows));
        CHECK(recipe.input_noise == (in_order ? 0.05f : 0.f));
        CHECK(recipe.mask_rate ==
              (preset.process == folio::ProcessKind::masked ? folio::MaskRate::beta : folio::MaskRate::uniform));
        CHECK(recipe.loss == folio::MaskedLoss::mean);
        CHECK(recipe.refit_every == (preset.process == folio::ProcessKind::gaussian && !article ? 1000 : 0));
    }
}

TEST_CASE("whoever samples from a checkpoint is told where its weights are") {
    const TemporaryFolder folder;
    write(folder / "text", some_text());
    REQUIRE(folio::test::folio(train(folder / "run", folder / "text", small + std::vector<std::string>{"--steps", "2"}))
                .code == 0);
    const Outcome outcome =
        folio::test::folio({"sample", "--weights", (folder / "run" / "checkpoint.safetensors").string()});
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find("in last.safetensors") != std::string::npos);
}

TEST_CASE("a damaged checkpoint is named, with a way to go on, and a removed folder is no full disk") {
    const TemporaryFolder folder;
    const fs::path run = folder / "run";
    write(folder / "text", some_text());
    const std::vector<std::string> few = small + std::vector<std::string>{"--steps", "2", "--eval-every", "2"};
    REQUIRE(folio::test::folio(train(run, folder / "text", few)).code == 0);
    const std::string whole = content_of(run / "checkpoint.safetensors");
    for (const std::size_t size : {std::size_t{4}, std::size_t{60}, whole.size() - 10}) {
        write(run / "checkpoint.safetensors", whole.substr(0, size));
        const Outcome outcome = folio::test::folio(train(run, folder / "text", {"--resume", "--steps", "3"}));
        CAPTURE(size, outcome.err);
        CHECK(outcome.code == 1);
        CHECK(is_one_sentence(outcome.err));
        CHECK(outcome.err.find("checkpoint.safetensors") != outcome.err.npos);
        CHECK(outcome.err.find("export it again") == outcome.err.npos);
        CHECK(outcome.err.find("--init") != outcome.err.npos);
    }

    Program removed(train(folder / "removed", folder / "text", small + std::vector<std::string>{"--steps", "100000"}));
    wait_for_step(removed, folder / "removed", 5);
    fs::rename(folder / "removed", folder / "moved");
    CHECK(removed.wait() == 1);
    CHECK(removed.err().find("is gone; start the run again") != std::string::npos);
}

TEST_CASE("damaged lines of the metrics are left out with a word") {
    const TemporaryFolder folder;
    const fs::path run = folder / "run";
    write(folder / "text", some_text());
    REQUIRE(folio::test::folio(train(run, folder / "text", small + std::vector<std::string>{"--steps", "10"})).code ==
            0);
    const std::size_t lines = metrics(run).size();
    write(run / "metrics.jsonl", "{\"step\":1,\"lo\n" + content_of(run / "metrics.jsonl") + "{\"step\":10,\"loss");
    const Outcome outcome = folio::test::folio(train(run, folder / "text", {"--resume", "--steps", "15"}));
    CHECK(outcome.code == 0);
    CHECK(outcome.err.find("cannot be read in 1 of its lines") != std::string::npos);
    CHECK(metrics(run).size() > lines);
}

TEST_CASE("a file is written whole or not at all") {
    const TemporaryFolder folder;
    const fs::path path = folder / "file";
    folio::write_file(path, std::string("old"));
    SECTION("when its writer fails") {
        CHECK_THROWS_AS(folio::write_file(path,
                                          [](const folio::ByteSink& sink) -> folio::Result<void> {
                                              if (auto done = sink(std::as_bytes(std::span("half", 4))); !done)
                                                  return done;
                                              return folio::fail("no more");
                                          }),
                        folio::Failure);
    }
    SECTION("when another process is writing it") {
        const int other = ::open((folder / ".file.folio-partial").c_str(), O_WRONLY | O_CREAT, 0600);
        REQUIRE(::flock(other, LOCK_EX) == 0);
        CHECK_THROWS_AS(folio::write_file(path, std::string("new")), folio::Failure);
        CHECK(fs::exists(folder / ".file.folio-partial"));
        ::close(other);
        fs::remove(folder / ".file.folio-partial");
    }
    SECTION("when there is no room for it") {
        ::signal(SIGXFSZ, SIG_IGN);
        rlimit before{};
        getrlimit(RLIMIT_FSIZE, &before);
        const rlimit little{1000, before.rlim_max};
        setrlimit(RLIMIT_FSIZE, &little);
        bool failed = false;
        try {
            folio::write_file(path, std::string(5000, 'x'));
        } catch (const folio::Failure& failure) {
            failed = failure.exit_code == 1;
        }
        setrlimit(RLIMIT_FSIZE, &before);
        CHECK(failed);
    }
    CHECK(content_of(path) == "old");
    CHECK_FALSE(fs::exists(folder / ".file.folio-partial"));
}

TEST_CASE("a file is written through links, with the mode that it had, and beside whatever stands there") {
    const TemporaryFolder folder;
    fs::create_symlink("target", folder / "dangling");
    folio::write_file(folder / "dangling", std::string("new"));
    CHECK(fs::is_symlink(folder / "dangling"));
    CHECK(content_of(folder / "target") == "new");
    fs::permissions(folder / "target", fs::perms::owner_read | fs::perms::owner_write);
    folio::write_file(folder / "dangling", std::string("newer"));
    CHECK(content_of(folder / "target") == "newer");
    CHECK(fs::status(folder / "target").permissions() == (fs::perms::owner_read | fs::perms::owner_write));
    fs::create_symlink("loop", folder / "loop");
    CHECK_THROWS_AS(folio::write_file(folder / "loop", std::string("x")), folio::Failure);

    for (const std::size_t length : {std::size_t{240}, std::size_t{241}, std::size_t{255}}) {
        folio::write_file(folder / std::string(length, 'n'), std::string("long"));
        CHECK(content_of(folder / std::string(length, 'n')) == "long");
    }
    CHECK_THROWS_AS(folio::write_file(folder / std::string(256, 'n'), std::string("x")), folio::Failure);

    ::mkfifo((folder / ".a.folio-partial").c_str(), 0600);
    CHECK_THROWS_AS(folio::write_file(folder / "a", std::string("x")), folio::Failure);
    write(folder / "other", "hers");
    fs::create_hard_link(folder / "other", folder / ".b.folio-partial");
    folio::write_file(folder / "b", std::string("mine"));
    CHECK(content_of(folder / "other") == "hers");
    CHECK(content_of(folder / "b") == "mine");
}

TEST_CASE("a step too far is taken back and taken again, shorter") {
    const TemporaryFolder folder;
    write(folder / "text", some_text());
    const Outcome outcome =
        folio::test::folio(train(folder / "run", folder / "text",
                                 small + std::vector<std::string>{"--steps", "2", "--warmup", "0", "--decay", "0",
                                                                  "--lr", "4e18", "--clip", "1e30"}));
    CAPTURE(outcome.err);
    CHECK(outcome.code == 0);
    CHECK(outcome.err.find("going on from step 0 with the learning rate times 0.5") != std::string::npos);
    const folio::Checkpoint end = folio::read_checkpoint(folder / "run" / "checkpoint.safetensors");
    CHECK(end.position.step == 2);
    CHECK(end.position.lr_factor < 1);
}

TEST_CASE("a run from before convolutions and mask rates goes on without them") {
    const TemporaryFolder folder;
    const fs::path run = folder / "run";
    write(folder / "text", some_text());
    REQUIRE(folio::test::folio(
                train(run, folder / "text",
                      small + std::vector<std::string>{"--steps", "2", "--conv-radius", "0", "--mask-rate", "uniform"}))
                .code == 0);
    folio::Checkpoint checkpoint = folio::read_checkpoint(run / "checkpoint.safetensors");
    checkpoint.settings.erase("conv-radius");
    checkpoint.settings.erase("mask-rate");
    folio::write_checkpoint(run / "checkpoint.safetensors", checkpoint);
    const folio::Checkpoint read = folio::read_checkpoint(run / "checkpoint.safetensors");
    CHECK(read.settings["conv-radius"] == 0);
    CHECK(read.settings["mask-rate"] == "uniform");
    CHECK(folio::test::folio(train(run, folder / "text", {"--resume", "--steps", "3"})).code == 0);
}

TEST_CASE("a run of bf16 products goes on in f32 where it is told to") {
    const TemporaryFolder folder;
    const fs::path text = folder / "text", run = folder / "run";
    write(text, some_text());
    REQUIRE(folio::test::folio(train(run, text, small + std::vector<std::string>{"--steps", "2", "--precision", "f32"}))
                .code == 0);
    folio::Checkpoint checkpoint = folio::read_checkpoint(run / "checkpoint.safetensors");
    checkpoint.settings["precision"] = "bf16";
    folio::write_checkpoint(run / "checkpoint.safetensors", checkpoint);
    const Outcome lost = folio::test::folio(train(run, text, {"--resume", "--steps", "3"}), {"FOLIO_KERNELS=portable"});
    CHECK(lost.code == 2);
    CHECK(lost.err.find("--precision f32") != std::string::npos);
    const Outcome found = folio::test::folio(train(run, text, {"--resume", "--steps", "3", "--precision", "f32"}),
                                             {"FOLIO_KERNELS=portable"});
    CAPTURE(found.err);
    CHECK(found.code == 0);
}

TEST_CASE("a run that diverges ends with a sentence") {
    const TemporaryFolder folder;
    write(folder / "text", some_text());
    const Outcome outcome = folio::test::folio(
        train(folder / "run", folder / "text",
              small + std::vector<std::string>{"--lr", "1e30", "--muon-lr", "1e30", "--clip", "1e30"}));
    CAPTURE(outcome.err);
    CHECK(outcome.code == 1);
    CHECK(outcome.out.empty());
    CHECK(outcome.err.find("diverges") != std::string::npos);
}
