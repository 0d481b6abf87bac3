#include "core/ops/cpu/make_ops.h"

#include "core/ops/cpu/exact_ops.h"

namespace folio {

std::unique_ptr<CpuOps> make_ops(Parallel& parallel, std::span<const KernelSet* const> sets, Precision precision) {
    if (precision == Precision::int8) return std::make_unique<ExactOps>(parallel, sets);
    return std::make_unique<CpuOps>(parallel, *sets.front(), precision);
}

}  // namespace folio
