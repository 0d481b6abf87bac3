#pragma once

#include <span>
#include <string>
#include <string_view>

#include "native/report/sample_results.h"

namespace folio {

/// Cost of variety under a sampler: the judge's nats per character, less those of real text, against the entropy of a
/// sample. A panel for each sampler, all with the same scales, and in it a curve for each number of passes, through its
/// temperatures. Real text lies where the red lines cross. `caption` says what was sampled.
std::string frontier_svg(std::span<const SampleResults> points, const TextStatistics& real, std::string_view caption);

}  // namespace folio
