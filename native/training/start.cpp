#include "native/training/start.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>
#include <vector>

#include "core/training/initialisation.h"
#include "core/weights/quantise.h"
#include "native/host/failure.h"
#include "native/host/models.h"
#include "native/training/settings.h"

namespace folio {
namespace {

using nlohmann::json;

fs::path checkpoint_in(const fs::path& folder) { return folder / "checkpoint.safetensors"; }

void require_valid(const ModelConfig& config) {
    if (const auto valid = validate(config); !valid) wrong_usage(valid.error().sentence);
}

/// A weights file to begin from.
struct Source {
    std::string path;
    ModelFile file;
    bool same_process;  // as the run's; else an autoregressive model

    /// Ends the command where a run of the preset cannot begin from it.
    Source(const std::string& path, const Preset& preset);
    /// Ends the command where the user asks for another value than the file has.
    void refuse_other(const json& wanted, const std::string& name, const json& value) const;
    /// The settings of its Gaussian process, which a run of that process keeps.
    json process_settings(const json& settings) const;
    ModelConfig model_config(const json& settings) const;
    TransferredParameters transfer(const ModelConfig& config, const json& settings) const;
    std::string describe(std::vector<std::string> initialised, ProcessKind process) const;
};

Source::Source(const std::string& path, const Preset& preset) : path(path), file(load_model(path)) {
    if (file.exact()) file = dequantise(file);
    const bool article = file.config.trunk == Trunk::article;
    same_process = file.process.kind == preset.process && article == preset.article;
    const bool across = file.process.kind == ProcessKind::autoregressive &&
                        preset.process != ProcessKind::autoregressive && !preset.article;
    if (same_process || across) return;
    wrong_usage(fmt::format(
        "{} holds {}, from which a run of the preset {} cannot begin; choose another --preset", quote_path(path),
        article ? "the article's model" : fmt::format("a model of the kind {}", name_of(file.process.kind)),
        preset.name));
}

void Source::refuse_other(const json& wanted, const std::string& name, const json& value) const {
    if (!wanted.contains(name) || wanted[name] == value) return;
    wrong_usage(fmt::format("{} has --{} {}, not {}; leave the option out", quote_path(path), name, value.dump(),
                            wanted[name].dump()));
}

json Source::process_settings(const json& settings) const {
    if (!same_process || !settings.contains("prediction")) return json::object();
    const GaussianConfig& gaussian = file.process.gaussian;
    json held{{"prediction", name_of(gaussian.prediction)},
              {"schedule", gaussian.knots.size() == 2 ? "even" : name_of(gaussian.schedule)},
              {"matched-filter", gaussian.matched_filter ? "yes" : "no"}};
    if (!file.config.self_conditioning) held["self-conditioning"] = 0;
    return held;
}

ModelConfig Source::model_config(const json& settings) const {
    ModelConfig config = same_process ? file.config : to_model_config(settings, file.vocabulary.size());
    if (same_process) set_shape(config, settings);
    config.n_head = file.config.n_head;
    config.d_ff = file.config.d_ff;
    config.norm_eps = file.config.norm_eps;
    require_valid(config);
    return config;
}

TransferredParameters Source::transfer(const ModelConfig& config, const json& settings) const {
    auto transferred = transfer_parameters(file.config, file.parameters, config, settings["seed"]);
    if (!transferred) {
        wrong_usage(fmt::format("{} does not fit the sizes that were asked for: {}; leave the sizes out",
                                quote_path(path), transferred.error().sentence));
    }
    return std::move(*transferred);
}

std::string Source::describe(std::vector<std::string> initialised, ProcessKind process) const {
    if (same_process) return "";
    if (process == ProcessKind::masked) initialised.emplace_back("the rows of [MASK]");
    return fmt::format(
        "Starting from {}: embeddings and head of its {} characters and all matrices{} are taken; new are {} and "
        "the optimizer's state.",
        quote_path(path), file.vocabulary.size(), file.config.conv_radius > 0 ? " and filters" : "",
        fmt::join(initialised, ", "));
}

/// Sets the options of the command line; ends the command at one that would make another run.
void change_settings(Checkpoint& checkpoint, const json& given, const fs::path& folder) {
    for (const auto& [name, value] : given.items()) {
        require_setting(checkpoint.settings, name);
        json& setting = checkpoint.settings[name];
        const TrainingOption* option = training_option(name);
        if (setting != value && !(option && option->may_change)) {
            wrong_usage(fmt::format("the run in {} was begun with --{} {}; leave the option out or start another run",
                                    quote_path(folder), name, setting.dump()));
        }
        setting = value;
        // A run that stopped early may be prolonged on purpose: its patience begins anew.
        if (name == "steps" || name == "patience") checkpoint.position.validations_since_best = 0;
    }
}

}  // namespace

void refuse_used_folder(const fs::path& folder) {
    std::error_code unknown;
    for (const char* name : run_files) {
        if (!fs::exists(fs::symlink_status(folder / name, unknown))) continue;
        const bool resumable = fs::exists(checkpoint_in(folder), unknown);
        wrong_usage(fmt::format("{} holds {} already, which this run would replace; {}choose another folder with --out",
                                quote_path(folder), name, resumable ? "go on with that run by --resume or " : ""));
    }
}

RunStart start_anew(const json& given, const Text& text) {
    Checkpoint start;
    start.text_checksum = text.checksum;
    start.settings = default_settings(preset_of(given));
    set_size(start.settings, model_sizes.back());
    start.settings = with_given(std::move(start.settings), given);
    refuse_contradiction(start.settings);
    start.model.vocabulary = unwrap(Vocabulary::of_text(text.content));
    const int characters = start.model.vocabulary.size();
    if (characters < 2)
        stop("the text holds one character over and over, from which there is nothing to learn; give another text");
    start.model.process = to_process(start.settings, characters);
    start.model.config = to_model_config(start.settings, characters);
    require_valid(start.model.config);
    return {std::move(start), ""};
}

RunStart start_from_file(const json& given, bool names_heads, const std::string& path, const Text& text) {
    const Preset& preset = preset_of(given);
    Source source(path, preset);
    const ModelConfig& shape = source.file.config;
    Checkpoint start;
    start.text_checksum = text.checksum;
    json& settings = start.settings = default_settings(preset);

    json wanted = given;
    if (!names_heads) wanted.erase("n-head");  // what --d-model implies
    const json held = source.process_settings(settings);
    for (const auto& [name, value] : held.items()) source.refuse_other(wanted, name, value);
    settings.update(held);
    set_size(settings, {"", shape.n_layer, shape.d_model, shape.n_head});
    settings["seq-len"] = shape.seq_len;
    if (source.same_process && settings.contains("conv-radius")) settings["conv-radius"] = shape.conv_radius;
    settings = with_given(std::move(settings), wanted);
    refuse_contradiction(settings);

    const ModelConfig config = source.model_config(settings);
    const TransferredParameters transferred = source.transfer(config, settings);
    source.refuse_other(wanted, "n-head", shape.n_head);
    const std::vector<float> zeros(transferred.parameters.size());
    start.state = {transferred.parameters, transferred.parameters, zeros, zeros, {}};
    start.model.config = config;
    start.model.process =
        source.same_process ? source.file.process : to_process(settings, source.file.vocabulary.size());
    std::string origin = source.describe(transferred.initialised, preset.process);
    start.model.vocabulary = std::move(source.file.vocabulary);
    return {std::move(start), std::move(origin)};
}

RunStart resume_run(const json& given, const fs::path& folder) {
    if (std::error_code unknown; !fs::exists(checkpoint_in(folder), unknown)) {
        stop(
            fmt::format("{} holds no checkpoint to resume from; name the run's folder with --out", quote_path(folder)));
    }
    Checkpoint start = read_checkpoint(checkpoint_in(folder));
    change_settings(start, given, folder);
    if (start.settings["steps"].get<int>() < start.position.step) {
        wrong_usage(fmt::format("the run in {} has done {} steps already; --steps is the total", quote_path(folder),
                                start.position.step));
    }
    return {std::move(start), ""};
}

}  // namespace folio
