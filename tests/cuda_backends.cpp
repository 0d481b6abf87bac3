#include <memory>

#include <catch2/catch.hpp>

#include "native/cuda/cuda_ops.h"
#include "tests/backends.h"

namespace folio::test {

void for_each_backend(const std::function<void(const Backend&)>& f) {
    for (const Precision precision : {Precision::f32, Precision::bf16}) {
        const auto ops = make_cuda_ops(precision);
        if (!ops) {
            WARN("Skipped: " << ops.error().sentence);
            return;
        }
        // Twice: the same bits. Emulated there is nothing that could differ.
        const int runs = (*ops)->name() == "emulated GPU" ? 1 : 2;
        for (int run = 0; run < runs; ++run)
            f({precision == Precision::f32 ? "cuda f32" : "cuda bf16", precision, **ops, **ops, 64});
    }
}

}  // namespace folio::test
