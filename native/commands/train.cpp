#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <memory>
#include <optional>
#include <set>

#include "core/base/text.h"
#include "core/model/parameters.h"
#include "core/training/initialisation.h"
#include "core/weights/quantise.h"
#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/models.h"
#include "native/host/options.h"
#include "native/training/run.h"

namespace folio {
namespace {

using nlohmann::json;

struct Size {
    const char* name;
    int n_layer, d_model, n_head;
};
constexpr std::array<Size, 3> sizes{{{"tiny", 2, 128, 2}, {"small", 4, 256, 4}, {"base", 6, 384, 6}}};
constexpr int head_dim = 64;
constexpr int time_features = 64;

struct TrainCommand {
    json given = json::object();  // the settings on the command line, by name
    std::string out, data, init;
    std::string origin;  // of a run begun with another process's weights: what was taken, as a notice
    bool resume = false, as_json = false;
    DeviceOptions device;

    void execute();

private:
    const Preset& preset() const { return preset_of(given); }
    fs::path folder() const;
    Checkpoint fresh(const Text& text, const fs::path& folder);
    ModelConfig configure(const json& settings, int characters) const;
    void begin_anew(Checkpoint& start, const Text& text) const;
    void begin_from_file(Checkpoint& start);
    Checkpoint resumed(const fs::path& folder) const;
    void report(RunEnd end, const RunPosition& at, const fs::path& folder) const;
};

/// Files that a run writes into its folder.
constexpr std::array<const char*, 4> run_files = {"checkpoint.safetensors", "metrics.jsonl", "best.safetensors",
                                                  "last.safetensors"};

fs::path checkpoint_in(const fs::path& folder) { return folder / "checkpoint.safetensors"; }

/// A word of a command line for a shell.
std::string shell_word(const std::string& word) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
    if (word.find_first_not_of(plain) == word.npos) return word;
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    return tame(quoted + "'");
}

void set_sizes(json& settings, const Size& size) {
    settings["n-layer"] = size.n_layer;
    settings["d-model"] = size.d_model;
    settings["n-head"] = size.n_head;
}

/// Sizes that the command line gives, spelt out: --size stands for three of them, a width alone for its heads
/// too.
json spell_out_sizes(json given) {
    const json explicit_sizes = given;
    if (given.contains("size")) {
        for (const Size& size : sizes) {
            if (given["size"] == size.name) set_sizes(given, size);
        }
        given.erase("size");
        given.update(explicit_sizes);
        given.erase("size");
    }
    if (explicit_sizes.contains("d-model") && !explicit_sizes.contains("n-head")) {
        const int d_model = given["d-model"];
        if (d_model % head_dim != 0) {
            wrong_usage(
                fmt::format("--d-model {} is no multiple of {}; name the heads with --n-head", d_model, head_dim));
        }
        given["n-head"] = d_model / head_dim;
    }
    return given;
}

Checkpoint TrainCommand::fresh(const Text& text, const fs::path& folder) {
    std::error_code unknown;
    for (const char* name : run_files) {
        if (!fs::exists(fs::symlink_status(folder / name, unknown))) continue;
        const bool resumable = fs::exists(checkpoint_in(folder), unknown);
        wrong_usage(fmt::format("{} holds {} already, which this run would replace; {}choose another folder with --out",
                                quote_path(folder), name, resumable ? "go on with that run by --resume or " : ""));
    }
    Checkpoint start;
    start.settings = default_settings(preset());
    start.text_checksum = text.checksum;
    if (init.empty())
        begin_anew(start, text);
    else
        begin_from_file(start);
    return start;
}

void refuse_contradiction(const json& settings) {
    if (const std::string why = contradiction(settings); !why.empty()) wrong_usage(why);
}

/// The model that these settings and this many characters make.
ModelConfig TrainCommand::configure(const json& settings, int characters) const {
    const ProcessKind process = preset().process;
    ModelConfig config;
    config.n_layer = settings["n-layer"];
    config.d_model = settings["d-model"];
    config.n_head = settings["n-head"];
    config.seq_len = settings["seq-len"];
    config.conv_radius = settings.value("conv-radius", 0);
    config.vocab_size = characters + (process == ProcessKind::masked);
    config.causal = process == ProcessKind::autoregressive;
    if (process == ProcessKind::gaussian) {
        config.trunk = preset().article ? Trunk::article : Trunk::modern;
        config.soft_tokens = true;
        config.self_conditioning = settings.value("self-conditioning", 0.0) > 0;
        config.time_rows = time_features;
    }
    // The article's MLP is 512 wide at d_model 384.
    config.d_ff = config.trunk == Trunk::article ? config.d_model * 4 / 3 : 4 * config.d_model;
    return config;
}

void TrainCommand::begin_anew(Checkpoint& start, const Text& text) const {
    set_sizes(start.settings, sizes.back());
    start.settings = with_given(start.settings, spell_out_sizes(given));
    refuse_contradiction(start.settings);
    start.model.vocabulary = unwrap(Vocabulary::of_text(text.content));
    const int characters = start.model.vocabulary.size();
    if (characters < 2)
        stop("the text holds one character over and over, from which there is nothing to learn; give another text");
    start.model.process = to_process(start.settings, characters);
    start.model.config = configure(start.settings, characters);
    if (const auto valid = validate(start.model.config); !valid) wrong_usage(valid.error().sentence);
}

/// Settings that a model holds itself: those of its Gaussian process.
json held_settings(const ModelFile& file, const json& settings) {
    if (!settings.contains("prediction")) return json::object();
    const GaussianConfig& gaussian = file.process.gaussian;
    json held{{"prediction", name_of(gaussian.prediction)},
              {"schedule", gaussian.knots.size() == 2 ? "even" : name_of(gaussian.schedule)},
              {"matched-filter", gaussian.matched_filter ? "yes" : "no"}};
    if (!file.config.self_conditioning) held["self-conditioning"] = 0;
    return held;
}

void TrainCommand::begin_from_file(Checkpoint& start) {
    ModelFile file = load_model(init);
    if (file.exact()) file = dequantise(file);
    const ModelConfig& source = file.config;
    const bool same_process =
        file.process.kind == preset().process && (source.trunk == Trunk::article) == preset().article;
    const bool across = file.process.kind == ProcessKind::autoregressive &&
                        preset().process != ProcessKind::autoregressive && !preset().article;
    if (!same_process && !across) {
        wrong_usage(fmt::format(
            "{} holds {}, from which a run of the preset {} cannot begin; choose another --preset", quote_path(init),
            source.trunk == Trunk::article ? "the article's model"
                                           : fmt::format("a model of the kind {}", name_of(file.process.kind)),
            start.settings["preset"].get<std::string>()));
    }
    json wanted = spell_out_sizes(given);
    if (!given.contains("n-head") && !given.contains("size")) wanted.erase("n-head");
    const auto refuse_other = [&](const std::string& name, const json& value) {
        if (!wanted.contains(name) || wanted[name] == value) return;
        wrong_usage(fmt::format("{} has --{} {}, not {}; leave the option out", quote_path(init), name, value.dump(),
                                wanted[name].dump()));
    };
    const json held = same_process ? held_settings(file, start.settings) : json::object();
    for (const auto& [name, value] : held.items()) refuse_other(name, value);
    start.settings.update({{"n-layer", source.n_layer},
                           {"d-model", source.d_model},
                           {"n-head", source.n_head},
                           {"seq-len", source.seq_len}});
    start.settings.update(held);
    if (same_process && start.settings.contains("conv-radius")) start.settings["conv-radius"] = source.conv_radius;
    start.settings = with_given(start.settings, wanted);
    refuse_contradiction(start.settings);

    ModelConfig config = configure(start.settings, file.vocabulary.size());
    if (same_process) {
        config = source;
        config.n_layer = start.settings["n-layer"];
        config.d_model = start.settings["d-model"];
        config.seq_len = start.settings["seq-len"];
        config.conv_radius = start.settings.value("conv-radius", 0);
    }
    config.n_head = source.n_head;
    config.d_ff = source.d_ff;
    config.norm_eps = source.norm_eps;
    if (const auto valid = validate(config); !valid) wrong_usage(valid.error().sentence);
    auto transferred = transfer_parameters(source, file.parameters, config, start.settings["seed"]);
    if (!transferred)
        wrong_usage(fmt::format("{} does not fit the sizes that were asked for: {}; leave the sizes out",
                                quote_path(init), transferred.error().sentence));
    refuse_other("n-head", source.n_head);
    if (across) {
        std::vector<std::string> initialised = std::move(transferred->initialised);
        if (preset().process == ProcessKind::masked) initialised.emplace_back("the rows of [MASK]");
        origin = fmt::format(
            "Starting from {}: embeddings and head of its {} characters and all matrices{} are taken; new are {} and "
            "the optimizer's state.",
            quote_path(init), file.vocabulary.size(), source.conv_radius > 0 ? " and filters" : "",
            fmt::join(initialised, ", "));
        file.process = to_process(start.settings, file.vocabulary.size());
    }
    start.model = {config, file.process, std::move(file.vocabulary), {}, {}, {}, {}};
    const std::size_t count = transferred->parameters.size();
    start.state = {
        transferred->parameters, transferred->parameters, std::vector<float>(count), std::vector<float>(count), {}};
}

Checkpoint TrainCommand::resumed(const fs::path& folder) const {
    if (!init.empty()) wrong_usage("--init begins a new run and --resume goes on with one; leave one of them out");
    if (std::error_code unknown; !fs::exists(checkpoint_in(folder), unknown)) {
        stop(
            fmt::format("{} holds no checkpoint to resume from; name the run's folder with --out", quote_path(folder)));
    }
    Checkpoint start = read_checkpoint(checkpoint_in(folder));
    const json wanted = spell_out_sizes(given);
    for (const auto& [name, value] : wanted.items()) {
        // A new total of steps is how a run is prolonged, and how often to look is free; all else would make another
        // run.
        if (!start.settings.contains(name)) {
            wrong_usage(fmt::format("the preset {} has no --{}; leave it out",
                                    start.settings["preset"].get<std::string>(), name));
        }
        const bool free = name == "steps" || name == "patience" || name.ends_with("-every");
        // Whoever prolongs a run that stopped early means it.
        if (name == "steps" || name == "patience") start.position.validations_since_best = 0;
        if (!free && start.settings.value(name, json()) != value) {
            wrong_usage(fmt::format("the run in {} was begun with --{} {}; leave the option out or start another run",
                                    quote_path(folder), name, start.settings.value(name, json()).dump()));
        }
        start.settings[name] = value;
    }
    if (start.settings["steps"].get<int>() < start.position.step) {
        wrong_usage(fmt::format("the run in {} has done {} steps already; --steps is the total", quote_path(folder),
                                start.position.step));
    }
    return start;
}

/// Folder of the run: --out, else by its preset and size.
fs::path TrainCommand::folder() const {
    if (!out.empty()) return out;
    std::string size = given.value("size", "base");
    const json spelt = spell_out_sizes(given);
    if (!init.empty()) {
        size = fs::path(init).stem().string();
    } else if (given.contains("n-layer") || given.contains("d-model") || given.contains("n-head")) {
        const Size& base = sizes.back();
        size = fmt::format("{}x{}", spelt.value("n-layer", base.n_layer), spelt.value("d-model", base.d_model));
    }
    return fs::path("runs") / (given.value("preset", "masked") + "-" + size);
}

/// The outcome on stdout.
void TrainCommand::report(RunEnd end, const RunPosition& at, const fs::path& folder) const {
    if (as_json) {
        const auto best = [&]() -> json {
            if (at.best_step == 0) return nullptr;
            return {{"step", at.best_step}, {"val_nll", at.best_nll}, {"val_perplexity", std::exp(at.best_nll)}};
        };
        fmt::print("{}\n", json{{"step", at.step},
                                {"stopped_early", end == RunEnd::stopped_early},
                                {"best", best()},
                                {"elapsed_s", at.elapsed_s},
                                {"folder", folder.string()}}
                               .dump(-1, ' ', false, json::error_handler_t::replace));
    } else {
        fmt::print("{} steps in {}; best validation {:.4f} nats/character after step {}: {}\n", at.step,
                   duration(at.elapsed_s), at.best_nll, at.best_step, quote_path(folder / "best.safetensors"));
    }
}

void TrainCommand::execute() {
    const json defaults = default_settings(preset()), wanted = spell_out_sizes(given);
    for (const auto& [name, value] : wanted.items()) {
        const bool size = name == "n-layer" || name == "d-model" || name == "n-head";
        if (resume || size || defaults.contains(name)) continue;
        wrong_usage(
            fmt::format("the preset {} has no --{}; leave it out", defaults["preset"].get<std::string>(), name));
    }
    const fs::path folder = this->folder();
    const std::string shown = quote_path(folder);
    if (std::error_code unknown; resume && !fs::is_directory(folder, unknown)) {
        stop(fmt::format("there is no folder {} to resume from; name the run's folder with --out", shown));
    }
    std::optional<FolderLock> lock;
    if (resume) lock.emplace(folder);
    Text text;
    Checkpoint start;
    if (resume) {
        start = resumed(folder);
        text = find_text(data, start.text_file, start.text_checksum);
    } else {
        text = load_text(data);
        start = fresh(text, folder);
    }
    for (const char* name : run_files) refuse_overwrite(folder / name, {text.file});
    if (!text.file.empty()) start.text_file = text.file;

    const bool precise = device.precision != "auto";
    if (resume && !precise) device.precision = start.settings["precision"];
    if (resume && !precise && device.precision == "bf16" && !Device::has_bf16(device)) {
        wrong_usage(
            fmt::format("the run in {} was begun with bf16 products, which this machine does not have; go on with "
                        "--precision f32",
                        shown));
    }
    Device computer(device);
    const std::string precision = computer.precision() == Precision::bf16 ? "bf16" : "f32";
    if (resume && (start.kernels != computer.kernels() || start.settings["precision"] != precision)) {
        notice(fmt::format("The run was begun with {} products on {} kernels; with {} on {} its numbers differ.",
                           start.settings["precision"].get<std::string>(), start.kernels, precision,
                           computer.kernels()));
    }
    start.settings["precision"] = precision;
    // A GPU is filled by a whole batch; a run that moves between the two takes the other's default.
    constexpr int gpu_rows_per_pass = 1 << 16;
    if (const json usual = defaults["rows-per-pass"], &held = start.settings["rows-per-pass"];
        !given.contains("rows-per-pass")) {
        if (computer.on_gpu() && held == usual) start.settings["rows-per-pass"] = gpu_rows_per_pass;
        if (!computer.on_gpu() && held == gpu_rows_per_pass) start.settings["rows-per-pass"] = usual;
    }
    start.kernels = std::string(computer.kernels());

    const TextData characters = encode_text(text, start.model.vocabulary, init.empty() ? "" : quote_path(init));
    require_windows(characters, start.model.config.seq_len, true);
    const int steps = start.settings["steps"];
    if (start.position.step == steps) {
        notice(fmt::format("The run has all its {} steps already; prolong it with --steps.", steps));
        report(RunEnd::done, start.position, folder);
        return;
    }
    if (!resume) {
        make_folder(folder);
        lock.emplace(folder);
    }
    if (!origin.empty()) notice(origin);
    notice(fmt::format("Training {} parameters in {}: {}.", parameter_count(start.model.config), shown,
                       computer.describe()));
    TrainingRun training(computer, characters, std::move(start), folder);
    const RunEnd end = training.run();
    const RunPosition& at = training.position();
    if (end == RunEnd::interrupted) {
        notice(fmt::format("Stopped after step {}; go on with: folio train --resume --out {}{}", at.step,
                           shell_word(folder.string()), data.empty() ? "" : " --data " + shell_word(data)));
        throw Failure{130, ""};
    }
    if (end == RunEnd::stopped_early) {
        notice(fmt::format("Stopped early: no better validation since step {}.", at.best_step));
    }
    report(end, at, folder);
}

}  // namespace

