#pragma once

#include <memory>
#include <span>

#include "core/ops/cpu/cpu_ops.h"

namespace folio {

/// The operations of the first of these sets in one arithmetic; for int8 ExactOps on all of them. What is referred to
/// must outlive them.
std::unique_ptr<CpuOps> make_ops(Parallel& parallel, std::span<const KernelSet* const> sets, Precision precision);

}  // namespace folio
