#include "native/training/settings.h"

#include <fmt/format.h>

#include <algorithm>

namespace folio {

using nlohmann::json;

const Preset& preset_named(std::string_view name) {
    return *std::find_if(presets.begin(), presets.end() - 1, [&](const Preset& preset) { return name == preset.name; });
}

const Preset& preset_of(const json& settings) { return preset_named(settings.value("preset", presets.front().name)); }

json default_settings(const Preset& preset) {
    Recipe recipe;
    const bool masked = preset.process == ProcessKind::masked, article = preset.article;
    switch (preset.process) {
        case ProcessKind::masked: break;
        case ProcessKind::autoregressive:
            recipe.dropout = 0.2f;
            recipe.weight_decay = 0.1f;
            recipe.input_noise = 0.05f;
            break;
        case ProcessKind::gaussian:
            recipe.short_windows = article ? 0 : 0.1f;
            recipe.self_conditioning = article ? 0 : 0.5f;
            recipe.prompt_share = article ? 0 : 0.5f;
            recipe.refit_every = 1000;
            recipe.nelbo_share = 0.2f;
            if (!article) break;
            // The article's own: Adam at one rate throughout.
            recipe.steps = 20000;
            recipe.lr = 1e-4f;
            recipe.muon_lr = 0;
            recipe.beta2 = 0.999f;
            recipe.warmup = 0;
            recipe.decay = 0;
            recipe.dropout = 0.1f;
            break;
    }
    // Floats are written as the shortest decimals that name them, not as the doubles nearest to them.
    const auto number = [](float value) { return std::stod(fmt::format("{}", value)); };
    json settings{{"steps", recipe.steps},
                  {"batch", recipe.batch},
                  {"seq-len", recipe.seq_len},
                  {"lr", number(recipe.lr)},
                  {"muon-lr", number(recipe.muon_lr)},
                  {"weight-decay", number(recipe.weight_decay)},
                  {"warmup", recipe.warmup},
                  {"decay", number(recipe.decay)},
                  {"clip", number(recipe.clip)},
                  {"ema", number(recipe.ema)},
                  {"dropout", number(recipe.dropout)},
                  {"rows-per-pass", recipe.rows_per_pass},
                  {"seed", recipe.seed},
                  {"log-every", 10},
                  {"eval-every", 250},
                  {"sample-every", 1000},
                  {"checkpoint-every", 1000},
                  {"patience", 20}};
    settings["preset"] = preset.name;
    if (!article) settings["conv-radius"] = 3;
    if (masked) settings.update({{"loss", "mean"}, {"mask-rate", "beta"}});
    if (masked || (preset.process == ProcessKind::gaussian && !article))
        settings["nelbo-share"] = number(recipe.nelbo_share);
    if (preset.process == ProcessKind::autoregressive)
        settings["input-noise"] = number(recipe.input_noise);
    else
        settings["short-windows"] = number(recipe.short_windows);
    if (preset.process == ProcessKind::gaussian && !article) {
        settings["self-conditioning"] = number(recipe.self_conditioning);
        settings["known"] = number(recipe.prompt_share);
        settings["refit-every"] = recipe.refit_every;
        settings.update({{"prediction", "x0"}, {"schedule", "warped"}, {"matched-filter", "yes"}});
    }
    return settings;
}

json with_given(json settings, const json& given) {
    settings.update(given);
    // The NELBO is a mean over uniform mask rates.
    if (settings.value("loss", "") == "nelbo" && !given.contains("mask-rate")) settings["mask-rate"] = "uniform";
    return settings;
}

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

Recipe to_recipe(const json& settings) {
    const auto number = [&](const char* key) { return static_cast<float>(settings.at(key).get<double>()); };
    Recipe recipe;
    recipe.steps = settings.at("steps");
    recipe.batch = settings.at("batch");
    recipe.seq_len = settings.at("seq-len");
    recipe.lr = number("lr");
    recipe.muon_lr = number("muon-lr");
    recipe.weight_decay = number("weight-decay");
    recipe.warmup = settings.at("warmup");
    recipe.decay = number("decay");
    recipe.clip = number("clip");
    recipe.ema = number("ema");
    recipe.dropout = number("dropout");
    recipe.rows_per_pass = settings.at("rows-per-pass");
    recipe.seed = settings.at("seed");
    if (settings.contains("loss")) recipe.loss = settings["loss"] == "mean" ? MaskedLoss::mean : MaskedLoss::nelbo;
    if (settings.contains("mask-rate"))
        recipe.mask_rate = settings["mask-rate"] == "beta" ? MaskRate::beta : MaskRate::uniform;
    if (settings.contains("nelbo-share")) recipe.nelbo_share = number("nelbo-share");
    // A causal window is all shorter ones at once.
    recipe.short_windows = settings.contains("short-windows") ? number("short-windows") : 0;
    if (settings.contains("input-noise")) recipe.input_noise = number("input-noise");
    if (settings.contains("known")) {
        recipe.self_conditioning = number("self-conditioning");
        recipe.prompt_share = number("known");
        recipe.refit_every = settings.at("refit-every");
    }
    if (preset_of(settings).article) recipe.beta2 = 0.999f;
    return recipe;
}

bool complete(const json& settings) {
    if (!settings.is_object()) return false;
    json wanted = default_settings(preset_of(settings));
    wanted.update({{"n-layer", 1}, {"d-model", 1}, {"n-head", 1}, {"precision", "f32"}});
    for (const auto& [name, value] : wanted.items()) {
        const auto found = settings.find(name);
        const bool same_kind =
            found != settings.end() && (value.is_number_float() ? found->is_number()
                                        : value.is_number()     ? found->is_number_integer() && *found >= 0
                                                                : found->is_string());
        if (!same_kind) return false;
    }
    return settings.size() == wanted.size();
}

}  // namespace folio
