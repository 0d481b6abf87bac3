#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/model/config.h"

namespace folio {

/// Parameters as they are drawn before training: embeddings N(0, 1), linear layers with standard deviation
/// min(1, sqrt(out / in)) / sqrt(in), every c_proj and the head zero.
std::vector<float> initial_parameters(const ModelConfig& config, std::uint64_t seed);

/// Parameters to begin training with, and the tensors among them that no other model has given.
struct TransferredParameters {
    std::vector<float> parameters;
    std::vector<std::string> initialised;
};

/// Initial parameters of a model of `config`, taken where they can be from a trained one (`values`, the arena of
/// `source`), whose characters are the first ids of both: embeddings and head row by row, matrices whole. What `source`
/// lacks is drawn as initial_parameters draws it: the rows of [MASK], embeddings of time and of self-conditioning.
/// Fails with the name of the first tensor that does not fit.
Result<TransferredParameters> transfer_parameters(const ModelConfig& source, std::span<const float> values,
                                                  const ModelConfig& config, std::uint64_t seed);

}  // namespace folio
