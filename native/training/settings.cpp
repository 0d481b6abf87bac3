#include "native/training/settings.h"

#include <fmt/format.h>

namespace folio {

using nlohmann::json;

json default_settings() {
    const Recipe recipe;
    // Floats are written as the shortest decimals that name them, not as the doubles nearest to them.
    const auto number = [](float value) { return std::stod(fmt::format("{}", value)); };
    return {{"preset", "masked"},
            {"steps", recipe.steps},
            {"batch", recipe.batch},
            {"seq-len", recipe.seq_len},
            {"loss", recipe.loss == MaskedLoss::mean ? "mean" : "nelbo"},
            {"nelbo-share", number(recipe.nelbo_share)},
            {"lr", number(recipe.lr)},
            {"muon-lr", number(recipe.muon_lr)},
            {"weight-decay", number(recipe.weight_decay)},
            {"warmup", recipe.warmup},
            {"decay", number(recipe.decay)},
            {"clip", number(recipe.clip)},
            {"ema", number(recipe.ema)},
            {"dropout", number(recipe.dropout)},
            {"short-windows", number(recipe.short_windows)},
            {"rows-per-pass", recipe.rows_per_pass},
            {"seed", recipe.seed},
            {"log-every", 10},
            {"eval-every", 250},
            {"sample-every", 1000},
            {"checkpoint-every", 1000},
            {"patience", 20}};
}

Recipe to_recipe(const json& settings) {
    const auto number = [&](const char* key) { return static_cast<float>(settings.at(key).get<double>()); };
    Recipe recipe;
    recipe.steps = settings.at("steps");
    recipe.batch = settings.at("batch");
    recipe.seq_len = settings.at("seq-len");
    recipe.loss = settings.at("loss") == "mean" ? MaskedLoss::mean : MaskedLoss::nelbo;
    recipe.nelbo_share = number("nelbo-share");
    recipe.lr = number("lr");
    recipe.muon_lr = number("muon-lr");
    recipe.weight_decay = number("weight-decay");
    recipe.warmup = settings.at("warmup");
    recipe.decay = number("decay");
    recipe.clip = number("clip");
    recipe.ema = number("ema");
    recipe.dropout = number("dropout");
    recipe.short_windows = number("short-windows");
    recipe.rows_per_pass = settings.at("rows-per-pass");
    recipe.seed = settings.at("seed");
    return recipe;
}

bool complete(const json& settings) {
    if (!settings.is_object()) return false;
    json wanted = default_settings();
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
