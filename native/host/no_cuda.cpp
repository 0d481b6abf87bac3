#include "native/cuda/cuda_ops.h"

// In place of native/cuda where there is no CUDA toolkit.

namespace folio {

Result<std::unique_ptr<CudaOps>> make_cuda_ops(Precision) {
    return fail("This build has no CUDA; compute with --device cpu, or build where NVIDIA's toolkit is installed.");
}

}  // namespace folio
