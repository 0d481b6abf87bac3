#pragma once

#include <string_view>

#include "core/base/parallel.h"
#include "core/ops/kernels/microkernels.h"

namespace folio::bench {

/// Throughput of loops on registers alone on all threads of `parallel`, now, in GFLOP/s, with the widest multiply-add
/// of the set (`portable`: multiply, then add); best of five. 0 for a set that it does not know.
double register_peak(std::string_view set, Precision precision, Parallel& parallel);

}  // namespace folio::bench
