// Attention of one head is two small products around a softmax, on the same packed product as the linear layers. Scores
// of a block of queries stay in the second cache; nothing of size length x length is kept for the backward pass.

#include <cmath>
#include <cstring>

#include "core/ops/cpu/cpu_ops.h"

namespace folio {

void CpuOps::attention(Matrix out, Matrix qkv, float* log_sum_exp, const AttentionShape& heads) {
    const int length = heads.length, dim = heads.head_dim, d_model = heads.n_head * dim;
    const int block = std::min(product_.row_block, gemm::round_up(Queries::most(heads, out.rows), product_.rows));
    const float scale = 1.f / std::sqrt(static_cast<float>(dim));
    const std::size_t k_bytes = gemm::packed_bytes(product_, length, dim),
                      v_bytes = gemm::packed_bytes(product_, dim, length);
    const std::size_t score_bytes = gemm::align(sizeof(float) * block * length);
    const std::size_t scratch_bytes =
        std::max(gemm::scratch_bytes(product_, block, dim), gemm::scratch_bytes(product_, block, length));
    const std::size_t q_bytes = gemm::align(heads.queries ? sizeof(float) * block * dim : 0);
    if (!grow_workers(k_bytes + v_bytes + score_bytes + gemm::align(sizeof(float) * block) + q_bytes + scratch_bytes))
        return;

    parallel_.each(qkv.rows / length * heads.n_head, [&](int index, int worker) {
        const int sequence = index / heads.n_head, h = index % heads.n_head;
        const Queries queries(heads, out.rows, qkv.rows, sequence);
        if (queries.count == 0) return;
        const float* q = qkv.row(sequence * length) + h * dim;
        gemm::Pieces pieces{static_cast<char*>(workers_[worker].data)};
        void* k_panels = pieces.carve(k_bytes);
        void* v_panels = pieces.carve(v_bytes);
        float* scores = pieces.carve<float>(score_bytes);
        float* inverse = pieces.carve<float>(sizeof(float) * block);
        float* chosen = pieces.carve<float>(q_bytes);
        void* scratch = pieces.carve(scratch_bytes);
        gemm::pack_all(product_, k_panels, {q + d_model, qkv.stride, 1}, length, dim);
        gemm::pack_all(product_, v_panels, {q + 2 * d_model, 1, qkv.stride}, dim, length);
        for (int first = 0; first < queries.count; first += block) {
            const int rows = std::min(block, queries.count - first);
            gemm::Operand left{q + queries.position(first) * std::ptrdiff_t{qkv.stride}, qkv.stride, 1};
            if (queries.rows) {
                for (int i = 0; i < rows; ++i)
                    std::memcpy(chosen + i * dim, q + queries.position(first + i) * std::ptrdiff_t{qkv.stride},
                                sizeof(float) * dim);
                left = {chosen, dim, 1};
            }
            gemm::multiply(product_, scratch, left, rows, k_panels, length, dim, scores, length);
            for (int i = 0; i < rows; ++i) {
                float* p = scores + static_cast<std::ptrdiff_t>(i) * length;
                const int visible = heads.causal ? queries.position(first + i) + 1 : length;
                const float total = kernels_.exp_sum(p, visible, scale, 0.f);
                std::memset(p + visible, 0, sizeof(float) * (length - visible));
                inverse[i] = 1.f / total;
                if (log_sum_exp)
                    log_sum_exp[static_cast<std::ptrdiff_t>(queries.first + first + i) * heads.n_head + h] =
                        std::log(total);
            }
            gemm::multiply_block(product_, scratch, {scores, length, 1}, rows, v_panels, dim, length, 0,
                                 gemm::panels(product_, dim),
                                 [&](const float* sums, int stride, int at, int count, int col, int width) {
                                     for (int i = 0; i < count; ++i)
                                         kernels_.scale(out.row(queries.first + first + at + i) + h * dim + col,
                                                        sums + i * stride, width, inverse[at + i]);
                                 });
        }
    });
}

}  // namespace folio
