#pragma once

#include <functional>
#include <span>

#include "core/model/denoiser.h"
#include "core/process/autoregressive.h"

namespace folio {

/// The network of an autoregressive model as samplers and likelihood see it.
struct AutoregressivePredictor {
    /// HostForward::decode: the logits of the last positions of ids, whose first `n_cached` are those of the last call.
    using Decode = std::function<Result<void>(std::span<const int> ids, int n_cached, std::span<float> logits)>;

    ModelConfig config;
    Decode decode;
};

/// The denoiser must outlive the predictor.
AutoregressivePredictor autoregressive_predictor(Denoiser& denoiser);

/// An autoregressive model of the same characters as a masked or Gaussian one, which rates that one's finished samples.
struct Proofreader : ProofreaderIds {
    AutoregressivePredictor model;
};

}  // namespace folio
