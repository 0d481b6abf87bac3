#include <algorithm>

#include "native/cuda/device.cuh"
#include "native/cuda/reduce.cuh"
#include "native/cuda/tensor_core.cuh"

// Attention without a matrix of probabilities (Dao et al. 2022), each direction one kernel: bf16 heads of 64 on the
// tensor cores, all others by the portable kernels below. No maximum is taken, since q and k are normed (ops.h).
// Nothing is added up between blocks: in the backward pass some blocks own queries and others keys, and each redoes the
// probabilities it needs.

namespace folio::cuda {
namespace {

// ---- On the tensor cores ------------------------------------------------------------------------------------------

constexpr int width = 64;               // of a head
constexpr int tile = 64;                // queries or keys of a block, and of a turn
constexpr int tile_stride = width + 8;  // in bf16: eight rows lie in different banks
constexpr int tile_warps = 4;           // of 16 rows each
constexpr int tile_threads = tile_warps * warp_size;
constexpr int steps = width / 16;  // of depth in a product over a head
constexpr int blocks = tile / 8;   // of 8 columns in a tile

using Shared = Bf16[tile * tile_stride];
using Fragments = std::uint32_t[steps][4];  // a warp's 16 rows of a tile as a left operand
using Sums = float[blocks][4];              // a warp's 16 rows of a product

__device__ float4 load_four(const float* from, bool vector_ok) {
    return vector_ok ? __ldg(reinterpret_cast<const float4*>(from)) : float4{from[0], from[1], from[2], from[3]};
}

/// 64 rows of a head on their way to shared memory as bf16. All of a thread's loads are under way before it waits for
/// one.
class HeadTile {
public:
    /// Rows first .. first + 63, 0 from row `end` on. `from` is row 0.
    __device__ void fetch(const float* from, std::ptrdiff_t stride, int first, int end, bool vector_ok) {
        from += (first + row_) * stride + col_;
#pragma unroll
        for (int u = 0; u < units; ++u) {
            const bool inside = first + row_ + u * rows_apart < end;
            held_[u] = inside ? load_four(from + u * rows_apart * stride, vector_ok) : float4{};
        }
    }
    /// Queries first .. first + 63 of a sequence, 0 beyond its last one.
    __device__ void fetch(const float* from, std::ptrdiff_t stride, const Queries& queries, int first, bool vector_ok) {
#pragma unroll
        for (int u = 0; u < units; ++u) {
            const int i = first + row_ + u * rows_apart;
            held_[u] = i < queries.count ? load_four(from + queries.position(i) * stride + col_, vector_ok) : float4{};
        }
    }
    __device__ void put(Shared& shared) const {
#pragma unroll
        for (int u = 0; u < units; ++u) {
            *reinterpret_cast<uint2*>(shared + (row_ + u * rows_apart) * tile_stride + col_) =
                uint2{pack_bf16(held_[u].x, held_[u].y), pack_bf16(held_[u].z, held_[u].w)};
        }
    }

private:
    static constexpr int units = tile * width / 4 / tile_threads, rows_apart = tile / units;
    int row_ = static_cast<int>(threadIdx.x) / (width / 4), col_ = static_cast<int>(threadIdx.x) % (width / 4) * 4;
    float4 held_[units];
};

/// The rows of this warp.
__device__ void load_fragments(Fragments& fragments, const Shared& shared) {
    const int warp = warp_in_block(), self = lane();
#pragma unroll
    for (int s = 0; s < steps; ++s)
        load_tiles(fragments[s], shared + (16 * warp + self % 16) * tile_stride + 16 * s + self / 16 * 8);
}

/// sums [16, tile] = left [16, width] right [tile, width]^T
__device__ void scores(Sums& sums, const Fragments& left, const Shared& right) {
    const int self = lane();
#pragma unroll
    for (int n = 0; n < blocks; n += 2) {
        for (int e = 0; e < 4; ++e) sums[n][e] = sums[n + 1][e] = 0.f;
        for (int s = 0; s < steps; ++s) {
            std::uint32_t tiles[4];
            load_tiles(tiles, right + (8 * n + self % 8 + self / 16 * 8) * tile_stride + 16 * s + self / 8 % 2 * 8);
            multiply_add(sums[n], left[s], tiles[0], tiles[1]);
            multiply_add(sums[n + 1], left[s], tiles[2], tiles[3]);
        }
    }
}

/// sums [16, width] += left [16, tile] right [tile, width], left as `scores` leaves it.
__device__ void add_product(Sums& sums, const Sums& left, const Shared& right) {
    const int self = lane();
#pragma unroll
    for (int s = 0; s < steps; ++s) {
        // What a lane holds of two neighbouring blocks of sums is what it holds of a left operand.
        const std::uint32_t rounded[4] = {
            pack_bf16(left[2 * s][0], left[2 * s][1]), pack_bf16(left[2 * s][2], left[2 * s][3]),
            pack_bf16(left[2 * s + 1][0], left[2 * s + 1][1]), pack_bf16(left[2 * s + 1][2], left[2 * s + 1][3])};
        for (int n = 0; n < blocks; n += 2) {
            std::uint32_t tiles[4];
            load_tiles_transposed(tiles,
                                  right + (16 * s + self % 8 + self / 8 % 2 * 8) * tile_stride + 8 * n + self / 16 * 8);
            multiply_add(sums[n], rounded, tiles[0], tiles[1]);
            multiply_add(sums[n + 1], rounded, tiles[2], tiles[3]);
        }
    }
}

/// Calls f(row, col, value) for what a lane holds of a warp's sums; rows of the block's tile.
template <class F>
__device__ void for_each_sum(Sums& sums, F f) {
    const int warp = warp_in_block(), self = lane();
#pragma unroll
    for (int n = 0; n < blocks; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) f(16 * warp + self / 4 + e / 2 * 8, 8 * n + self % 4 * 2 + e % 2, sums[n][e]);
}

/// The sequence and head of a block.
struct HeadSlice {
    const float *q, *k, *v;
    std::ptrdiff_t first_row;  // of the sequence
    int head;

