#pragma once

#include <span>

#include "core/ops/kernels/microkernels.h"

namespace folio {

/// True if one of available_kernels() passes its self-test; one that failed once fails for good.
bool is_trusted(const KernelSet& kernels, Precision precision);

/// The best set that can do this arithmetic and is trusted; for int8 then all such sets of the same packing, for
/// ExactOps to choose from. Found once.
std::span<const KernelSet* const> best_kernels(Precision precision);

}  // namespace folio
