#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/model/config.h"
#include "core/process/process_config.h"
#include "core/weights/safetensors.h"
#include "core/weights/vocabulary.h"

namespace folio {

/// A model and all that it takes to use it.
struct ModelFile {
    ModelConfig config;
    ProcessConfig process;
    Vocabulary vocabulary;
    /// How it was trained, as a JSON text in printable ASCII; empty where the file does not say.
    std::string training;
    /// All tensors as for_each_tensor lays them out [parameter_count(config)].
    std::vector<float> parameters;
};

/// The `folio.` metadata of a model: all of it but the parameters. Checkpoints carry the same.
Metadata write_metadata(const ModelFile& model);

/// Reads `folio.` metadata into a model without parameters; other keys are nobody's business. Refuses whatever is missing,
/// absurd, or contradicts the rest, and the models that this version does not run.
Result<ModelFile> read_metadata(const Metadata& metadata);

/// Reads a weights file; dtypes F32, F16 and BF16. Beyond what read_safetensors and read_metadata refuse: tensors that are
/// missing, unknown or of another shape than the configuration asks for, and values that are not finite.
Result<ModelFile> read_model(std::span<const std::byte> file);

/// Writes a weights file of f32 or f16. Fails when a value is not finite, or too large for f16, and when the sink does.
Result<void> write_model(const ModelFile& model, Dtype dtype, const ByteSink& sink);

}  // namespace folio
