#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/model/denoiser.h"

namespace folio {

/// An autoregressive model as samplers and likelihood see it.
struct AutoregressiveModel {
    /// Denoiser::decode: the logits of the last positions of ids, whose first `n_cached` are those of the last call.
    using Decode = std::function<Result<void>(std::span<const int> ids, int n_cached, std::span<float> logits)>;

    ModelConfig config;
    Decode decode;
};

/// An autoregressive model of the same characters as a masked or Gaussian one, which rates that one's finished samples.
struct Proofreader {
    AutoregressiveModel model;
    std::vector<int> ids;  // [vocab_size of the sampled model] the character's id in `model`; -1 for [MASK]
    int newline = -1;      // id in `model` of the character that every text begins after; -1: none
};

/// Context of a prediction: the characters from position `first` to the one before the predicted one, after the start
/// character where `start` is set.
struct Context {
    int first = 0;
    bool start = false;

    friend bool operator==(const Context&, const Context&) = default;
};

/// All before the position, and with `has_start` a start character, as long as they fit into seq_len; then the window
/// goes on half its length at a time, without the start character.
Context context_of(int position, bool has_start, int seq_len);

/// The denoiser must outlive the model.
AutoregressiveModel autoregressive_model(Denoiser& denoiser);

}  // namespace folio