    __device__ HeadSlice(Matrix qkv, const AttentionShape& heads) : head(static_cast<int>(blockIdx.y)) {
        const int d_model = heads.n_head * heads.head_dim;
        first_row = static_cast<std::ptrdiff_t>(blockIdx.z) * heads.length;
        q = qkv.data + first_row * qkv.stride + head * heads.head_dim;
        k = q + d_model;
        v = k + d_model;
    }
};

/// A block computes 64 rows of out of one sequence and head.
__global__ void __launch_bounds__(tile_threads)
    attend(Matrix out, Matrix qkv, float* log_sum_exp, AttentionShape heads) {
    alignas(16) __shared__ Shared keys, values;
    const HeadSlice slice(qkv, heads);
    const Queries queries(heads, out.rows, qkv.rows, static_cast<int>(blockIdx.z));
    const bool vector_ok = aligned(qkv.data, qkv.stride, 0, 4);
    const int length = heads.length, first = static_cast<int>(blockIdx.x) * tile;
    if (first >= queries.count) return;
    HeadTile next_keys, next_values;
    Fragments q;
    next_keys.fetch(slice.q, qkv.stride, queries, first, vector_ok);
    next_keys.put(keys);
    __syncthreads();
    load_fragments(q, keys);
    int position[2];  // of this lane's two rows
    for (int half = 0; half < 2; ++half)
        position[half] = queries.position(min(first + warp_in_block() * 16 + lane() / 4 + 8 * half, queries.count - 1));

    const float scale = 1.f / sqrtf(static_cast<float>(width));
    Sums sums = {};
    float totals[2] = {};  // of this lane's two rows
    const int end = heads.causal ? queries.position(min(first + tile, queries.count) - 1) + 1 : length;
    for (int key = 0; key < end; key += tile) {
        next_keys.fetch(slice.k, qkv.stride, key, length, vector_ok);
        next_values.fetch(slice.v, qkv.stride, key, length, vector_ok);
        __syncthreads();  // all have read the last ones
        next_keys.put(keys);
        next_values.put(values);
        __syncthreads();
        Sums weights;
        scores(weights, q, keys);
        for_each_sum(weights, [&](int row, int col, float& weight) {
            const bool visible = key + col < length && (!heads.causal || key + col <= position[row / 8 % 2]);
            weight = visible ? expf(weight * scale) : 0.f;
            totals[row / 8 % 2] += weight;
        });
        add_product(sums, weights, values);
    }
    for (float& total : totals)  // four lanes share a row
        for (int step = 1; step < 4; step *= 2) total += __shfl_xor_sync(all_lanes, total, step);
    for_each_sum(sums, [&](int row, int col, float sum) {
        if (first + row >= queries.count) return;
        const std::ptrdiff_t r = queries.first + first + row;
        out.data[r * out.stride + slice.head * width + col] = sum / totals[row / 8 % 2];
        if (log_sum_exp && col == 0) log_sum_exp[r * heads.n_head + slice.head] = logf(totals[row / 8 % 2]);
    });
}

/// log-sum-exp and dout . out of the queries first .. first + 63 of a head, two threads a row.
__device__ void load_rows(float* shared_log, float* shared_dot, Matrix dout, Matrix out, const float* log_sum_exp,
                          const HeadSlice& slice, const AttentionShape& heads, int first, bool vector_ok) {
    static_assert(tile_threads == 2 * tile);
    const int i = static_cast<int>(threadIdx.x) / 2, half = static_cast<int>(threadIdx.x) % 2;
    const bool inside = first + i < heads.length;
    const std::ptrdiff_t r = slice.first_row + first + i;
    float log = INFINITY, dot = 0.f;  // so that what is not there has probabilities of 0
    if (inside) {
        const int col = slice.head * width + half * width / 2;
        const float *from = dout.data + r * dout.stride + col, *beside = out.data + r * out.stride + col;
        log = log_sum_exp[r * heads.n_head + slice.head];
#pragma unroll
        for (int c = 0; c < width / 2; c += 4) {
            const float4 a = load_four(from + c, vector_ok), b = load_four(beside + c, vector_ok);
            dot += (a.x * b.x + a.y * b.y) + (a.z * b.z + a.w * b.w);
        }
    }
    dot += __shfl_xor_sync(all_lanes, dot, 1);
    if (half > 0) return;
    shared_dot[i] = dot;
    shared_log[i] = log;
}

struct BackwardTiles {
    alignas(16) Shared others, other_values;
    float logs[tile], dots[tile];
};

/// A block computes, for one sequence and head, dq of 64 queries, or dk and dv of 64 keys: what it owns stays in
/// registers while the others pass by. A row of its products is one of its own, a column one of the others.
template <bool owns_keys>
__device__ void attend_backward_tile(BackwardTiles& shared, int tile_index, Matrix dqkv, Matrix dout, Matrix qkv,
                                     Matrix out, const float* log_sum_exp, const AttentionShape& heads) {
    auto& [others, other_values, logs, dots] = shared;
    const HeadSlice slice(qkv, heads);
    const bool vector_ok = aligned(qkv.data, qkv.stride, 0, 4);
    const bool vector_ok_out = aligned(dout.data, dout.stride, 0, 4) && aligned(out.data, out.stride, 0, 4);
    const int length = heads.length, first = tile_index * tile;
    const float* gradient = dout.data + slice.first_row * dout.stride + slice.head * width;
    const float scale = 1.f / sqrtf(static_cast<float>(width));

    HeadTile next, next_values;
    next.fetch(owns_keys ? slice.k : slice.q, qkv.stride, first, length, vector_ok);
    if (owns_keys)
        next_values.fetch(slice.v, qkv.stride, first, length, vector_ok);
    else
        next_values.fetch(gradient, dout.stride, first, length, vector_ok_out);
    next.put(others);
    next_values.put(other_values);
    if (!owns_keys) load_rows(logs, dots, dout, out, log_sum_exp, slice, heads, first, vector_ok_out);
    __syncthreads();
    Fragments own, own_values;
    load_fragments(own, others);
    load_fragments(own_values, other_values);

    Sums d_own = {}, d_values = {};
    const int begin = owns_keys && heads.causal ? first : 0;
    const int end = !owns_keys && heads.causal ? min(length, first + tile) : length;
    for (int other = begin; other < end; other += tile) {
        next.fetch(owns_keys ? slice.q : slice.k, qkv.stride, other, length, vector_ok);
        if (owns_keys)
            next_values.fetch(gradient, dout.stride, other, length, vector_ok_out);
        else
            next_values.fetch(slice.v, qkv.stride, other, length, vector_ok);
        __syncthreads();  // all have read the last ones
        next.put(others);
        next_values.put(other_values);
        if (owns_keys) load_rows(logs, dots, dout, out, log_sum_exp, slice, heads, other, vector_ok_out);
        __syncthreads();
        Sums weights, d_scores;
        scores(weights, own, others);
        scores(d_scores, own_values, other_values);
        for_each_sum(weights, [&](int row, int col, float& weight) {
            const int query = owns_keys ? col : row;  // within its tile
            const int key_position = owns_keys ? first + row : other + col,
                      query_position = owns_keys ? other + col : first + row;
            const bool visible = key_position < length && (!heads.causal || key_position <= query_position);
            weight = visible ? expf(weight * scale - logs[query]) : 0.f;
        });
        if (owns_keys) add_product(d_values, weights, other_values);
#pragma unroll
        for (int n = 0; n < blocks; ++n) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int warp = warp_in_block(), self = lane();
                const int query = owns_keys ? 8 * n + self % 4 * 2 + e % 2 : 16 * warp + self / 4 + e / 2 * 8;
                d_scores[n][e] = weights[n][e] * (d_scores[n][e] - dots[query]) * scale;
            }
        }
        add_product(d_own, d_scores, others);
    }
    const int d_model = heads.n_head * width;
    const auto store = [&](Sums& sums, int part) {
        for_each_sum(sums, [&](int row, int col, float sum) {
            if (first + row < length)
                dqkv.data[(slice.first_row + first + row) * dqkv.stride + part * d_model + slice.head * width + col] =
                    sum;
        });
    };
    store(d_own, owns_keys ? 1 : 0);
    if (owns_keys) store(d_values, 2);
}

