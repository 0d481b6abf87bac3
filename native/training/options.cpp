#include "native/training/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace folio {
namespace {

using nlohmann::json;

constexpr Default absent = Default::Kind::absent, by_size = Default::Kind::by_size;
constexpr bool may_change = true;
constexpr std::monostate no_member{};

constexpr PresetDefaults everywhere(Default value) { return {value, value, value, value}; }
constexpr PresetDefaults only_masked(Default value) { return {value, absent, absent, absent}; }
constexpr PresetDefaults only_gaussian(Default value) { return {absent, value, absent, absent}; }

constexpr Range share{0, 1}, learning_rate{0, 1e30}, from_0{0, 1e9}, from_1{1, 1e9};

/// In the order of the help. The numbers of PresetDefaults are those of masked, gaussian, gaussian-article and gpt.
const std::vector<TrainingOption> table = {
    {"n-layer", &ModelConfig::n_layer, Range{1, 1024}, "layers, instead of the size's", everywhere(by_size)},
    {"d-model", &ModelConfig::d_model, Range{1, 1 << 16}, "width, instead of the size's", everywhere(by_size)},
    {"n-head", &ModelConfig::n_head, Range{1, 1 << 12}, "attention heads [d_model / 64]", everywhere(by_size)},
    {"conv-radius",
     &ModelConfig::conv_radius,
     Range{0, 16},
     "reach of the convolution before each MLP, in characters; 0: none",
     {3, 3, absent, 3}},
    {"steps", &Recipe::steps, from_1, "steps in all", {.article = 20000}, may_change},
    {"batch", &Recipe::batch, Range{1, 1 << 14}, "windows per step", {}},
    {"seq-len", &Recipe::seq_len, Range{1, 1 << 14}, "characters per window", {}},
    {"lr", &Recipe::lr, learning_rate, "learning rate of AdamW: embeddings and head", {.article = 1e-4}},
    {"muon-lr",
     &Recipe::muon_lr,
     learning_rate,
     "learning rate of Muon: matrices of the blocks; 0: AdamW for all",
     {.article = 0}},
    {"weight-decay", &Recipe::weight_decay, Range{0, 1e6}, "decoupled weight decay of the matrices", {.gpt = 0.1}},
    {"dropout", &Recipe::dropout, Range{0, 0.99}, "dropout of the residual branches", {.article = 0.1, .gpt = 0.2}},
    {"ema", &Recipe::ema, Range{0, 0.9999999}, "decay of the averaged weights, which are what is saved", {}},
    {"clip", &Recipe::clip, Range{1e-6, 1e30}, "largest norm of the gradient", {}},
    {"warmup", &Recipe::warmup, from_0, "steps of rising learning rate", {.article = 0}},
    {"decay", &Recipe::decay, share, "last share of the steps, in which the learning rate falls to 0", {.article = 0}},
    {"loss", &Recipe::loss, Choices{{"mean", MaskedLoss::mean}, {"nelbo", MaskedLoss::nelbo}},
     "weight of a masked position: the same for all, or that of the NELBO", only_masked("mean")},
    {"mask-rate", &Recipe::mask_rate, Choices{{"uniform", MaskRate::uniform}, {"beta", MaskRate::beta}},
     "shares of masked characters: uniform, or Beta(2, 2), mostly about a half", only_masked("beta")},
    {"nelbo-share",
     &Recipe::nelbo_share,
     share,
     "last share of the steps that lowers the NELBO itself",
     {.gaussian = 0.2, .article = absent, .gpt = absent}},
    {"short-windows",
     &Recipe::short_windows,
     share,
     "share of the steps on shorter windows",
     {.article = 0, .gpt = absent}},
    {"input-noise",
     &Recipe::input_noise,
     share,
     "share of the input characters that are replaced by any others",
     {absent, absent, absent, 0.05}},
    {"self-conditioning", &Recipe::self_conditioning, share,
     "share of the steps that show the network its own first output", only_gaussian(0.5)},
    {"known", &Recipe::prompt_share, share, "share of the windows in which some characters are given",
     only_gaussian(0.5)},
    {"prediction", no_member, Choices{"eps", "x0"}, "what the network predicts: the noise, or the characters' logits",
     only_gaussian("x0")},
    {"schedule", no_member, Choices{"linear", "even", "warped"},
     "the article's 128 steps, or log SNR from 4 to -6: even in time, or by how fast characters are lost",
     only_gaussian("warped")},
    {"matched-filter", no_member, Choices{"yes", "no"},
     "whether log p(z | character) is added to the logits, so that the network learns context alone",
     only_gaussian("yes")},
    {"refit-every", &Recipe::refit_every, from_0, "steps between fits of the time to the loss; 0: never",
     only_gaussian(1000), may_change},
    {"rows-per-pass", &Recipe::rows_per_pass, Range{1, 1 << 24}, "positions per pass: memory", {}},
    {"seed", &Recipe::seed, Range{0, 0x1p64}, "seed", {}},
    {"checkpoint-every", no_member, from_1, "steps between checkpoints", everywhere(1000), may_change},
    {"eval-every", no_member, from_1, "steps between validations", everywhere(250), may_change},
    {"sample-every", no_member, from_0, "steps between samples; 0: none", everywhere(1000), may_change},
    {"log-every", no_member, from_1, "steps between lines of metrics.jsonl", everywhere(10), may_change},
    {"patience", no_member, from_0, "validations without a better one until the run stops; 0: never", everywhere(20),
     may_change},
};

// Settings for members of Recipe; a float is written as its shortest decimal, not as the double nearest to it.
json to_setting(float value) { return std::stod(fmt::format("{}", value)); }
json to_setting(int value) { return value; }
json to_setting(std::uint64_t value) { return value; }

}  // namespace

std::span<const TrainingOption> training_options() { return table; }

const TrainingOption* training_option(std::string_view name) {
    const auto options = training_options();
    const auto found =
        std::find_if(options.begin(), options.end(), [&](const auto& option) { return name == option.name; });
    return found == options.end() ? nullptr : &*found;
}

TrainingOption::Type TrainingOption::type() const {
    if (std::holds_alternative<Choices>(values)) return Type::word;
    if (std::holds_alternative<float Recipe::*>(member)) return Type::real;
    if (std::holds_alternative<std::uint64_t Recipe::*>(member)) return Type::seed;
    return Type::whole;
}

json TrainingOption::default_setting(const Preset& preset) const {
    const Default& value = default_of(preset);
    switch (value.kind) {
        case Default::Kind::word: return value.word;
        case Default::Kind::number: return type() == Type::real ? json(value.number) : json(std::llround(value.number));
        case Default::Kind::by_size:
        case Default::Kind::absent: return nullptr;
        case Default::Kind::recipe: break;
    }
    const auto of_recipe = [](auto of) -> json {
        if constexpr (requires { to_setting(Recipe().*of); }) return to_setting(Recipe().*of);
        return nullptr;
    };
    return std::visit(of_recipe, member);
}

bool TrainingOption::accepts(const json& setting) const {
    if (type() == Type::word) {
        return setting.is_string() && std::any_of(choices().begin(), choices().end(),
                                                  [&](const Choice& choice) { return setting == choice.word; });
    }
    const bool is_number = type() == Type::real ? setting.is_number() : setting.is_number_integer();
    return is_number && setting.get<double>() >= range().least;
}

int TrainingOption::enumerator(std::string_view word) const {
    for (const Choice& choice : choices()) {
        if (word == choice.word) return choice.value;
    }
    return choices().front().value;
}

}  // namespace folio
