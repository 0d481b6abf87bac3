#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/model/config.h"
#include "core/model/parameters.h"
#include "core/process/autoregressive.h"
#include "core/process/process_config.h"
#include "core/weights/safetensors.h"
#include "core/weights/vocabulary.h"

namespace folio {

/// A model and all that it takes to use it.
struct ModelFile {
    ModelConfig config;
    ProcessConfig process;
    Vocabulary vocabulary;
    /// Record of the training, a JSON text in printable ASCII; empty where the file has none.
    std::string training;
    /// All tensors as for_each_tensor lays them out [parameter_count(config)]; of an I8 model the embeddings alone.
    std::vector<float> parameters;
    /// An I8 model's matrices and head in the same order, and a scale for each of their output channels; else empty.
    std::vector<std::int8_t> quantised;
    std::vector<float> scales;

    /// True if this is an I8 model, which runs on the exact path.
    bool exact() const { return !scales.empty(); }
    Parameters values() const {
        return {parameters.data(), exact() ? quantised.data() : nullptr, exact() ? scales.data() : nullptr};
    }
};

/// The `folio.` metadata of a model: all of it but the parameters. Checkpoints carry the same.
Metadata write_metadata(const ModelFile& model);

/// Reads `folio.` metadata into a model without parameters; other keys are ignored. Refuses whatever is
/// missing, absurd, or contradicts the rest, and the models that this version does not run.
Result<ModelFile> read_metadata(const Metadata& metadata);

/// Reads a weights file; dtypes F32, F16 and BF16, or I8 with scales for the matrices and the head. Beyond what
/// read_safetensors and read_metadata refuse: tensors that are missing, unknown or of another shape or dtype than the
/// configuration asks for, values that are not finite, and scales that are not positive.
Result<ModelFile> read_model(std::span<const std::byte> file);

/// Ids of a proofreader in `file` for samples of the model in `sampled`. Fails, in a sentence about wrong usage, where
/// `file` is not autoregressive, `sampled` is, or their characters differ.
Result<ProofreaderIds> proofreader_ids(const ModelFile& sampled, const ModelFile& file);

/// Writes a weights file of f32, f16 or i8, whatever the model is. Fails when a value is not finite, or too large for
/// f16, and when the sink does.
Result<void> write_model(const ModelFile& model, Dtype dtype, const ByteSink& sink);

}  // namespace folio
