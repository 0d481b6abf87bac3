#pragma once

#include "core/predict/autoregressive_predictor.h"
#include "core/sampling/draw.h"
#include "core/sampling/sampler.h"

namespace folio {

/// Reveals the first unrevealed position, a pass each, seeing only what stands before it: characters given behind a gap
/// stay as they are, and have no influence on what fills the gap. `steps` has no meaning here.
///
/// The text goes on from `before` where its first character is not given. Beyond seq_len positions the model reads on
/// from half a window back, so that each character has between half a window and a whole one before it.
class AutoregressiveSampler final : public Sampler {
public:
    /// Fails as Sampler::check does, on a text that is to go into noise first, and where there is nothing to begin
    /// after.
    static Result<AutoregressiveSampler> create(AutoregressivePredictor model, SamplingRequest request);

    std::int64_t planned_steps() const override;

private:
    AutoregressiveSampler(AutoregressivePredictor model, SamplingRequest request);

    Result<void> advance() override;

    AutoregressivePredictor model_;
    std::vector<int> read_;  // what the model has read last
};

}  // namespace folio
