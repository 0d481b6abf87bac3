#pragma once

#include <atomic>
#include <chrono>
#include <vector>

#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/kernels/kernel_race.h"

namespace folio {

/// The forward operations in arithmetic that gives the same bits on every set of kernels and any number of threads, for
/// models with I8 weights. Products are integers: s8 weights by output channel, activations u7 by row (both rounded to
/// nearest), or i16 where the weight has a wide input; in attention q, k and the probabilities are i16. What stays f32
/// is written in one order, multiplied and added apart.
///
/// Bounds, so that no sum leaves 32 bits: 127 * 128 * inputs; wide_levels() * 128 * inputs; |q . k| by Cauchy-Schwarz,
/// as both have norm sqrt(head_dim) at most; 2047 * 1023 * positions. A model that could see more than
/// `longest_integer_attention` positions attends in f32.
///
/// Operations on single rows (linear, rms_norm, rope_qk_norm) are queued until one needs all rows; then every
/// thread takes its rows through all of it, so that threads meet twice a layer and a row's numbers stay near.
class ExactOps final : public CpuOps {
public:
    static constexpr int most_inputs = 1 << 17;
    static constexpr int longest_integer_attention = 1024;
    static constexpr int widest_integer_head = 1024;

    /// Sets of the same_packing, best first; of several, timing the first passes shows which one is the fastest here.
    ExactOps(Parallel& parallel, std::span<const KernelSet* const> sets);

    bool converged() const override { return fastest_.converged(); }
    /// Also fails where the model's numbers grew beyond f32 since the last call.
    Result<void> synchronize() override;
    void upload(void* device, const void* host, std::size_t bytes) override;
    void download(void* host, const void* device, std::size_t bytes) override;
    Result<void> pack(PackedWeight& weight, const WeightSource& values, int out, int in, bool training) override;
    void embed(Matrix out, const int* ids, const float* table, const float* time_table, const int* time_row,
               int length) override;
    void embed_soft(Matrix out, Matrix weights, const float* table, const float* positions, int length) override;
    void add(Matrix out, Matrix a, Matrix b) override;
    void linear(Matrix out, Matrix in, const PackedWeight& weight, const Epilogue& epilogue) override;
    void rms_norm(Matrix out, Matrix in, float eps) override;
    void local_conv(Matrix out, Matrix in, const LocalConv& conv, const int* rows) override;
    void rope_qk_norm(Matrix qkv, const float* rope, float* inverse_rms, const AttentionShape& heads,
                      float eps) override;
    void attention(Matrix out, Matrix qkv, float* log_sum_exp, const AttentionShape& heads) override;

private:
    struct RowOperation {
        enum class Kind { linear, rms_norm, rope_qk_norm } kind;
        Matrix out, in;
        const PackedWeight* weight = nullptr;
        Epilogue epilogue;
        float eps = 0;
        const float* rope = nullptr;
        AttentionShape heads;
    };

    /// The integer matmul of a weight, by how its input is rounded.
    const IntegerProduct& product_of(const PackedWeight& weight) const {
        return weight.wide_input ? integers_->i16 : integers_->u7s8;
    }

    void enqueue(const RowOperation& operation);
    /// Runs the queue.
    void flush();
    /// The rows [first, last) of a piece of work; of a linear one only the panels of part `group` of `groups`.
    void run(const RowOperation& operation, int first, int last, int group, int groups, int worker);

    void begin_pass(int rows);
    void take_next_set();

    std::vector<RowOperation> queue_;
    const IntegerKernels* integers_;
    KernelRace fastest_;
    int timed_rows_ = 0;  // of the passes that are compared
    bool timing_ = false;
    std::chrono::steady_clock::time_point pass_begin_;
    std::atomic<bool> overflow_{false};
};

/// True if two sets share packed weights, so that ExactOps may change between them.
bool same_packing(const KernelSet& a, const KernelSet& b);

}  // namespace folio
