#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/evaluation/statistics.h"

namespace folio {

/// Samples of one setting of a sampler.
struct FrontierPoint {
    std::string sampler;
    int steps = 0;
    double temperature = 0;
    TextStatistics statistics;
};

/// Cost of variety under a sampler: the judge's nats per character, less those of real text, against the entropy of a
/// sample. A panel for each sampler, all with the same scales, and in it a curve for each number of passes, through its
/// temperatures. Real text lies where the red lines cross. `caption` says what was sampled.
std::string frontier_svg(std::span<const FrontierPoint> points, const TextStatistics& real, std::string_view caption);

}  // namespace folio
