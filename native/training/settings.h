#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/training/step.h"

/// A training run's settings: its options by their names on the command line, defaults filled in. They travel in its
/// checkpoint, so that a bare --resume needs none of them again.
namespace folio {

inline constexpr std::array<std::pair<const char*, ProcessKind>, 2> presets{
    {{"masked", ProcessKind::masked}, {"gpt", ProcessKind::autoregressive}}};

/// All but the sizes and the precision: the recipe of a process, and how often what is done besides.
nlohmann::json default_settings(ProcessKind process);
/// The process of a preset; the settings name one.
ProcessKind process_of(const nlohmann::json& settings);

/// The recipe that the settings spell out.
Recipe to_recipe(const nlohmann::json& settings);

/// Whether every setting is there and of its kind.
bool complete(const nlohmann::json& settings);

}  // namespace folio