/// The first half of grid.x owns keys.
__global__ void __launch_bounds__(tile_threads)
    attend_backward(Matrix dqkv, Matrix dout, Matrix qkv, Matrix out, const float* log_sum_exp, AttentionShape heads) {
    __shared__ BackwardTiles shared;
    const int tiles = static_cast<int>(gridDim.x) / 2, index = static_cast<int>(blockIdx.x);
    if (index < tiles)
        attend_backward_tile<true>(shared, index, dqkv, dout, qkv, out, log_sum_exp, heads);
    else
        attend_backward_tile<false>(shared, index - tiles, dqkv, dout, qkv, out, log_sum_exp, heads);
}

// ---- Any head, in f32: a warp a row -------------------------------------------------------------------------------

__device__ float dot(const float* a, const float* b, int n) {
    float sum = 0.f;
    for (int i = 0; i < n; ++i) sum = fmaf(a[i], b[i], sum);
    return sum;
}

/// Values that the lanes of a warp exchange.
using WarpScratch = float[block_warps][warp_size];

/// out[0 .. d) += the sum of `count` rows, the i-th times lane i's weight.
__device__ void add_rows(WarpScratch& scratch, float* out, const float* rows, std::ptrdiff_t stride, float weight,
                         int count, int d) {
    const int self = lane();
    float* weights = scratch[warp_in_block()];
    __syncwarp();  // all have read the last ones
    weights[self] = weight;
    __syncwarp();
    for (int c = self; c < d; c += warp_size) {
        float sum = 0.f;
        for (int i = 0; i < count; ++i) sum = fmaf(weights[i], rows[i * stride + c], sum);
        out[c] += sum;
    }
}

