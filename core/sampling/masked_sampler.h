#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/predict/masked_predictor.h"
#include "core/process/prediction.h"
#include "core/sampling/block_sampler.h"
#include "core/sampling/draw.h"
#include "core/sampling/unmasking.h"

namespace folio {

/// Unmasks a text by any of the rules of unmasking.h. A text that goes into noise is hidden position by position, in an
/// order drawn by chance.
class MaskedSampler final : public BlockSampler {
public:
    /// Fails on ids outside the vocabulary, [MASK] among conditioned characters, edits outside the text, options out of
    /// range.
    static Result<MaskedSampler> create(MaskedPredictor model, SamplingRequest request,
                                        const Proofreader* proofreader = nullptr);

private:
    MaskedSampler(MaskedPredictor model, SamplingRequest request, const Proofreader* proofreader);

    void noise() override;
    Result<void> unmask_step() override;
    bool takes_all_passes() const override;

    MaskedPredictor model_;
    std::vector<int> noising_rank_;  // [length] the position's turn to be hidden
    // Of a pass, kept so that the next one allocates nothing.
    std::vector<int> ids_, times_;
    std::vector<Candidate> candidates_;
};

}  // namespace folio
