#pragma once

#include <memory>
#include <vector>

#include "core/model/denoiser.h"
#include "core/ops/cpu_ops.h"

namespace folio {

/// The operations of a set in one arithmetic: ExactOps for int8. Both references must outlive them.
std::unique_ptr<CpuOps> make_ops(Parallel& parallel, const KernelSet& kernels, Precision precision);

/// One layer with weights by chance, to see whether a set of kernels is right here, and how fast.
class Trial {
public:
    static Result<Trial> create(Parallel& parallel, const KernelSet& kernels, Precision precision, int d_model, int length);

    /// A pass; its logits stay until the next one.
    Result<void> pass();
    const std::vector<float>& logits() const { return logits_; }

private:
    std::unique_ptr<CpuOps> ops_;
    std::unique_ptr<Denoiser> denoiser_;
    std::vector<int> ids_;
    std::vector<float> logits_;
};

/// Whether a set computes what the plainest one does: the same bits in int8, else within what rounding allows. Some engines
/// and machines get an instruction wrong.
bool trustworthy(const KernelSet& kernels, Precision precision);

/// The best set that can do this arithmetic and is trustworthy.
const KernelSet& best_kernels(Precision precision);

}  // namespace folio
