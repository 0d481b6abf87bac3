#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/ops/cpu/cpu_ops.h"
#include "core/predict/host_forward.h"

namespace folio {

/// A model of one layer and a pass over it, to test and time a kernel set.
class KernelSelfTest {
public:
    struct Kind {
        /// Weights and activations at their bounds, all of them, where products come nearest to overflow; else by
        /// chance.
        bool extreme = false;
        /// A model that could see more positions than integer attention has room for, with a time embedding.
        bool wide = false;
    };
    static Result<KernelSelfTest> create(Parallel& parallel, const KernelSet& kernels, Precision precision, int d_model,
                                         int length, Kind kind);

    /// A pass; its logits stay until the next one.
    Result<void> pass();
    const std::vector<float>& logits() const { return logits_; }

private:
    std::unique_ptr<CpuOps> ops_;
    std::unique_ptr<Denoiser> denoiser_;
    std::unique_ptr<HostForward> network_;
    std::vector<int> ids_, times_;
    std::vector<float> logits_;
};

/// Largest difference between the logits of two kernel sets for one input. It is good where two correct sets can have
/// it: none in int8, else within what rounding allows. A NaN is never good.
struct Comparison {
    double largest_difference = 0;
    bool good = false;
};
Comparison compare_logits(std::span<const float> actual, std::span<const float> expected, Precision precision);

/// True if a set computes what the baseline does, in a test of every kind. Some engines and machines get an instruction
/// wrong, some only until they have compiled the code better.
bool passes_self_test(const KernelSet& kernels, Precision precision);

}  // namespace folio
