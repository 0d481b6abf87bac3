#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/ops/cpu/exact_ops.h"
#include "core/ops/cpu/integer_packing.h"

namespace folio {

void ExactOps::attention(Matrix out, Matrix qkv, float* log_sum_exp, const AttentionShape& heads) {
    flush();
    if (log_sum_exp || heads.max_length > longest_integer_attention || heads.head_dim > widest_integer_head)
        return CpuOps::attention(out, qkv, log_sum_exp, heads);
    const int length = heads.length, dim = heads.head_dim, d_model = heads.n_head * dim;
    const IntegerProduct& product = integers_->i16;
    const Packing keys{product, length, dim}, values{product, dim, length};
    const float factor = static_cast<float>(std::floor(32760.0 / std::sqrt(static_cast<double>(dim))));
    const float scale =
        static_cast<float>(log2_e / (static_cast<double>(factor) * factor * std::sqrt(static_cast<double>(dim))));
    const int block =
        std::min(gemm::round_up(64, product.rows), gemm::round_up(Queries::most(heads, out.rows), product.rows));
    const int padded_keys = keys.padded_cols();

    const std::size_t row_bytes = gemm::align(sizeof(float) * length), q_bytes = gemm::align(block * keys.a_stride());
    const std::size_t v_bytes = gemm::align(sizeof(std::int16_t) * length * dim),
                      p_bytes = gemm::align(block * values.a_stride());
    const std::size_t score_bytes = gemm::align(sizeof(std::int32_t) * block * padded_keys);
    if (!grow_workers(keys.bytes() + values.bytes() + 3 * row_bytes + q_bytes + v_bytes + p_bytes + score_bytes +
                      tile_bytes(product)))
        return;
    parallel_.each(qkv.rows / length * heads.n_head, [&](int index, int worker) {
        const int sequence = index / heads.n_head, h = index % heads.n_head;
        const Queries queries(heads, out.rows, qkv.rows, sequence);
        if (queries.count == 0) return;
        gemm::Pieces pieces{static_cast<char*>(workers_[worker].data)};
        void* k_panels = pieces.carve(keys.bytes());
        void* v_panels = pieces.carve(values.bytes());
        float* value_scale = pieces.carve<float>(row_bytes);
        float* scratch = pieces.carve<float>(row_bytes);
        float* probability_scale = pieces.carve<float>(row_bytes);
        char* q = pieces.carve<char>(q_bytes);
        std::int16_t* v = pieces.carve<std::int16_t>(v_bytes);
        char* p = pieces.carve<char>(p_bytes);
        std::int32_t* scores = pieces.carve<std::int32_t>(score_bytes);
        std::int32_t* tile = pieces.carve<std::int32_t>(tile_bytes(product));
        // synchronize() will say so; until then it is as if nothing stood there, and no sum leaves its bounds.
        const auto mark_overflow = [&](std::int16_t* numbers) {
            overflow_ = true;
            clear_tail(numbers, 0, sizeof(std::int16_t) * dim);
        };
        const auto part = [&](int r, int which) { return qkv.row(sequence * length + r) + which * d_model + h * dim; };

        for (int r = 0; r < length; ++r) {
            if (!integers_->to_i16(v, part(r, 1), dim, factor)) mark_overflow(v);
            keys.put<std::int16_t>(k_panels, r, v);
        }
        keys.pad<std::int16_t>(k_panels);
        for (int r = 0; r < length; ++r)
            if (!integers_->quantise_value(v + r * dim, &value_scale[r], part(r, 2), dim)) mark_overflow(v + r * dim);
        for (int r = 0; r < length; r += 2)
            values.put_pair(v_panels, r, v + r * dim, r + 1 < length ? v + (r + 1) * dim : nullptr);

        for (int first = 0; first < queries.count; first += block) {
            const int rows = std::min(block, queries.count - first);
            for (int r = 0; r < rows; ++r) {
                auto* to = reinterpret_cast<std::int16_t*>(q + r * keys.a_stride());
                if (!integers_->to_i16(to, part(queries.position(first + r), 0), dim, factor)) mark_overflow(to);
                clear_tail(to, sizeof(std::int16_t) * dim, keys.a_stride());
            }
            const int padded_rows = gemm::round_up(rows, product.rows);
            clear_tail(q, rows * keys.a_stride(), padded_rows * keys.a_stride());
            clear_tail(p, rows * values.a_stride(), padded_rows * values.a_stride());
            for (int panel = 0; panel < keys.panels(); ++panel)
                for (int r = 0; r < rows; r += product.rows)
                    product.tile(scores + static_cast<std::ptrdiff_t>(r) * padded_keys + panel * product.cols,
                                 padded_keys, q + r * keys.a_stride(), static_cast<std::ptrdiff_t>(keys.a_stride()),
                                 static_cast<const char*>(k_panels) + panel * keys.panel_bytes(), keys.padded_depth());
            for (int r = 0; r < rows; ++r) {
                const int visible = heads.causal ? queries.position(first + r) + 1 : length;
                auto* to = reinterpret_cast<std::int16_t*>(p + r * values.a_stride());
                probability_scale[r] = integers_->softmax(
                    to, scratch, scores + static_cast<std::ptrdiff_t>(r) * padded_keys, value_scale, visible, scale);
                clear_tail(to, sizeof(std::int16_t) * visible, values.a_stride());
            }
            multiply(values, p, rows, v_panels, 0, values.panels(), tile,
                     [&](const std::int32_t* sums, int r, int count, int col, int cols) {
                         integers_->scale_rows(out.row(queries.first + first + r) + h * dim + col, out.stride, sums,
                                               product.cols, count, cols, probability_scale + r);
                     });
        }
    });
}

}  // namespace folio
