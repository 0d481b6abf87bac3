#include "core/predict/kernel_choice.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/ops/cpu/exact_ops.h"
#include "core/predict/kernel_self_test.h"

namespace folio {

bool is_trusted(const KernelSet& kernels, Precision precision) {
    static std::vector<std::pair<const KernelSet*, Precision>> refused;
    if (std::find(refused.begin(), refused.end(), std::pair(&kernels, precision)) != refused.end()) return false;
    if (passes_self_test(kernels, precision)) return true;
    refused.emplace_back(&kernels, precision);
    return false;
}

std::span<const KernelSet* const> best_kernels(Precision precision) {
    static std::vector<const KernelSet*> found[3];
    std::vector<const KernelSet*>& sets = found[static_cast<int>(precision)];
    if (!sets.empty()) return sets;
    for (const KernelSet* set : distinct_kernels(precision)) {
        const bool joins = sets.empty() || (precision == Precision::int8 && same_packing(*set, *sets.front()));
        if (joins && is_trusted(*set, precision)) sets.push_back(set);
    }
    if (sets.empty()) sets.push_back(available_kernels().back());
    return sets;
}

}  // namespace folio
