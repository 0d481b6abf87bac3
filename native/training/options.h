#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "core/model/config.h"
#include "core/process/process_config.h"
#include "core/training/recipe.h"

/// The options of a training run. Command line, help, defaults, recipe and the settings in a checkpoint derive from one
/// table, training_options().
namespace folio {

/// Default of an option under one preset.
struct Default {
    enum class Kind {
        recipe,   // the one of Recipe
        number,   // another number
        word,     // one of the option's choices
        by_size,  // --size decides, or the weights that the run starts from
        absent    // the preset has no such option
    };

    Kind kind = Kind::recipe;
    double number = 0;
    const char* word = "";

    constexpr Default() = default;
    constexpr Default(Kind kind) : kind(kind) {}
    constexpr Default(double number) : kind(Kind::number), number(number) {}
    constexpr Default(int number) : kind(Kind::number), number(number) {}
    constexpr Default(const char* word) : kind(Kind::word), word(word) {}
};

struct PresetDefaults {
    Default masked = {}, gaussian = {}, article = {}, gpt = {};
};

struct Preset {
    const char* name;
    ProcessKind process;
    Default PresetDefaults::*defaults;
    bool article = false;  // Gaussian diffusion to the letter of the article
};
inline constexpr std::array<Preset, 4> presets{
    {{"masked", ProcessKind::masked, &PresetDefaults::masked},
     {"gaussian", ProcessKind::gaussian, &PresetDefaults::gaussian},
     {"gaussian-article", ProcessKind::gaussian, &PresetDefaults::article, true},
     {"gpt", ProcessKind::autoregressive, &PresetDefaults::gpt}}};

/// The sizes that --size names; the last one is the default.
struct ModelSize {
    const char* name;
    int n_layer, d_model, n_head;
};
inline constexpr std::array<ModelSize, 3> model_sizes{{{"tiny", 2, 128, 2}, {"small", 4, 256, 4}, {"base", 6, 384, 6}}};

/// Limits of a number.
struct Range {
    double least, most;
};

/// A word that an option takes, and the enumerator that it stands for.
struct Choice {
    const char* word;
    int value = 0;

    Choice(const char* word) : word(word) {}
    template <class Enum>
    Choice(const char* word, Enum value) : word(word), value(static_cast<int>(value)) {}
};
using Choices = std::vector<Choice>;

/// The member that an option sets; none for what decides about the process or concerns the run alone.
using TrainingMember = std::variant<std::monostate, int Recipe::*, float Recipe::*, std::uint64_t Recipe::*,
                                    MaskedLoss Recipe::*, MaskRate Recipe::*, int ModelConfig::*>;

struct TrainingOption {
    enum class Type { whole, real, seed, word };

    const char* name;  // on the command line, behind --, and in a checkpoint's settings
    TrainingMember member;
    std::variant<Range, Choices> values;
    const char* meaning;
    PresetDefaults defaults;
    bool may_change = false;  // when a run is resumed: another value makes no other run

    Type type() const;
    Range range() const { return std::get<Range>(values); }
    const Choices& choices() const { return std::get<Choices>(values); }
    bool shapes_model() const { return std::holds_alternative<int ModelConfig::*>(member); }
    const Default& default_of(const Preset& preset) const { return defaults.*preset.defaults; }
    bool belongs_to(const Preset& preset) const { return default_of(preset).kind != Default::Kind::absent; }
    /// The default as a setting; null where the preset lacks the option or the size decides.
    nlohmann::json default_setting(const Preset& preset) const;
    /// True if a setting has the option's type and is none of the values that no run can have. A setting that comes
    /// from a weights file may exceed the largest value of the command line.
    bool accepts(const nlohmann::json& setting) const;
    /// The enumerator of a word; of the first choice where there is no such word.
    int enumerator(std::string_view word) const;
};

/// All of them, in the order of the help.
std::span<const TrainingOption> training_options();
/// Null where no option has the name.
const TrainingOption* training_option(std::string_view name);

}  // namespace folio
