#include "core/ops/cpu/exact_ops.h"

#include <cassert>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/ops/cpu/integer_packing.h"

namespace folio {

bool same_packing(const KernelSet& a, const KernelSet& b) {
    const auto same = [](const IntegerProduct& x, const IntegerProduct& y) {
        return x.cols == y.cols && x.group == y.group && x.depth_step == y.depth_step && x.b_size == y.b_size;
    };
    return same(a.integer->u7s8, b.integer->u7s8) && same(a.integer->i16, b.integer->i16);
}

ExactOps::ExactOps(Parallel& parallel, std::span<const KernelSet* const> sets)
    : CpuOps(parallel, *sets.front(), Precision::int8), integers_(sets.front()->integer), fastest_(sets) {}

void ExactOps::take_next_set() {
    set_ = &fastest_.next();
    integers_ = set_->integer;
}

/// Every pass begins with an embedding. One of another size than those before says nothing of them: the comparison
/// begins anew.
void ExactOps::begin_pass(int rows) {
    if (fastest_.converged() || timing_) return;
    if (rows != timed_rows_) {
        fastest_.restart();
        take_next_set();
    }
    timed_rows_ = rows;
    timing_ = true;
    pass_begin_ = std::chrono::steady_clock::now();
}

Result<void> ExactOps::synchronize() {
    flush();
    if (timing_) {
        fastest_.record_time(std::chrono::duration<double>(std::chrono::steady_clock::now() - pass_begin_).count());
        take_next_set();
        timing_ = false;
    }
    if (overflow_.exchange(false))
        return fail("The model's numbers grow beyond all bounds, so its weights are no good; fetch or train it again.");
    return CpuOps::synchronize();
}

Result<void> ExactOps::pack(PackedWeight& weight, const WeightSource& values, int out, int in, bool training) {
    assert(values.s8 && values.scale && !training && in <= most_inputs);
    (void)training;
    weight.wide_input = values.wide_input;
    const Packing packing{product_of(weight), out, in};
    if (auto done = resize(weight.forward, IntegerPanels::bytes(packing)); !done) return done;
    weight.out = out;
    weight.in = in;
    const IntegerPanels packed(packing, weight.forward.as<void>());
    std::fill_n(packed.scales, packing.padded_cols(), 0.f);
    std::fill_n(packed.sums, packing.padded_cols(), 0);
    const auto lay_out = [&](auto element) {
        using Element = decltype(element);
        over_rows(out, [&](int first, int last, int) {
            for (int col = first; col < last; ++col) {
                const std::int8_t* row = values.s8 + static_cast<std::ptrdiff_t>(col) * in;
                packing.put<Element>(packed.panels, col, row);
                packed.scales[col] = values.scale[col];
                packed.sums[col] = std::accumulate(row, row + in, 0);
            }
        });
        packing.pad<Element>(packed.panels);
    };
    if (packing.product.b_size == 1)
        lay_out(std::int8_t{});
    else
        lay_out(std::int16_t{});
    return {};
}

void ExactOps::upload(void* device, const void* host, std::size_t bytes) {
    flush();
    CpuOps::upload(device, host, bytes);
}

void ExactOps::download(void* host, const void* device, std::size_t bytes) {
    flush();
    CpuOps::download(host, device, bytes);
}

void ExactOps::embed(Matrix out, const int* ids, const float* table, const float* time_table, const int* time_row,
                     int length) {
    flush();
    begin_pass(out.rows);
    CpuOps::embed(out, ids, table, time_table, time_row, length);
}

void ExactOps::embed_soft(Matrix out, Matrix weights, const float* table, const float* positions, int length) {
    flush();
    begin_pass(out.rows);
    CpuOps::embed_soft(out, weights, table, positions, length);
}

void ExactOps::add(Matrix out, Matrix a, Matrix b) {
    flush();
    CpuOps::add(out, a, b);
}

void ExactOps::linear(Matrix out, Matrix in, const PackedWeight& weight, const Epilogue& epilogue) {
    assert(in.cols == weight.in && out.cols == weight.out && in.rows == out.rows && epilogue.dropout.rate == 0);
    enqueue({RowOperation::Kind::linear, out, in, &weight, epilogue, 0, nullptr, {}});
}

void ExactOps::rms_norm(Matrix out, Matrix in, float eps) {
    enqueue({RowOperation::Kind::rms_norm, out, in, nullptr, {}, eps, nullptr, {}});
}

/// Runs the queue first, since a row needs its neighbours.
void ExactOps::local_conv(Matrix out, Matrix in, const LocalConv& conv, const int* rows) {
    flush();
    CpuOps::local_conv(out, in, conv, rows);
}

void ExactOps::rope_qk_norm(Matrix qkv, const float* rope, float* inverse_rms, const AttentionShape& heads, float eps) {
    assert(!inverse_rms);
    (void)inverse_rms;
    enqueue({RowOperation::Kind::rope_qk_norm, qkv, qkv, nullptr, {}, eps, rope, heads});
}

void ExactOps::enqueue(const RowOperation& operation) {
    if (!queue_.empty() && queue_.front().out.rows != operation.out.rows) flush();
    queue_.push_back(operation);
}

void ExactOps::flush() {
    if (queue_.empty()) return;
    const IntegerProduct& product = integers_->u7s8;
    const int rows = queue_.front().out.rows, width = parallel_.width();
    const int tiles = gemm::divide_up(rows, product.rows);
    // Equal shares of whole tiles. Where there are fewer tiles than threads, products are shared out by panels, one by
    // one.
    const bool together = tiles >= width;
    const int shares = together ? gemm::round_up(gemm::divide_up(tiles * product.rows, row_block), width) : tiles;
    const int blocks = std::min(tiles, shares), groups = together || blocks == 0 ? 1 : gemm::divide_up(width, blocks);
    const int most_rows = blocks == 0 ? 0 : gemm::divide_up(tiles, blocks) * product.rows;
    std::size_t bytes = 0;
    for (const RowOperation& operation : queue_) {
        if (operation.kind != RowOperation::Kind::linear) continue;
        const Packing packing{product_of(*operation.weight), operation.weight->out, operation.weight->in};
        bytes = std::max(bytes, QuantisedRows::bytes(packing, gemm::round_up(most_rows, packing.product.rows)));
    }
    if (rows > 0 && grow_workers(bytes)) {
        const auto first = [&](int block) { return tiles * block / blocks * product.rows; };
        const auto last = [&](int block) { return std::min(rows, first(block + 1)); };
        if (together) {
            parallel_.each(blocks, [&](int block, int worker) {
                for (const RowOperation& operation : queue_) run(operation, first(block), last(block), 0, 1, worker);
            });
        } else {
            for (const RowOperation& operation : queue_) {
                const int parts = operation.kind == RowOperation::Kind::linear ? groups : 1;
                parallel_.each(blocks * parts, [&](int index, int worker) {
                    run(operation, first(index / parts), last(index / parts), index % parts, parts, worker);
                });
            }
        }
    }
    queue_.clear();
}

void ExactOps::run(const RowOperation& operation, int first, int last, int group, int groups, int worker) {
    const Matrix &in = operation.in, &out = operation.out;
    switch (operation.kind) {
        case RowOperation::Kind::rms_norm: return norm_rows(out, in, operation.eps, first, last);
        case RowOperation::Kind::rope_qk_norm:
            return rope_norm_rows(out, operation.rope, nullptr, operation.heads, operation.eps, first, last);
        case RowOperation::Kind::linear: break;
    }
    const IntegerPanels weight({product_of(*operation.weight), operation.weight->out, operation.weight->in},
                               operation.weight->forward.as<void>());
    const Packing& packing = weight.packing;
    const IntegerProduct& product = packing.product;
    const int padded_rows = gemm::round_up(last - first, product.rows);
    const QuantisedRows a(packing, padded_rows, workers_[worker].data);
    for (int row = first; row < last; ++row) {
        char* to = a.rows + (row - first) * packing.a_stride();
        float& scale = a.scale[row - first];
        std::int32_t& zero = a.zero[row - first] = 0;
        const bool finite =
            operation.weight->wide_input
                ? quantise_wide(*integers_, reinterpret_cast<std::int16_t*>(to), &scale, in.row(row), in.cols)
                : integers_->quantise(to, &scale, &zero, in.row(row), in.cols);
        if (!finite) overflow_ = true;
        clear_tail(to, finite ? static_cast<std::size_t>(in.cols) * product.a_size : 0, packing.a_stride());
    }
    clear_tail(a.rows, (last - first) * packing.a_stride(), padded_rows * packing.a_stride());
    multiply(packing, a.rows, last - first, weight.panels, packing.panels() * group / groups,
             packing.panels() * (group + 1) / groups, a.tile,
             [&](const std::int32_t* numbers, int row, int rows, int col, int cols) {
                 const Matrix& residual = operation.epilogue.residual;
                 const bool adds = operation.epilogue.kind == Epilogue::Kind::residual;
                 integers_->dequantise(
                     out.row(first + row) + col, out.stride, numbers, product.cols, rows, cols,
                     {weight.sums + col, weight.scales + col, a.zero + row, a.scale + row, operation.epilogue.kind,
                      adds ? residual.row(first + row) + col : nullptr, residual.stride});
             });
}

}  // namespace folio