void add_train(CLI::App& program) {
    CLI::App& command = add_command(program, "train", "Train a model");
    const auto options = std::make_shared<TrainCommand>();
    json& given = options->given;
    const auto integer = [&](const std::string& name, std::int64_t least, std::int64_t most, const std::string& help) {
        add_integer(
            command, "--" + name, least, most, [&given, name](std::int64_t value) { given[name] = value; }, help);
    };
    const auto number = [&](const std::string& name, double least, double most, const std::string& help) {
        add_number(
            command, "--" + name, least, most, [&given, name](double value) { given[name] = value; }, help);
    };
    const auto choice = [&](const std::string& name, std::vector<std::string> choices, const std::string& help) {
        add_choice(
            command, "--" + name, std::move(choices), [&given, name](const std::string& value) { given[name] = value; },
            help);
    };
    // What a process leaves out or sets otherwise is told of each.
    const auto help = [](const char* text, const char* name) {
        std::string values;
        std::set<std::string> different;
        for (const Preset& preset : presets) {
            const json defaults = default_settings(preset);
            if (!defaults.contains(name)) continue;
            different.insert(defaults[name].dump());
            values += fmt::format("{}{}: {}", values.empty() ? "" : ", ", preset.name, defaults[name].dump());
        }
        const bool all = different.size() == 1 && values.find(", ") != values.npos;
        return fmt::format("{} [{}]", text, all ? *different.begin() : values);
    };
    constexpr std::int64_t most_steps = 1'000'000'000;

    std::vector<std::string> names;
    for (const Preset& preset : presets) names.emplace_back(preset.name);
    choice("preset", names, "which process and recipe [masked]");
    choice("size", {"tiny", "small", "base"}, "2 x 128, 4 x 256 or 6 x 384 (layers x d_model) [base]");
    integer("n-layer", 1, 1024, "layers, instead of the size's");
    integer("d-model", 1, 1 << 16, "width, instead of the size's");
    integer("n-head", 1, 1 << 12, "attention heads [d_model / 64]");
    integer("conv-radius", 0, 16,
            help("reach of the convolution before each MLP, in characters; 0: none", "conv-radius"));
    add_name(command, "--data", options->data, "text to train on [FOLIO_DATA, else Tiny Shakespeare]");
    add_name(command, "--out", options->out, "folder of the run [runs/PRESET-SIZE]");
    integer("steps", 1, most_steps, help("steps in all", "steps"));
    integer("batch", 1, 1 << 14, help("windows per step", "batch"));
    integer("seq-len", 1, 1 << 14, help("characters per window", "seq-len"));
    number("lr", 0, 1e30, help("learning rate of AdamW: embeddings and head", "lr"));
    number("muon-lr", 0, 1e30, help("learning rate of Muon: matrices of the blocks; 0: AdamW for all", "muon-lr"));
    number("weight-decay", 0, 1e6, help("decoupled weight decay of the matrices", "weight-decay"));
    number("dropout", 0, 0.99, help("dropout of the residual branches", "dropout"));
    number("ema", 0, 0.9999999, help("decay of the averaged weights, which are what is saved", "ema"));
    number("clip", 1e-6, 1e30, help("largest norm of the gradient", "clip"));
    integer("warmup", 0, most_steps, help("steps of rising learning rate", "warmup"));
    number("decay", 0, 1, help("last share of the steps, in which the learning rate falls to 0", "decay"));
    choice("loss", {"mean", "nelbo"}, help("what a hidden place counts: all alike, or as the NELBO weighs it", "loss"));
    choice("mask-rate", {"uniform", "beta"},
           help("shares of masked characters: uniform, or Beta(2, 2), mostly about a half", "mask-rate"));
    number("nelbo-share", 0, 1, help("last share of the steps that lowers the NELBO itself", "nelbo-share"));
    number("short-windows", 0, 1, help("share of the steps on shorter windows", "short-windows"));
    number("input-noise", 0, 1, help("share of the input characters that are replaced by any others", "input-noise"));
    number("self-conditioning", 0, 1,
           help("share of the steps that show the network its own first answer", "self-conditioning"));
    number("known", 0, 1, help("share of the windows in which some characters are given", "known"));
    choice("prediction", {"eps", "x0"},
           help("what the network answers: the noise, or the characters' logits", "prediction"));
    choice("schedule", {"linear", "even", "warped"},
           help("the article's 128 steps, or log SNR from 4 to -6: even in time, or by how fast characters are lost",
                "schedule"));
    choice("matched-filter", {"yes", "no"},
           help("whether log p(z | character) is added to the logits, so that the network learns context alone",
                "matched-filter"));
    integer("refit-every", 0, most_steps, help("steps between fits of the time to the loss; 0: never", "refit-every"));
    integer("rows-per-pass", 1, 1 << 24, help("places that go through at once: memory", "rows-per-pass"));
    add_seed(
        command, "--seed", [&given](std::uint64_t value) { given["seed"] = value; }, help("seed", "seed"));
    integer("checkpoint-every", 1, most_steps, help("steps between checkpoints", "checkpoint-every"));
    integer("eval-every", 1, most_steps, help("steps between validations", "eval-every"));
    integer("sample-every", 0, most_steps, help("steps between samples; 0: none", "sample-every"));
    integer("log-every", 1, most_steps, help("steps between lines of metrics.jsonl", "log-every"));
    integer("patience", 0, most_steps,
            help("validations without a better one until the run stops; 0: never", "patience"));
    add_flag(command, "--resume", options->resume, "go on from the last checkpoint in --out");
    add_name(command, "--init", options->init, "weights file to start from");
    add_device_options(command, options->device);
    add_flag(command, "--json", options->as_json, "the outcome as JSON on stdout");
    on_call(command, [options] { options->execute(); });
}

}  // namespace folio
