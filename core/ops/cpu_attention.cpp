// Attention of one head is two small products around a softmax, on the same packed product as the linear layers. Scores of
// a block of queries stay in the second cache; nothing of size length x length is kept for the backward pass.

#include <cmath>
#include <cstring>

#include "core/ops/cpu_ops.h"

namespace folio {

void CpuOps::attention(Matrix out, Matrix qkv, float* log_sum_exp, const Heads& heads) {
    const int length = heads.length, dim = heads.head_dim, d_model = heads.n_head * dim;
    const int sequences = qkv.rows / length, queries = out.rows / sequences, known = length - queries;
    const int block = std::min(product_.row_block, gemm::round_up(queries, product_.rows));
    const float scale = 1.f / std::sqrt(static_cast<float>(dim));
    const std::size_t k_bytes = gemm::packed_bytes(product_, length, dim), v_bytes = gemm::packed_bytes(product_, dim, length);
    const std::size_t score_bytes = gemm::align(sizeof(float) * block * length);
    const std::size_t scratch_bytes = std::max(gemm::scratch_bytes(product_, block, dim), gemm::scratch_bytes(product_, block, length));
    if (!grow_workers(k_bytes + v_bytes + score_bytes + gemm::align(sizeof(float) * block) + scratch_bytes)) return;

    parallel_.each(sequences * heads.n_head, [&](int index, int worker) {
        const int sequence = index / heads.n_head, row = sequence * queries, h = index % heads.n_head;
        const float* q = qkv.row(sequence * length) + h * dim;
        gemm::Pieces pieces{static_cast<char*>(workers_[worker].data)};
        void* k_panels = pieces.take(k_bytes);
        void* v_panels = pieces.take(v_bytes);
        float* scores = pieces.take<float>(score_bytes);
        float* inverse = pieces.take<float>(sizeof(float) * block);
        void* scratch = pieces.take(scratch_bytes);
        gemm::pack_all(product_, k_panels, {q + d_model, qkv.stride, 1}, length, dim);
        gemm::pack_all(product_, v_panels, {q + 2 * d_model, 1, qkv.stride}, dim, length);
        for (int first = 0; first < queries; first += block) {
            const int rows = std::min(block, queries - first);
            gemm::multiply(product_, scratch, {q + static_cast<std::ptrdiff_t>(known + first) * qkv.stride, qkv.stride, 1}, rows, k_panels,
                     length, dim, scores, length);
            for (int i = 0; i < rows; ++i) {
                float* p = scores + static_cast<std::ptrdiff_t>(i) * length;
                const int seen = heads.causal ? known + first + i + 1 : length;
                const float total = kernels_.exp_sum(p, seen, scale, 0.f);
                std::memset(p + seen, 0, sizeof(float) * (length - seen));
                inverse[i] = 1.f / total;
                if (log_sum_exp) log_sum_exp[static_cast<std::ptrdiff_t>(row + first + i) * heads.n_head + h] = std::log(total);
            }
            gemm::multiply_block(product_, scratch, {scores, length, 1}, rows, v_panels, dim, length, 0,
                                 gemm::panels(product_, dim), [&](const float* sums, int stride, int at, int count, int col, int width) {
                                     for (int i = 0; i < count; ++i)
                                         kernels_.scale(out.row(row + first + at + i) + h * dim + col, sums + i * stride, width,
                                                        inverse[at + i]);
                                 });
        }
    });
}

}  // namespace folio
