#pragma once

#include <functional>
#include <span>

#include "core/model/denoiser.h"
#include "core/process/process_config.h"

namespace folio {

/// The network of a masked model as samplers and bounds see it.
struct MaskedPredictor {
    /// Logits [batch, length, config.vocab_size] of ids [batch, length] at positions that hold [MASK]; those of others
    /// may stay as they were. time_row is [batch], empty where the model has no time embedding.
    using Predict = std::function<Result<void>(std::span<const int> ids, std::span<const int> time_row, int batch,
                                               int length, std::span<float> logits)>;

    ModelConfig config;
    int mask_id = 0;
    Predict predict;
};

/// The denoiser must outlive the predictor.
MaskedPredictor masked_predictor(Denoiser& denoiser, const ProcessConfig& process);

}  // namespace folio
