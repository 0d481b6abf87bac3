#pragma once

#include <memory>
#include <string>

#include "core/ops/kernels/microkernels.h"
#include "core/ops/training_ops.h"

namespace folio {

/// All operations on one NVIDIA GPU, in order on one stream. Products multiply bf16 on the tensor cores and add in f32,
/// or are f32 throughout; all else is f32. No sum depends on timing, so a run gives the same bits whenever it is
/// repeated on one device.
class CudaOps : public Ops, public TrainingOps {
public:
    /// "NVIDIA H200".
    virtual const std::string& name() const = 0;
};

/// The first GPU; fails in one sentence where this build, its driver or the machine has none. `precision`: f32 or bf16.
Result<std::unique_ptr<CudaOps>> make_cuda_ops(Precision precision);

}  // namespace folio