__global__ void portable_attend(Matrix out, Matrix qkv, float* log_sum_exp, AttentionShape heads) {
    __shared__ WarpScratch scratch;
    const int at = warp_index(), h = static_cast<int>(blockIdx.y);
    if (at >= out.rows) return;
    const int self = lane(), d = heads.head_dim, d_model = heads.n_head * d;
    const int r = heads.queries ? heads.queries[at] : qkv.rows - out.rows + at, first = r - r % heads.length,
              end = heads.causal ? r + 1 : first + heads.length;
    const float scale = 1.f / sqrtf(static_cast<float>(d));
    float* to = out.row(at) + h * d;
    for (int c = self; c < d; c += warp_size) to[c] = 0.f;
    float total = 0.f;
    for (int s = first; s < end; s += warp_size) {
        const float weight =
            s + self < end ? expf(dot(qkv.row(r) + h * d, qkv.row(s + self) + d_model + h * d, d) * scale) : 0.f;
        total += weight;
        add_rows(scratch, to, qkv.row(s) + 2 * d_model + h * d, qkv.stride, weight, min(warp_size, end - s), d);
    }
    total = warp_sum(total);
    for (int c = self; c < d; c += warp_size) to[c] /= total;
    if (log_sum_exp && self == 0) log_sum_exp[static_cast<std::ptrdiff_t>(at) * heads.n_head + h] = logf(total);
}

