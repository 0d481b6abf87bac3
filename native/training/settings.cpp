#include "native/training/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/process/time_warp.h"
#include "native/host/failure.h"

namespace folio {

using nlohmann::json;

namespace {

constexpr int head_dim = 64;
constexpr int time_features = 64;

/// A contradiction among the settings, as a clause; empty where there is none.
std::string contradiction(const json& settings) {
    if (settings.value("mask-rate", "") == "beta" && settings["loss"] == "nelbo")
        return "--loss nelbo is the bound of uniform mask rates; leave --mask-rate beta out, or train the plain mean "
               "and give --nelbo-share";
    if (!settings.contains("prediction")) return "";
    const bool trains_bound = settings["nelbo-share"] > 0;
    if (settings["prediction"] == "eps" &&
        (settings["matched-filter"] == "yes" || settings["self-conditioning"] > 0 || trains_bound))
        return "--prediction eps has no probabilities; give --matched-filter no, --self-conditioning 0 and "
               "--nelbo-share 0 with it";
    if (settings["schedule"] == "linear" && (settings["refit-every"] > 0 || trains_bound))
        return "--schedule linear has its steps once for all; give --refit-every 0 and --nelbo-share 0 with it";
    return "";
}

// Members of a recipe by their settings. An option that the preset lacks is off: its number is 0 and its word the
// first.
void set_member(int& member, const TrainingOption& option, const json& settings) {
    member = settings.value(option.name, 0);
}
void set_member(float& member, const TrainingOption& option, const json& settings) {
    member = static_cast<float>(settings.value(option.name, 0.0));
}
void set_member(std::uint64_t& member, const TrainingOption& option, const json& settings) {
    member = settings.at(option.name);
}
template <class Enum>
void set_member(Enum& member, const TrainingOption& option, const json& settings) {
    member = static_cast<Enum>(option.enumerator(settings.value(option.name, "")));
}

/// Sets those members of `target`, a Recipe or a ModelConfig, that options stand for.
template <class Target>
void set_members(Target& target, const json& settings) {
    for (const TrainingOption& option : training_options()) {
        std::visit(
            [&](auto member) {
                if constexpr (requires { target.*member; }) set_member(target.*member, option, settings);
            },
            option.member);
    }
}

}  // namespace

const Preset& preset_of(const json& settings) {
    const std::string name = settings.value("preset", presets.front().name);
    return *std::find_if(presets.begin(), presets.end() - 1, [&](const Preset& preset) { return name == preset.name; });
}

json default_settings(const Preset& preset) {
    json settings{{"preset", preset.name}};
    for (const TrainingOption& option : training_options()) {
        if (json value = option.default_setting(preset); !value.is_null()) settings[option.name] = std::move(value);
    }
    return settings;
}

void set_size(json& settings, const ModelSize& size) {
    settings.update({{"n-layer", size.n_layer}, {"d-model", size.d_model}, {"n-head", size.n_head}});
}

json spell_out_sizes(json given) {
    const json explicit_sizes = given;
    for (const ModelSize& size : model_sizes) {
        if (explicit_sizes.value("size", "") == size.name) set_size(given, size);
    }
    given.update(explicit_sizes);
    given.erase("size");
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

json with_given(json settings, const json& given) {
    settings.update(given);
    // The NELBO is a mean over uniform mask rates.
    if (settings.value("loss", "") == "nelbo" && !given.contains("mask-rate")) settings["mask-rate"] = "uniform";
    return settings;
}

void require_setting(const json& settings, const std::string& name) {
    if (settings.contains(name)) return;
    wrong_usage(fmt::format("the preset {} has no --{}; leave it out", preset_of(settings).name, name));
}

void refuse_contradiction(const json& settings) {
    if (const std::string why = contradiction(settings); !why.empty()) wrong_usage(why);
}

ProcessConfig to_process(const json& settings, int characters) {
    const Preset& preset = preset_of(settings);
    ProcessConfig process{preset.process, preset.process == ProcessKind::masked ? characters : -1, {}};
    if (!settings.contains("prediction")) return process;
    GaussianConfig& gaussian = process.gaussian;
    if (settings["schedule"] != "linear")
        gaussian = settings["schedule"] == "even" ? even_gaussian() : warped_gaussian(characters);
    gaussian.prediction = settings["prediction"] == "eps" ? GaussianPrediction::eps : GaussianPrediction::x0;
    gaussian.matched_filter = settings["matched-filter"] == "yes";
    return process;
}

ModelConfig to_model_config(const json& settings, int characters) {
    const Preset& preset = preset_of(settings);
    ModelConfig config;
    set_shape(config, settings);
    config.vocab_size = characters + (preset.process == ProcessKind::masked);
    config.causal = preset.process == ProcessKind::autoregressive;
    if (preset.process == ProcessKind::gaussian) {
        config.trunk = preset.article ? Trunk::article : Trunk::modern;
        config.soft_tokens = true;
        config.self_conditioning = settings.value("self-conditioning", 0.0) > 0;
        config.time_rows = time_features;
    }
    // The article's MLP is 512 wide at d_model 384.
    config.d_ff = config.trunk == Trunk::article ? config.d_model * 4 / 3 : 4 * config.d_model;
    return config;
}

void set_shape(ModelConfig& config, const json& settings) {
    set_members(config, settings);
    config.seq_len = settings.at("seq-len");
}

Recipe to_recipe(const json& settings) {
    Recipe recipe;
    set_members(recipe, settings);
    if (preset_of(settings).article) recipe.beta2 = 0.999f;  // the article's Adam
    return recipe;
}

bool is_complete(const json& settings) {
    if (!settings.is_object()) return false;
    for (const char* word : {"preset", "precision"}) {
        if (!settings.contains(word) || !settings[word].is_string()) return false;
    }
    std::size_t count = 2;
    for (const TrainingOption& option : training_options()) {
        if (!option.belongs_to(preset_of(settings))) continue;
        if (!settings.contains(option.name) || !option.accepts(settings[option.name])) return false;
        ++count;
    }
    return settings.size() == count;
}

}  // namespace folio
