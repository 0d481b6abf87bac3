#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "native/host/text_data.h"
#include "native/training/checkpoint.h"

/// The three ways in which a run begins. What cannot be ends the command with a sentence; `given` has the options of
/// the command line by name, sizes spelled out.
namespace folio {

/// Files that a run writes into its folder.
inline constexpr std::array<const char*, 4> run_files = {"checkpoint.safetensors", "metrics.jsonl", "best.safetensors",
                                                         "last.safetensors"};

struct RunStart {
    Checkpoint checkpoint;  // without kernels, precision and file of the text
    std::string origin;     // what was taken from another process's weights, as a sentence; else empty
};

/// Ends the command where a new run would replace files of another one.
void refuse_used_folder(const fs::path& folder);

/// A run with parameters of its own, which the trainer draws.
RunStart start_anew(const nlohmann::json& given, const Text& text);
/// A run with the parameters of a weights file: of the same process, or a masked or Gaussian one with those of an
/// autoregressive model. `names_heads`: --n-head or --size was given.
RunStart start_from_file(const nlohmann::json& given, bool names_heads, const std::string& path, const Text& text);
/// A run that goes on from the checkpoint in its folder.
RunStart resume_run(const nlohmann::json& given, const fs::path& folder);

}  // namespace folio