/// A warp computes row r's dq, dk and dv.
__global__ void portable_attend_backward(Matrix dqkv, Matrix dout, Matrix qkv, Matrix out, const float* log_sum_exp,
                                         AttentionShape heads) {
    __shared__ WarpScratch scratch;
    const int r = warp_index(), h = static_cast<int>(blockIdx.y);
    if (r >= qkv.rows) return;
    const int self = lane(), d = heads.head_dim, d_model = heads.n_head * d;
    const int first = r - r % heads.length, last = first + heads.length;
    const float scale = 1.f / sqrtf(static_cast<float>(d));
    float *dq = dqkv.row(r) + h * d, *dk = dq + d_model, *dv = dk + d_model;
    for (int c = self; c < d; c += warp_size) dq[c] = dk[c] = dv[c] = 0.f;
    // The probability of key s in row q, and the gradient of its logit.
    const auto mean_of = [&](int q) { return dot(dout.row(q) + h * d, out.row(q) + h * d, d); };
    const auto weigh = [&](int q, float mean, int s, float& d_logit) {
        const float logit = dot(qkv.row(q) + h * d, qkv.row(s) + d_model + h * d, d) * scale;
        const float weight = expf(logit - log_sum_exp[static_cast<std::ptrdiff_t>(q) * heads.n_head + h]);
        d_logit = weight * (dot(dout.row(q) + h * d, qkv.row(s) + 2 * d_model + h * d, d) - mean) * scale;
        return weight;
    };
    const int end = heads.causal ? r + 1 : last;
    const float mean = mean_of(r);
    for (int s = first; s < end; s += warp_size) {
        float d_logit = 0.f;
        if (s + self < end) weigh(r, mean, s + self, d_logit);
        add_rows(scratch, dq, qkv.row(s) + d_model + h * d, qkv.stride, d_logit, min(warp_size, end - s), d);
    }
    for (int q = heads.causal ? r : first; q < last; q += warp_size) {
        float d_logit = 0.f;
        const float weight = q + self < last ? weigh(q + self, mean_of(q + self), r, d_logit) : 0.f;
        const int count = min(warp_size, last - q);
        add_rows(scratch, dk, qkv.row(q) + h * d, qkv.stride, d_logit, count, d);
        add_rows(scratch, dv, dout.row(q) + h * d, dout.stride, weight, count, d);
    }
}

}  // namespace

void Device::attention(Matrix out, Matrix qkv, float* log_sum_exp, const AttentionShape& heads) {
    const auto n_head = static_cast<unsigned>(heads.n_head);
    if (precision_ == Precision::bf16 && heads.head_dim == width) {
        const dim3 grid(static_cast<unsigned>(divide_up(Queries::most(heads, out.rows), tile)), n_head,
                        static_cast<unsigned>(qkv.rows / heads.length));
        return launch_with(tile_threads, attend, grid, out, qkv, log_sum_exp, heads);
    }
    launch(portable_attend, dim3(for_rows(static_cast<std::size_t>(out.rows)).x, n_head), out, qkv, log_sum_exp, heads);
}

void Device::attention_backward(Matrix dqkv, Matrix dout, Matrix qkv, Matrix out, const float* log_sum_exp,
                                const AttentionShape& heads) {
    const auto n_head = static_cast<unsigned>(heads.n_head);
    if (precision_ == Precision::bf16 && heads.head_dim == width) {
        const dim3 grid(static_cast<unsigned>(2 * divide_up(heads.length, tile)), n_head,
                        static_cast<unsigned>(qkv.rows / heads.length));
        return launch_with(tile_threads, attend_backward, grid, dqkv, dout, qkv, out, log_sum_exp, heads);
    }
    launch(portable_attend_backward, dim3(for_rows(static_cast<std::size_t>(qkv.rows)).x, n_head), dqkv, dout, qkv, out,
           log_sum_exp, heads);
}

}  // namespace folio::cuda
