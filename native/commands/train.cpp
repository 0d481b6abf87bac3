#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <memory>
#include <optional>
#include <set>

#include "core/base/text.h"
#include "core/model/parameters.h"
#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/options.h"
#include "native/training/run.h"
#include "native/training/settings.h"
#include "native/training/start.h"

namespace folio {
namespace {

using nlohmann::json;

struct TrainCommand {
    json given = json::object();  // the options of training_options(), --preset and --size on the command line, by name
    std::string out, data, init;
    bool resume = false, as_json = false;
    DeviceOptions device;

    void execute() const;

private:
    fs::path folder(const json& wanted) const;
    RunStart start(const json& wanted, const fs::path& folder, Text& text) const;
    DeviceOptions device_of(const Checkpoint& start, const fs::path& folder) const;
    void record_device(Checkpoint& start, const Device& computer) const;
    void conclude(RunEnd end, const RunPosition& at, const fs::path& folder) const;
    void report(RunEnd end, const RunPosition& at, const fs::path& folder) const;
};

/// A word of a command line for a shell.
std::string shell_word(const std::string& word) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
    if (word.find_first_not_of(plain) == word.npos) return word;
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    return strip_controls(quoted + "'");
}

/// Ends the command where the preset has no such option.
void require_options(const json& wanted) {
    json settings = default_settings(preset_of(wanted));
    set_size(settings, model_sizes.back());
    for (const auto& [name, value] : wanted.items()) require_setting(settings, name);
}

/// Folder of the run: --out, else by its preset and size.
fs::path TrainCommand::folder(const json& wanted) const {
    if (!out.empty()) return out;
    const ModelSize& base = model_sizes.back();
    std::string size = given.value("size", base.name);
    if (!init.empty()) {
        size = fs::path(init).stem().string();
    } else if (given.contains("n-layer") || given.contains("d-model") || given.contains("n-head")) {
        size = fmt::format("{}x{}", wanted.value("n-layer", base.n_layer), wanted.value("d-model", base.d_model));
    }
    return fs::path("runs") / fmt::format("{}-{}", preset_of(given).name, size);
}

/// Beginning of the run, and the text that it trains on.
RunStart TrainCommand::start(const json& wanted, const fs::path& folder, Text& text) const {
    if (resume) {
        if (!init.empty()) wrong_usage("--init begins a new run and --resume goes on with one; leave one of them out");
        RunStart start = resume_run(wanted, folder);
        text = find_text(data, start.checkpoint.text_file, start.checkpoint.text_checksum);
        return start;
    }
    text = load_text(data);
    refuse_used_folder(folder);
    if (init.empty()) return start_anew(wanted, text);
    return start_from_file(wanted, given.contains("n-head") || given.contains("size"), init, text);
}

/// Options of the device; a run that goes on keeps its precision unless another one is given.
DeviceOptions TrainCommand::device_of(const Checkpoint& start, const fs::path& folder) const {
    DeviceOptions options = device;
    if (!resume || options.precision != "auto") return options;
    options.precision = start.settings["precision"];
    if (options.precision == "bf16" && !Device::has_bf16(options)) {
        wrong_usage(
            fmt::format("the run in {} was begun with bf16 products, which this machine does not have; go on with "
                        "--precision f32",
                        quote_path(folder)));
    }
    return options;
}

/// Notes in the checkpoint what computes the run from here on, and says so where that is something else than before.
void TrainCommand::record_device(Checkpoint& start, const Device& computer) const {
    json& settings = start.settings;
    const std::string precision = name_of(computer.precision());
    if (resume && (start.kernels != computer.kernels() || settings["precision"] != precision)) {
        notice(fmt::format("The run was begun with {} products on {} kernels; with {} on {} its numbers differ.",
                           settings["precision"].get<std::string>(), start.kernels, precision, computer.kernels()));
    }
    settings["precision"] = precision;
    start.kernels = std::string(computer.kernels());
    if (given.contains("rows-per-pass")) return;
    // A GPU is filled by a whole batch; a run that moves between the two takes the other's default.
    constexpr int gpu_rows_per_pass = 1 << 16;
    const json usual = default_settings(preset_of(settings))["rows-per-pass"];
    json& rows = settings["rows-per-pass"];
    if (computer.on_gpu() && rows == usual) rows = gpu_rows_per_pass;
    if (!computer.on_gpu() && rows == gpu_rows_per_pass) rows = usual;
}

/// The outcome on stdout.
void TrainCommand::report(RunEnd end, const RunPosition& at, const fs::path& folder) const {
    if (!as_json) {
        fmt::print("{} steps in {}; best validation {:.4f} nats/character after step {}: {}\n", at.step,
                   duration(at.elapsed_s), at.best_nll, at.best_step, quote_path(folder / "best.safetensors"));
        return;
    }
    json best;
    if (at.best_step > 0)
        best = {{"step", at.best_step}, {"val_nll", at.best_nll}, {"val_perplexity", std::exp(at.best_nll)}};
    fmt::print("{}\n", json{{"step", at.step},
                            {"stopped_early", end == RunEnd::stopped_early},
                            {"best", best},
                            {"elapsed_s", at.elapsed_s},
                            {"folder", folder.string()}}
                           .dump(-1, ' ', false, json::error_handler_t::replace));
}

/// Tells how the run ended and reports it, or ends the command where it was interrupted.
void TrainCommand::conclude(RunEnd end, const RunPosition& at, const fs::path& folder) const {
    if (end == RunEnd::interrupted) {
        notice(fmt::format("Stopped after step {}; go on with: folio train --resume --out {}{}", at.step,
                           shell_word(folder.string()), data.empty() ? "" : " --data " + shell_word(data)));
        throw Failure{130, ""};
    }
    if (end == RunEnd::stopped_early)
        notice(fmt::format("Stopped early: no better validation since step {}.", at.best_step));
    report(end, at, folder);
}

void TrainCommand::execute() const {
    const json wanted = spell_out_sizes(given);
    if (!resume) require_options(wanted);
    const fs::path folder = this->folder(wanted);
    std::optional<FolderLock> lock;
    if (resume) {
        if (std::error_code unknown; !fs::is_directory(folder, unknown)) {
            stop(fmt::format("there is no folder {} to resume from; name the run's folder with --out",
                             quote_path(folder)));
        }
        lock.emplace(folder);
    }
    Text text;
    auto [start, origin] = this->start(wanted, folder, text);
    for (const char* name : run_files) refuse_overwrite(folder / name, {text.file});
    if (!text.file.empty()) start.text_file = text.file;
    Device computer(device_of(start, folder));
    record_device(start, computer);
    const TextData characters = encode_text(text, start.model.vocabulary, init.empty() ? "" : quote_path(init));
    require_windows(characters, start.model.config.seq_len, true);
    if (const int steps = start.settings["steps"]; start.position.step == steps) {
        notice(fmt::format("The run has all its {} steps already; prolong it with --steps.", steps));
        return report(RunEnd::done, start.position, folder);
    }
    if (!resume) {
        make_folder(folder);
        lock.emplace(folder);
    }
    if (!origin.empty()) notice(origin);
    notice(fmt::format("Training {} parameters in {}: {}.", parameter_count(start.model.config), quote_path(folder),
                       computer.describe()));
    TrainingRun training(computer, characters, std::move(start), folder);
    const RunEnd end = training.run();
    conclude(end, training.position(), folder);
}

/// Help of an option: its meaning and its default, of each preset where they differ or not all have it.
std::string help_of(const TrainingOption& option) {
    std::vector<std::string> values;
    std::set<std::string> different;
    for (const Preset& preset : presets) {
        const json value = option.default_setting(preset);
        if (value.is_null()) continue;
        different.insert(value.dump());
        values.push_back(fmt::format("{}: {}", preset.name, value.dump()));
    }
    if (values.empty()) return option.meaning;
    const bool same = different.size() == 1 && values.size() > 1;
    return fmt::format("{} [{}]", option.meaning,
                       same ? *different.begin() : fmt::format("{}", fmt::join(values, ", ")));
}

void add_training_option(CLI::App& command, const TrainingOption& option, json& given) {
    const std::string name = std::string("--") + option.name, help = help_of(option);
    const auto set = [&given, key = std::string(option.name)](const auto& value) { given[key] = value; };
    switch (option.type()) {
        case TrainingOption::Type::whole:
            return add_integer(command, name, std::llround(option.range().least), std::llround(option.range().most),
                               set, help);
        case TrainingOption::Type::real:
            return add_number(command, name, option.range().least, option.range().most, set, help);
        case TrainingOption::Type::seed: return add_seed(command, name, set, help);
        case TrainingOption::Type::word: break;
    }
    std::vector<std::string> words;
    for (const Choice& choice : option.choices()) words.emplace_back(choice.word);
    add_choice(command, name, words, set, help);
}

/// An option that names a row of a table.
template <class Table>
void add_name_of(CLI::App& command, const std::string& name, const Table& table, json& given, const std::string& help) {
    std::vector<std::string> words;
    for (const auto& row : table) words.emplace_back(row.name);
    add_choice(
        command, "--" + name, words, [&given, name](const std::string& word) { given[name] = word; }, help);
}

}  // namespace

void add_train(CLI::App& program) {
    CLI::App& command = add_command(program, "train", "Train a model");
    const auto options = std::make_shared<TrainCommand>();
    json& given = options->given;
    add_name_of(command, "preset", presets, given, "which process and recipe [masked]");
    add_name_of(command, "size", model_sizes, given, "2 x 128, 4 x 256 or 6 x 384 (layers x d_model) [base]");
    for (const TrainingOption& option : training_options())
        if (option.shapes_model()) add_training_option(command, option, given);
    add_name(command, "--data", options->data, "text to train on [FOLIO_DATA, else Tiny Shakespeare]");
    add_name(command, "--out", options->out, "folder of the run [runs/PRESET-SIZE]");
    for (const TrainingOption& option : training_options())
        if (!option.shapes_model()) add_training_option(command, option, given);
    add_flag(command, "--resume", options->resume, "go on from the last checkpoint in --out");
    add_name(command, "--init", options->init, "weights file to start from");
    add_device_options(command, options->device);
    add_flag(command, "--json", options->as_json, "the outcome as JSON on stdout");
    on_call(command, [options] { options->execute(); });
}

}  // namespace folio
