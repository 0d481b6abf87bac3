#pragma once

#include <functional>
#include <span>

#include "core/model/denoiser.h"

namespace folio {

/// An autoregressive model as samplers and likelihood see it.
struct AutoregressiveModel {
    /// What Denoiser::read does: the logits of the last places of ids; the first `known` ids are those of the last call.
    using Read = std::function<Result<void>(std::span<const int> ids, int known, std::span<float> logits)>;

    ModelConfig config;
    Read read;
};

/// The denoiser must outlive the model.
AutoregressiveModel autoregressive_model(Denoiser& denoiser);

}  // namespace folio
