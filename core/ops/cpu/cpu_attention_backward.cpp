// The scores of a head are redone from q, k and the log-sum-exp, and live in a worker's scratch.

#include <cmath>
#include <cstring>

#include "core/ops/cpu/cpu_training_ops.h"

namespace folio {

void CpuTrainingOps::attention_backward(Matrix dqkv, Matrix dout, Matrix qkv, Matrix out, const float* log_sum_exp,
                                        const AttentionShape& heads) {
    const int length = heads.length, dim = heads.head_dim, d_model = heads.n_head * dim;
    const int sequences = out.rows / length,
              block = std::min(product_.row_block, gemm::round_up(length, product_.rows));
    const float scale = 1.f / std::sqrt(static_cast<float>(dim));
    const std::size_t by_key = gemm::packed_bytes(product_, length, dim);  // B [dim, length]
    const std::size_t by_dim = gemm::packed_bytes(product_, dim, length);  // B [length, dim]
    const std::size_t square = gemm::align(sizeof(float) * length * length);
    const std::size_t scratch_bytes =
        std::max(gemm::scratch_bytes(product_, block, dim), gemm::scratch_bytes(product_, block, length));
    if (!grow_workers(2 * by_key + by_dim + 2 * square + scratch_bytes)) return;

    parallel_.each(sequences * heads.n_head, [&](int index, int worker) {
        const int row = index / heads.n_head * length, h = index % heads.n_head;
        const float *q = qkv.row(row) + h * dim, *k = q + d_model, *v = k + d_model;
        float *dq = dqkv.row(row) + h * dim, *dk = dq + d_model, *dv = dk + d_model;
        const float *d_head = dout.row(row) + h * dim, *o_head = out.row(row) + h * dim;
        gemm::Pieces pieces{static_cast<char*>(workers_[worker].data)};
        void* k_by_key = pieces.carve(by_key);
        void* v_by_key = pieces.carve(by_key);
        void* right = pieces.carve(by_dim);
        float* p = pieces.carve<float>(square);
        float* ds = pieces.carve<float>(square);
        void* scratch = pieces.carve(scratch_bytes);

        gemm::pack_all(product_, k_by_key, {k, qkv.stride, 1}, length, dim);
        gemm::pack_all(product_, v_by_key, {v, qkv.stride, 1}, length, dim);
        gemm::pack_all(product_, right, {k, 1, qkv.stride}, dim, length);
        for (int first = 0; first < length; first += block) {
            const int rows = std::min(block, length - first);
            float *p_rows = p + static_cast<std::ptrdiff_t>(first) * length,
                  *ds_rows = ds + static_cast<std::ptrdiff_t>(first) * length;
            gemm::multiply(product_, scratch, {q + static_cast<std::ptrdiff_t>(first) * qkv.stride, qkv.stride, 1},
                           rows, k_by_key, length, dim, p_rows, length);
            gemm::multiply(product_, scratch,
                           {d_head + static_cast<std::ptrdiff_t>(first) * dout.stride, dout.stride, 1}, rows, v_by_key,
                           length, dim, ds_rows, length);
            for (int i = 0; i < rows; ++i) {
                const int at = first + i, visible = heads.causal ? at + 1 : length;
                float *p_row = p_rows + static_cast<std::ptrdiff_t>(i) * length,
                      *ds_row = ds_rows + static_cast<std::ptrdiff_t>(i) * length;
                const float along = kernels_.dot(d_head + static_cast<std::ptrdiff_t>(at) * dout.stride,
                                                 o_head + static_cast<std::ptrdiff_t>(at) * out.stride, dim);
                kernels_.softmax_backward(p_row, ds_row, visible, scale,
                                          log_sum_exp[static_cast<std::ptrdiff_t>(row + at) * heads.n_head + h], along);
                std::memset(p_row + visible, 0, sizeof(float) * (length - visible));
                std::memset(ds_row + visible, 0, sizeof(float) * (length - visible));
            }
            gemm::multiply(product_, scratch, {ds_rows, length, 1}, rows, right, dim, length,
                           dq + static_cast<std::ptrdiff_t>(first) * dqkv.stride, dqkv.stride);
        }
        // dk = ds^T q and dv = p^T dout: the squares are read down their columns.
        gemm::pack_all(product_, right, {q, 1, qkv.stride}, dim, length);
        for (int first = 0; first < length; first += block)
            gemm::multiply(product_, scratch, {ds + first, 1, length}, std::min(block, length - first), right, dim,
                           length, dk + static_cast<std::ptrdiff_t>(first) * dqkv.stride, dqkv.stride);
        gemm::pack_all(product_, right, {d_head, 1, dout.stride}, dim, length);
        for (int first = 0; first < length; first += block)
            gemm::multiply(product_, scratch, {p + first, 1, length}, std::min(block, length - first), right, dim,
                           length, dv + static_cast<std::ptrdiff_t>(first) * dqkv.stride, dqkv.stride);
    });
}

}  // namespace folio
