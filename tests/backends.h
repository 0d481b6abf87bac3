#pragma once

#include <functional>
#include <string>

#include "core/ops/kernels/microkernels.h"
#include "core/ops/training_ops.h"

namespace folio::test {

/// Something that computes all operations, and what its products multiply.
struct Backend {
    std::string name;
    Precision precision;
    Ops& ops;
    TrainingOps& training;
    int rounded_head = 0;  // the only width of heads that attention rounds to bf16; 0: any

    /// Precision of the matmuls within attention.
    Precision attention_precision(int head_dim) const {
        return rounded_head == 0 || head_dim == rounded_head ? precision : Precision::f32;
    }
};

/// Calls f on everything that this machine computes by: every micro-kernel set (cpu_backends.cpp) or the GPU
/// (cuda_backends.cpp), as the test is linked. A name comes more than once in a row, with other numbers of threads if
/// there are any, and must give the same bits each time.
void for_each_backend(const std::function<void(const Backend&)>& f);

}  // namespace folio::test
