#include "native/training/settings.h"

#include <fmt/format.h>

namespace folio {

using nlohmann::json;

json default_settings(ProcessKind process) {
    Recipe recipe;
    const bool masked = process == ProcessKind::masked;
    if (!masked) {
        recipe.dropout = 0.2f;
        recipe.weight_decay = 0.1f;
        recipe.input_noise = 0.05f;
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
    for (const auto& [preset, kind] : presets)
        if (kind == process) settings["preset"] = preset;
    if (masked) {
        settings["loss"] = recipe.loss == MaskedLoss::mean ? "mean" : "nelbo";
        settings["nelbo-share"] = number(recipe.nelbo_share);
        settings["short-windows"] = number(recipe.short_windows);
    } else {
        settings["input-noise"] = number(recipe.input_noise);
    }
    return settings;
}

ProcessKind process_of(const json& settings) {
    for (const auto& [preset, process] : presets)
        if (settings.value("preset", "") == preset) return process;
    return ProcessKind::masked;
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
    if (process_of(settings) == ProcessKind::masked) {
        recipe.loss = settings.at("loss") == "mean" ? MaskedLoss::mean : MaskedLoss::nelbo;
        recipe.nelbo_share = number("nelbo-share");
        recipe.short_windows = number("short-windows");
    } else {
        recipe.short_windows = 0;  // a causal window is all shorter ones at once
        recipe.input_noise = number("input-noise");
    }
    return recipe;
}

bool complete(const json& settings) {
    if (!settings.is_object()) return false;
    json wanted = default_settings(process_of(settings));
    wanted.update({{"n-layer", 1}, {"d-model", 1}, {"n-head", 1}, {"precision", "f32"}});
    for (const auto& [name, value] : wanted.items()) {
        const auto found = settings.find(name);
        const bool same_kind = found != settings.end() && (value.is_number_float() ? found->is_number()
                                                           : value.is_number()     ? found->is_number_unsigned()
                                                                                   : found->is_string());
        if (!same_kind) return false;
    }
    return true;
}

}  // namespace folio
