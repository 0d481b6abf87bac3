#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "core/ops/cpu/gemm.h"
#include "core/ops/kernels/microkernels.h"
#include "core/ops/ops.h"

namespace folio {

/// The forward operations on the CPU: blocked products and row loops over one set of micro-kernels. Work is split over
/// outputs only, so results do not depend on the number of threads; they do depend on the set and the precision.
class CpuOps : public Ops {
public:
    /// `precision` bf16 needs a set that has bf16 products. Both references must outlive the object.
    CpuOps(Parallel& parallel, const KernelSet& kernels, Precision precision);
    ~CpuOps() override;
    CpuOps(const CpuOps&) = delete;
    CpuOps& operator=(const CpuOps&) = delete;

    /// The set in use.
    const KernelSet& kernels() const { return *set_; }
    /// True if the kernel set in use is final: false while several are timed.
    virtual bool converged() const { return true; }

    Result<Storage> allocate(std::size_t bytes) override;
    void release(void* data) override;
    void upload(void* device, const void* host, std::size_t bytes) override;
    void download(void* host, const void* device, std::size_t bytes) override;
    Result<void> synchronize() override;

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

protected:
    /// Memory that only grows, so that a steady state allocates nothing.
    struct Scratch {
        void* data = nullptr;
        std::size_t bytes = 0;
    };

    /// Makes `scratch` large enough; false (and a sentence kept for synchronize) where memory is out.
    bool grow(Scratch& scratch, std::size_t bytes);
    /// The same for every worker's own scratch.
    bool grow_workers(std::size_t bytes);
    /// The product of a [rows, depth] and packed b, split over row blocks and groups of panels; `finish` as
    /// multiply_block's.
    template <class Finish>
    void product(gemm::Operand a, int rows, const void* packed, int cols, int depth, Finish&& finish);
    /// Calls f(first, last, worker) over ranges of rows.
    template <class F>
    void over_rows(int rows, F&& f);
    /// Rows [first, last) of the operations that work on each row by itself.
    void norm_rows(Matrix out, Matrix in, float eps, int first, int last);
    void rope_norm_rows(Matrix qkv, const float* rope, float* inverse_rms, const AttentionShape& heads, float eps,
                        int first, int last);

    Parallel& parallel_;
    const KernelSet* set_;
    const Microkernels& kernels_;
    const Product& product_;
    std::vector<Scratch> workers_;
    std::string failure_;
};

template <class F>
void CpuOps::over_rows(int rows, F&& f) {
    constexpr int least = 8;  // rows too few to be worth a hand-over
    const int chunk = std::max(least, gemm::divide_up(rows, 4 * parallel_.width()));
    parallel_.each(gemm::divide_up(rows, chunk),
                   [&](int i, int worker) { f(i * chunk, std::min(rows, (i + 1) * chunk), worker); });
}

template <class Finish>
void CpuOps::product(gemm::Operand a, int rows, const void* packed, int cols, int depth, Finish&& finish) {
    if (rows == 0) return;
    // Where part `i` of `parts` equal parts begins.
    const auto share = [](int all, int i, int parts) {
        return static_cast<int>(static_cast<std::int64_t>(all) * i / parts);
    };
    // Cut into groups of panels first, so that a weight is read once; into more blocks of rows where panels are few.
    const int width = parallel_.width(), jobs = width == 1 ? 1 : 2 * width;
    const int panels = gemm::panels(product_, cols), tiles = gemm::divide_up(rows, product_.rows);
    int blocks = gemm::divide_up(rows, product_.row_block), groups = std::min(panels, gemm::divide_up(jobs, blocks));
    while (groups < panels && (panels % groups != 0 || blocks * groups % width != 0)) ++groups;  // equal shares
    if (blocks * groups < jobs) blocks = std::min(tiles, gemm::divide_up(jobs, groups));
    if (!grow_workers(gemm::scratch_bytes(product_, gemm::divide_up(tiles, blocks) * product_.rows, depth))) return;
    parallel_.each(blocks * groups, [&](int index, int worker) {
        const int block = index / groups, group = index % groups;
        const int first = share(tiles, block, blocks) * product_.rows;
        const int last = std::min(rows, share(tiles, block + 1, blocks) * product_.rows);
        gemm::multiply_block(product_, workers_[worker].data, a.from_lane(first), last - first, packed, cols, depth,
                             share(panels, group, groups), share(panels, group + 1, groups),
                             [&](float* sums, int stride, int row, int count, int col, int width) {
                                 finish(sums, stride, first + row, count, col, width);
                             });
    });
}

}  // namespace folio
