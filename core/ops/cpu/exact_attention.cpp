#include <algorithm>
#include <cmath>

#include "core/ops/cpu/exact_ops.h"
#include "core/ops/cpu/integer_packing.h"

namespace folio {

namespace {

/// q, k and v of one head of one sequence, row by row in qkv.
struct HeadRows {
    const Matrix& qkv;
    int first_row, column, d_model;

    const float* q(int r) const { return part(r, 0); }
    const float* k(int r) const { return part(r, 1); }
    const float* v(int r) const { return part(r, 2); }

private:
    const float* part(int r, int which) const { return qkv.row(first_row + r) + which * d_model + column; }
};

/// Packing, scales and buffer sizes that all heads of a pass share.
struct HeadLayout {
    const IntegerKernels& kernels;
    int length, dim;
    Packing keys, values;
    float factor, scale;  // q and k times factor are integers; a score times scale is a power of 2
    int block;            // queries at a time

    HeadLayout(const IntegerKernels& kernels, const AttentionShape& heads, int out_rows)
        : kernels(kernels),
          length(heads.length),
          dim(heads.head_dim),
          keys{kernels.i16, length, dim},
          values{kernels.i16, dim, length},
          factor(static_cast<float>(std::floor(32760.0 / std::sqrt(static_cast<double>(dim))))),
          scale(static_cast<float>(log2_e /
                                   (static_cast<double>(factor) * factor * std::sqrt(static_cast<double>(dim))))),
          block(std::min(gemm::round_up(64, kernels.i16.rows),
                         gemm::round_up(Queries::most(heads, out_rows), kernels.i16.rows))) {}

    std::size_t row_bytes() const { return gemm::align(sizeof(float) * length); }
    std::size_t q_bytes() const { return gemm::align(block * keys.a_stride()); }
    std::size_t v_bytes() const { return gemm::align(sizeof(std::int16_t) * length * dim); }
    std::size_t p_bytes() const { return gemm::align(block * values.a_stride()); }
    std::size_t score_bytes() const { return gemm::align(sizeof(std::int32_t) * block * keys.padded_cols()); }
    std::size_t bytes() const {
        return keys.bytes() + values.bytes() + 3 * row_bytes() + q_bytes() + v_bytes() + p_bytes() + score_bytes() +
               tile_bytes(kernels.i16);
    }
};

/// One head in a worker's memory of HeadLayout::bytes().
class IntegerHead {
public:
    IntegerHead(const HeadLayout& layout, void* memory, std::atomic<bool>& overflow)
        : layout_(layout), kernels_(layout.kernels), product_(layout.kernels.i16), overflow_(overflow) {
        gemm::Pieces pieces{static_cast<char*>(memory)};
        k_panels_ = pieces.carve<char>(layout.keys.bytes());
        v_panels_ = pieces.carve<char>(layout.values.bytes());
        value_scale_ = pieces.carve<float>(layout.row_bytes());
        scratch_ = pieces.carve<float>(layout.row_bytes());
        probability_scale_ = pieces.carve<float>(layout.row_bytes());
        q_ = pieces.carve<char>(layout.q_bytes());
        v_ = pieces.carve<std::int16_t>(layout.v_bytes());
        p_ = pieces.carve<char>(layout.p_bytes());
        scores_ = pieces.carve<std::int32_t>(layout.score_bytes());
        tile_ = pieces.carve<std::int32_t>(tile_bytes(product_));
    }

    void pack_keys(const HeadRows& rows) {
        for (int r = 0; r < layout_.length; ++r) {
            if (!kernels_.to_i16(v_, rows.k(r), layout_.dim, layout_.factor)) mark_overflow(v_);
            layout_.keys.put<std::int16_t>(k_panels_, r, v_);
        }
        layout_.keys.pad<std::int16_t>(k_panels_);
    }

    void pack_values(const HeadRows& rows) {
        const int length = layout_.length, dim = layout_.dim;
        for (int r = 0; r < length; ++r)
            if (!kernels_.quantise_value(v_ + r * dim, &value_scale_[r], rows.v(r), dim)) mark_overflow(v_ + r * dim);
        for (int r = 0; r < length; r += 2)
            layout_.values.put_pair(v_panels_, r, v_ + r * dim, r + 1 < length ? v_ + (r + 1) * dim : nullptr);
    }

