#pragma once

#include <atomic>

#include "core/ops/cpu_ops.h"

namespace folio {

/// The forward verbs in arithmetic that gives the same bits on every set of kernels and any number of threads, for models with
/// I8 weights. Products are integers: s8 weights by output channel, activations u7 by row (both rounded to nearest); in
/// attention q, k and the probabilities are i16. What stays f32 is written in one order, multiplied and added apart.
///
/// Bounds, so that no sum leaves 32 bits: 127 * 128 * inputs; |q . k| by Cauchy-Schwarz, as both have norm sqrt(head_dim) at
/// most; 2047 * 1023 * positions. A model that could see more than `longest_integer_attention` positions attends in f32.
class ExactOps final : public CpuOps {
public:
    static constexpr int most_inputs = 1 << 17;
    static constexpr int longest_integer_attention = 1024;
    static constexpr int widest_integer_head = 1024;

    ExactOps(Parallel& parallel, const KernelSet& kernels);

    /// Goes on with other kernels of the same_packing.
    void use(const KernelSet& kernels) { integers_ = kernels.integer; }

    /// Also fails where the model's numbers grew beyond f32 since the last call.
    Result<void> finish() override;
    Result<void> pack(Weight& weight, const WeightValues& values, int out, int in, bool training) override;
    void linear(Matrix out, Matrix in, const Weight& weight, const Epilogue& epilogue) override;
    void attention(Matrix out, Matrix qkv, float* log_sum_exp, const Heads& heads) override;

private:
    const IntegerKernels* integers_;
    std::atomic<bool> overflow_{false};
};

/// Whether two sets share packed weights, so that ExactOps may change between them at any time.
bool same_packing(const KernelSet& a, const KernelSet& b);

}  // namespace folio
