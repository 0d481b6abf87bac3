#pragma once

#include <optional>

#include "core/evaluation/statistics.h"
#include "core/sampling/sampler.h"

namespace folio {

/// Results of sampling at one setting; passes and time are means over samples.
struct SampleResults {
    SamplingOptions options;
    TextStatistics statistics;
    std::optional<Estimate> judge;  // where a model judges too: -log p of all characters but a sample's first
    double passes = 0, passes_saved = 0, ms = 0;
    bool proofread = false;
};

}  // namespace folio
