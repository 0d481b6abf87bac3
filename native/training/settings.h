#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "native/training/options.h"

/// A training run's settings: its options by their names on the command line, defaults filled in. They travel in its
/// checkpoint, so that a bare --resume needs none of them again.
namespace folio {

/// The preset that the settings name, `masked` where they name none.
const Preset& preset_of(const nlohmann::json& settings);
/// Defaults of a preset's options, but of those that its size decides.
nlohmann::json default_settings(const Preset& preset);
/// Sets the options that a size stands for.
void set_size(nlohmann::json& settings, const ModelSize& size);

/// The command line's options with sizes spelled out: --size stands for three options, a width alone for its heads too.
nlohmann::json spell_out_sizes(nlohmann::json given);
/// `settings` with those that the user gave and those that these imply.
nlohmann::json with_given(nlohmann::json settings, const nlohmann::json& given);

/// Ends the command where the settings have none of this name.
void require_setting(const nlohmann::json& settings, const std::string& name);
/// Ends the command with the contradiction among the settings, where there is one.
void refuse_contradiction(const nlohmann::json& settings);

/// The process of the settings, for texts of `characters` different ones.
ProcessConfig to_process(const nlohmann::json& settings, int characters);
/// The model of the settings, for texts of `characters` different ones.
ModelConfig to_model_config(const nlohmann::json& settings, int characters);
/// Sets the sizes of a model that the settings have.
void set_shape(ModelConfig& config, const nlohmann::json& settings);
/// The recipe that the settings spell out.
Recipe to_recipe(const nlohmann::json& settings);

/// True if `settings` holds every setting of its preset, each with a value of its option, and nothing else.
bool is_complete(const nlohmann::json& settings);

}  // namespace folio
