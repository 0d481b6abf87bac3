#pragma once

#include <string>

#include "native/report/bench_comparison.h"

namespace folio {

/// Bars with whiskers at the quartiles, as SVG that follows the reader's light or dark.
std::string bench_chart(const BenchComparison& comparison);

}  // namespace folio
