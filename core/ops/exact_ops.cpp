#include "core/ops/exact_ops.h"

#include <cassert>
#include <cmath>
#include <cstring>
#include <numeric>
#include <type_traits>

namespace folio {
namespace {

/// Elements of B [cols, depth] as an integer product takes them: panels of [depth / group][cols][group].
struct Packing {
    const IntegerProduct& product;
    int cols, depth;

    int panels() const { return gemm::divide_up(cols, product.cols); }
    int padded_cols() const { return panels() * product.cols; }
    int padded_depth() const { return gemm::round_up(depth, product.depth_step); }
    std::size_t panel_bytes() const {
        return gemm::align(static_cast<std::size_t>(product.cols) * padded_depth() * product.b_size);
    }
    std::size_t bytes() const { return panels() * panel_bytes(); }
    std::size_t a_stride() const { return static_cast<std::size_t>(padded_depth()) * product.a_size; }

    /// Lays column `col` out, as numbers of type T.
    template <class T, class S>
    void put(void* packed, int col, const S* source) const {
        T* to = column<T>(packed, col);
        const int jump = product.cols * product.group;
        int k = 0;
        const auto whole_groups = [&](auto group) {
            for (; k + group <= depth; k += group, to += jump)
                for (int i = 0; i < group; ++i) to[i] = source[k + i];
        };
        if (product.group == 2)
            whole_groups(std::integral_constant<int, 2>());
        else
            whole_groups(std::integral_constant<int, 4>());
        for (; k < padded_depth(); k += product.group, to += jump)
            for (int i = 0; i < product.group; ++i) to[i] = k + i < depth ? static_cast<T>(source[k + i]) : T{0};
    }
    /// Lays elements k and k + 1 of all columns out, in groups of two; `second` null: zeros.
    void put_pair(void* packed, int k, const std::int16_t* first, const std::int16_t* second) const {
        for (int panel = 0; panel < panels(); ++panel) {
            const int col = panel * product.cols, here = std::min(product.cols, cols - col);
            std::int16_t* to = column<std::int16_t>(packed, col) + k * product.cols;
            for (int i = 0; i < here; ++i) {
                to[2 * i] = first[col + i];
                to[2 * i + 1] = second ? second[col + i] : std::int16_t{0};
            }
        }
    }
    /// Zeros from the last column to the end of its panel.
    template <class T>
    void pad(void* packed) const {
        for (int col = cols; col < padded_cols(); ++col) {
            T* to = column<T>(packed, col);
            for (int k = 0; k < padded_depth(); k += product.group, to += product.cols * product.group)
                std::fill_n(to, product.group, T{0});
        }
    }

private:
    template <class T>
    T* column(void* packed, int col) const {
        assert(sizeof(T) == static_cast<std::size_t>(product.b_size));
        return reinterpret_cast<T*>(static_cast<char*>(packed) + col / product.cols * panel_bytes()) +
               col % product.cols * product.group;
    }
};

/// A weight as pack() leaves it in memory: its panels, then each column's scale and sum, padded like the panels.
struct IntegerPanels {
    Packing packing;
    char* panels;
    float* scales;
    std::int32_t* sums;

    IntegerPanels(const Packing& packing, void* data) : packing(packing) {
        gemm::Pieces pieces{static_cast<char*>(data)};
        panels = pieces.carve<char>(packing.bytes());
        scales = pieces.carve<float>(sizeof(float) * packing.padded_cols());
        sums = pieces.carve<std::int32_t>(sizeof(std::int32_t) * packing.padded_cols());
    }
    static std::size_t bytes(const Packing& packing) {
        return packing.bytes() + 2 * gemm::align(sizeof(float) * packing.padded_cols());
    }
};

std::size_t tile_bytes(const IntegerProduct& product) { return sizeof(std::int32_t) * product.rows * product.cols; }

/// Scratch of a worker for a block of A, of whole tiles: its rows as u7, their scales and zeros, and the sums of a
/// tile.
struct QuantisedRows {
    char* rows;
    float* scale;
    std::int32_t *zero, *tile;

    QuantisedRows(const Packing& packing, int count, void* data) {
        gemm::Pieces pieces{static_cast<char*>(data)};
        rows = pieces.carve<char>(count * packing.a_stride());
        scale = pieces.carve<float>(sizeof(float) * count);
        zero = pieces.carve<std::int32_t>(sizeof(std::int32_t) * count);
        tile = pieces.carve<std::int32_t>(tile_bytes(packing.product));
    }
    static std::size_t bytes(const Packing& packing, int count) {
        return gemm::align(count * packing.a_stride()) + 2 * gemm::align(sizeof(float) * count) +
               tile_bytes(packing.product);
    }
};

/// One row as 16 bits, out ~ in / scale. False where a number is not finite.
bool quantise_wide(const IntegerKernels& integers, std::int16_t* out, float* scale, const float* in, int n) {
    float largest = 0;
    for (int i = 0; i < n; ++i) largest = std::max(largest, std::abs(in[i]));
    const bool nothing = !(largest >= 1e-30f);
    const auto levels = static_cast<float>(wide_levels(n));
    *scale = nothing ? 0.f : largest / levels;
    return integers.to_i16(out, in, n, nothing ? 0.f : levels / largest);
}

constexpr double log2_e = 1.4426950408889634;
constexpr int row_block = 256;  // rows whose numbers stay in the second cache

/// Calls f(sums, first_row, rows, first_col, cols) for every tile of A [rows, depth] times the panels of packed B; A's
/// rows are there up to a multiple of the tile's.
template <class F>
void multiply(const Packing& packing, const void* a, int rows, const void* packed, int first_panel, int last_panel,
              std::int32_t* sums, F&& f) {
    const IntegerProduct& product = packing.product;
    for (int panel = first_panel; panel < last_panel; ++panel) {
        const char* b = static_cast<const char*>(packed) + panel * packing.panel_bytes();
        const int col = panel * product.cols;
        const std::size_t next_bytes = panel + 1 < last_panel ? packing.panel_bytes() : 0;
        std::size_t fetched = 0;
        for (int row = 0; row < rows; row += product.rows) {
            // Each tile fetches its share of the next panel, so that weights arrive while others multiply.
            for (const std::size_t end = next_bytes * std::min(rows, row + product.rows) / rows; fetched < end;
                 fetched += 64)
                __builtin_prefetch(b + packing.panel_bytes() + fetched, 0, 2);
            product.tile(sums, product.cols, static_cast<const char*>(a) + row * packing.a_stride(),
                         static_cast<std::ptrdiff_t>(packing.a_stride()), b, packing.padded_depth());
            f(sums, row, std::min(product.rows, rows - row), col, std::min(product.cols, packing.cols - col));
        }
    }
}

/// Zeros from the end of what is used: of a row, or of the rows of a tile.
void clear_tail(void* begin, std::size_t used, std::size_t all) {
    std::memset(static_cast<char*>(begin) + used, 0, all - used);
}

}  // namespace

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
    const std::size_t bytes = IntegerPanels::bytes(packing);
    if (weight.forward.bytes() != bytes) {
        auto fresh = allocate(bytes);
        if (!fresh) return tl::unexpected(fresh.error());
        weight.forward = std::move(*fresh);
    }
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
