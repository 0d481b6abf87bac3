#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/model/denoiser.h"
#include "core/weights/model_file.h"

namespace folio {

/// A weights file, read and checked; the end of the command where it is none.
ModelFile load_model(const std::string& path);
/// The same from a file's bytes; `path` names it in the sentence.
ModelFile parse_model(std::string_view bytes, const std::string& path);

/// A denoiser for inference out of parameters in host memory.
Denoiser make_denoiser(Ops& ops, const ModelConfig& config, std::span<const float> parameters);
Denoiser make_denoiser(Ops& ops, const ModelFile& model);

}  // namespace folio