    /// Converts row `r` of a block of queries.
    void set_query(int r, const float* q) {
        const std::size_t stride = layout_.keys.a_stride();
        auto* to = reinterpret_cast<std::int16_t*>(q_ + r * stride);
        if (!kernels_.to_i16(to, q, layout_.dim, layout_.factor)) mark_overflow(to);
        clear_tail(to, sizeof(std::int16_t) * layout_.dim, stride);
    }

    /// Scores of a block of `rows` queries.
    void multiply_by_keys(int rows) {
        const Packing& keys = layout_.keys;
        const std::size_t stride = keys.a_stride();
        clear_tail(q_, rows * stride, gemm::round_up(rows, product_.rows) * stride);
        for (int panel = 0; panel < keys.panels(); ++panel)
            for (int r = 0; r < rows; r += product_.rows)
                product_.tile(score_row(r) + panel * product_.cols, keys.padded_cols(), q_ + r * stride,
                              static_cast<std::ptrdiff_t>(stride), k_panels_ + panel * keys.panel_bytes(),
                              keys.padded_depth());
    }

    /// Probabilities of query `r` over its `visible` keys.
    void softmax(int r, int visible) {
        const std::size_t stride = layout_.values.a_stride();
        auto* to = reinterpret_cast<std::int16_t*>(p_ + r * stride);
        probability_scale_[r] = kernels_.softmax(to, scratch_, score_row(r), value_scale_, visible, layout_.scale);
        clear_tail(to, sizeof(std::int16_t) * visible, stride);
    }

    /// out [rows, dim] with this stride.
    void multiply_by_values(int rows, float* out, int out_stride) {
        const Packing& values = layout_.values;
        clear_tail(p_, rows * values.a_stride(), gemm::round_up(rows, product_.rows) * values.a_stride());
        multiply(values, p_, rows, v_panels_, 0, values.panels(), tile_,
                 [&](const std::int32_t* sums, int r, int count, int col, int cols) {
                     kernels_.scale_rows(out + static_cast<std::ptrdiff_t>(r) * out_stride + col, out_stride, sums,
                                         product_.cols, count, cols, probability_scale_ + r);
                 });
    }

private:
    std::int32_t* score_row(int r) const {
        return scores_ + static_cast<std::ptrdiff_t>(r) * layout_.keys.padded_cols();
    }
    /// synchronize() reports it; until then the numbers are zeros, so that no sum leaves its bounds.
    void mark_overflow(std::int16_t* numbers) {
        overflow_ = true;
        clear_tail(numbers, 0, sizeof(std::int16_t) * layout_.dim);
    }

    const HeadLayout& layout_;
    const IntegerKernels& kernels_;
    const IntegerProduct& product_;
    std::atomic<bool>& overflow_;
    char *k_panels_, *v_panels_, *q_, *p_;
    float *value_scale_, *scratch_, *probability_scale_;
    std::int16_t* v_;
    std::int32_t *scores_, *tile_;
};

}  // namespace

void ExactOps::attention(Matrix out, Matrix qkv, float* log_sum_exp, const AttentionShape& heads) {
    flush();
    if (log_sum_exp || heads.max_length > longest_integer_attention || heads.head_dim > widest_integer_head)
        return CpuOps::attention(out, qkv, log_sum_exp, heads);
    const HeadLayout layout(*integers_, heads, out.rows);
    const int length = heads.length;
    if (!grow_workers(layout.bytes())) return;
    parallel_.each(qkv.rows / length * heads.n_head, [&](int index, int worker) {
        const int sequence = index / heads.n_head, column = index % heads.n_head * heads.head_dim;
        const Queries queries(heads, out.rows, qkv.rows, sequence);
        if (queries.count == 0) return;
        const HeadRows rows{qkv, sequence * length, column, heads.n_head * heads.head_dim};
        IntegerHead head(layout, workers_[worker].data, overflow_);
        head.pack_keys(rows);
        head.pack_values(rows);
        for (int first = 0; first < queries.count; first += layout.block) {
            const int count = std::min(layout.block, queries.count - first);
            for (int r = 0; r < count; ++r) head.set_query(r, rows.q(queries.position(first + r)));
            head.multiply_by_keys(count);
            for (int r = 0; r < count; ++r) head.softmax(r, heads.causal ? queries.position(first + r) + 1 : length);
            head.multiply_by_values(count, out.row(queries.first + first) + column, out.stride);
        }
    });
}

}  // namespace folio
