#include "core/ops/cpu/cpu_training_ops.h"
#include "native/host/thread_pool.h"
#include "tests/backends.h"
#include "tests/test_support.h"

namespace folio::test {

void for_each_backend(const std::function<void(const Backend&)>& f) {
    for (const Precision precision : {Precision::f32, Precision::bf16}) {
        for (const KernelSet* set : distinct_kernels(precision)) {
            for (const int width : {1, 2, 3}) {
                ThreadPool threads(width);
                CpuTrainingOps ops(threads, *set, precision);
                f({std::string(set->name) + (precision == Precision::bf16 ? " bf16" : ""), precision, ops, ops});
            }
        }
    }
}

}  // namespace folio::test
