#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/training/step.h"

/// A training run's settings: its options by their names on the command line, defaults filled in. They travel in its
/// checkpoint, so that a bare --resume needs none of them again.
namespace folio {

struct Preset {
    const char* name;
    ProcessKind process;
    bool article = false;  // Gaussian diffusion to the letter of the article
};
inline constexpr std::array<Preset, 4> presets{{{"masked", ProcessKind::masked},
                                                {"gaussian", ProcessKind::gaussian},
                                                {"gaussian-article", ProcessKind::gaussian, true},
                                                {"gpt", ProcessKind::autoregressive}}};

/// The preset of that name, which is one of `presets`.
const Preset& preset_named(std::string_view name);
/// All but the sizes and the precision: the recipe of a preset, and how often what is done besides.
nlohmann::json default_settings(const Preset& preset);
/// The preset that the settings name, `masked` where they name none.
const Preset& preset_of(const nlohmann::json& settings);

/// `settings` with those that the user gave and those that these imply.
nlohmann::json with_given(nlohmann::json settings, const nlohmann::json& given);

/// A contradiction among the settings, as a clause; empty where there is none.
std::string contradiction(const nlohmann::json& settings);
/// The process of the settings, for texts of `characters` different ones.
ProcessConfig to_process(const nlohmann::json& settings, int characters);
/// The recipe that the settings spell out.
Recipe to_recipe(const nlohmann::json& settings);

/// True if `settings` holds every setting with its JSON type, and nothing else.
bool complete(const nlohmann::json& settings);

}  // namespace folio
