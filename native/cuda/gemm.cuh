#pragma once

#include <type_traits>

#include "native/cuda/device.cuh"
#include "native/cuda/dropout.cuh"
#include "native/cuda/reduce.cuh"
#include "native/cuda/tensor_core.cuh"

// Products of all kinds by one kernel: out = epilogue(a b^T), a [rows, depth], b [cols, depth], each stored along its
// depth or across it. Operands are rounded to bf16 on their way into shared memory, so no rounded copy of an activation
// is ever written; or they stay f32.

namespace folio::cuda {

/// One side of a product: element (lane, k) lies at data[lane * step + k] where it is stored along its depth, else at
/// data[k * step + lane].
template <class T>
struct Operand {
    const T* data = nullptr;
    std::ptrdiff_t step = 0;
    std::size_t batch_stride = 0;  // from one product of a batch to the next
    bool vector_ok = false;        // every row of memory begins where a vector may
};

/// Destination of the sums, and what the epilogue combines each with.
struct Output {
    Matrix out;
    Matrix other{};
    int period = 0;  // row r of out meets row r % period of other; 0: row r
    std::size_t out_batch_stride = 0, other_batch_stride = 0;
    bool vector_ok = false;  // of out and other, pairs of columns

    __device__ float* to(int batch, int row, int col) const { return out.row(row) + col + batch * out_batch_stride; }
    __device__ const float* operand_at(int batch, int row, int col) const {
        return other.row(period > 0 ? row % period : row) + col + batch * other_batch_stride;
    }
};

// What becomes of a sum before it is stored.

struct Store {
    static constexpr bool needs_operand = false;
    __device__ float operator()(float sum, float, int, int) const { return sum; }
};

struct Relu2 {
    static constexpr bool needs_operand = false;
    __device__ float operator()(float sum, float, int, int) const {
        // Not fmaxf, which would turn what is no number into 0.
        const float positive = sum < 0.f ? 0.f : sum;
        return positive * positive;
    }
};

/// Its operand is the forward's max(0, z)^2.
struct Relu2Backward {
    static constexpr bool needs_operand = true;
    __device__ float operator()(float sum, float squared, int, int) const { return sum * 2.f * sqrtf(squared); }
};

struct Blend {
    static constexpr bool needs_operand = true;
    float keep = 1, add = 1;
    __device__ float operator()(float sum, float other, int, int) const { return keep * other + add * sum; }
};

struct DropAndAdd {
    static constexpr bool needs_operand = true;
    Dropout dropout;
    int cols;
    __device__ float operator()(float sum, float other, int row, int col) const {
        return other + sum * dropout_factor(dropout, row, col, cols);
    }
};

/// Storage of the operands of a product.
template <bool a_is_along, class Right, bool b_is_along>
struct Layout {
    static constexpr bool a_k_contiguous = a_is_along, b_k_contiguous = b_is_along;
    using B = Right;
};
using Forward = Layout<true, Bf16, true>;            // in [rows, in], weight [out, in]
using BackwardInput = Layout<true, Bf16, false>;     // dy [rows, out], weight [out, in]
using BackwardWeight = Layout<false, float, false>;  // dy [rows, out], x [rows, in]
using Gram = Layout<true, float, true>;              // x [rows, cols] by itself: x x^T
using Plain = Layout<true, float, false>;            // a [rows, depth], b [depth, cols]

struct Device::Product {
    struct Side {
        const void* data;
        std::ptrdiff_t step;
        std::size_t batch_stride = 0;
    };
    Side a, b;
    int depth = 0;
    /// 0: all of the depth. Else product i of the batch is over the i-th part of this length.
    int part = 0;
    Output output;
};

constexpr int tile = 128;  // rows and columns of a block
constexpr int tile_depth = 32;
constexpr int pad = 8;  // bf16 numbers, so that eight rows of a tile lie in different banks
constexpr int vec = 4;  // numbers that a thread moves at once
constexpr int vecs = tile * tile_depth / vec / block_threads;

__device__ inline float4 vector_of(const float (&four)[vec]) { return {four[0], four[1], four[2], four[3]}; }
__device__ inline uint2 vector_of(const Bf16 (&four)[vec]) {
    return {four[0] | static_cast<std::uint32_t>(four[1]) << 16, four[2] | static_cast<std::uint32_t>(four[3]) << 16};
}
__device__ inline uint2 rounded(const float4& four) { return {pack_bf16(four.x, four.y), pack_bf16(four.z, four.w)}; }
__device__ inline uint2 rounded(const uint2& four) { return four; }

/// A tile of an operand on its way to shared memory: [lane][depth] where the operand is stored along its depth, else
/// [depth][lane]. What lies outside is 0. Numbers are rounded by put(), so that fetch() waits for none of them.
template <class T, bool k_contiguous>
class Tile {
public:
    static constexpr int minor = k_contiguous ? tile_depth : tile, stride = minor + pad,
                         size = (k_contiguous ? tile : tile_depth) * stride;

    __device__ Tile(const Operand<T>& from, int lanes, int depth, int lane)
        : step_(from.step),
          lanes_(lanes - lane),
          depth_(depth),
          vector_ok_(from.vector_ok && lanes - lane >= tile),
          row_(static_cast<int>(threadIdx.x) / (minor / vec)),
          col_(static_cast<int>(threadIdx.x) % (minor / vec) * vec),
          from_(from.data + (k_contiguous ? lane + row_ : row_) * from.step + (k_contiguous ? col_ : lane + col_)) {}

    /// The tile from depth k on.
    __device__ void fetch(int k) {
        const T* from = from_ + (k_contiguous ? k : k * step_);
        if (vector_ok_ && k + tile_depth <= depth_) {
#pragma unroll
            for (int u = 0; u < vecs; ++u) held_[u] = *reinterpret_cast<const Vector*>(from + u * rows_apart * step_);
            return;
        }
        const int rows = k_contiguous ? lanes_ : depth_ - k, cols = k_contiguous ? depth_ - k : lanes_;
#pragma unroll
        for (int u = 0; u < vecs; ++u) {
            T four[vec];
#pragma unroll
            for (int e = 0; e < vec; ++e) {
                const bool inside = row_ + u * rows_apart < rows && col_ + e < cols;
                four[e] = inside ? from[u * rows_apart * step_ + e] : T{};
            }
            held_[u] = vector_of(four);
        }
    }
    __device__ void put(Bf16* shared) const {
#pragma unroll
        for (int u = 0; u < vecs; ++u)
            *reinterpret_cast<uint2*>(shared + (row_ + u * rows_apart) * stride + col_) = rounded(held_[u]);
    }

private:
    using Vector = std::conditional_t<sizeof(T) == sizeof(float), float4, uint2>;
    static constexpr int rows_apart =
        block_threads / (minor / vec);  // of memory, from one unit of a thread to its next

    std::ptrdiff_t step_;
    int lanes_, depth_;
    bool vector_ok_;
    int row_, col_;  // of this thread's first unit in the tile
    const T* from_;
    Vector held_[vecs];
};

/// The four 8 x 8 tiles of 16 lanes and 16 steps of depth: (lanes 0..7, depth 0..7), then by `lanes_first` lanes or
/// depth.
template <bool k_contiguous>
__device__ void load_square(std::uint32_t (&tiles)[4], const Bf16* shared, int stride, int first, int k,
                            bool lanes_first) {
    const int self = lane(), row = self % 8;
    const int second = self / 8 % 2 * 8, third = self / 16 * 8;
    const int l = first + (lanes_first ? second : third), d = k + (lanes_first ? third : second);
    if (k_contiguous)
        load_tiles(tiles, shared + (l + row) * stride + d);
    else
        load_tiles_transposed(tiles, shared + (d + row) * stride + l);
}

/// Stores a warp's sums of 16 rows and 64 columns from (row, col) on. All operands are read before anything is
/// written: `other` may be `out`.
template <class Epilogue>
__device__ void store_epilogue(const Output& output, const Epilogue& epilogue, int batch, int row, int col,
                               const float (&sums)[8][4]) {
    const Matrix& out = output.out;
    const int first_row = row + lane() / 4, first_col = col + lane() % 4 * 2;
    float results[8][4] = {};
    // Two neighbours of row `half`, of which as many are inside as there are columns left.
    const auto for_pairs = [&](auto f) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int r = first_row + 8 * half;
            if (r >= out.rows) continue;
#pragma unroll
            for (int j = 0; j < 8; ++j) f(half, j, r, first_col + 8 * j, out.cols - first_col - 8 * j);
        }
    };
    if constexpr (Epilogue::needs_operand) {
        for_pairs([&](int half, int j, int r, int c, int left) {
            const float* from = output.operand_at(batch, r, c);
            float* pair = results[j] + 2 * half;
            if (output.vector_ok && left >= 2) {
                const float2 two = *reinterpret_cast<const float2*>(from);
                pair[0] = two.x;
                pair[1] = two.y;
            } else {
                if (left > 0) pair[0] = from[0];
                if (left > 1) pair[1] = from[1];
            }
        });
    }
    for_pairs([&](int half, int j, int r, int c, int) {
        for (int e = 2 * half; e < 2 * half + 2; ++e) results[j][e] = epilogue(sums[j][e], results[j][e], r, c + e % 2);
    });
    for_pairs([&](int half, int j, int r, int c, int left) {
        float* to = output.to(batch, r, c);
        const float* pair = results[j] + 2 * half;
        if (output.vector_ok && left >= 2) {
            *reinterpret_cast<float2*>(to) = float2{pair[0], pair[1]};
        } else {
            if (left > 0) to[0] = pair[0];
            if (left > 1) to[1] = pair[1];
        }
    });
}

/// The rows and columns of a block and its part of the depth. Neighbouring blocks share their rows of a, the longer
/// operand.
struct BlockTile {
    int batch, row, col, begin, end;

    __device__ BlockTile(int size, const Matrix& out, int depth, int part) : batch(static_cast<int>(blockIdx.z)) {
        const int across = divide_up(out.cols, size), block = static_cast<int>(blockIdx.x);
        row = block / across * size;
        col = block % across * size;
        begin = part > 0 ? batch * part : 0;
        end = part > 0 && depth - begin > part ? begin + part : depth;
    }
};

/// bf16 on the tensor cores: 8 warps of 32 x 64 each, the next tiles on their way while these are multiplied.
template <class L, class Epilogue>
__global__ void __launch_bounds__(block_threads, 2)
    tensor_core_gemm(Operand<float> a, Operand<typename L::B> b, int depth, int part, Output output,
                     Epilogue epilogue) {
    using TileA = Tile<float, L::a_k_contiguous>;
    using TileB = Tile<typename L::B, L::b_k_contiguous>;
    alignas(16) __shared__ Bf16 shared_a[2][TileA::size];
    alignas(16) __shared__ Bf16 shared_b[2][TileB::size];
    const BlockTile block(tile, output.out, depth, part);
    a.data += block.batch * a.batch_stride;
    b.data += block.batch * b.batch_stride;
    const int warp = warp_in_block();
    const int warp_row = warp % 4 * 32, warp_col = warp / 4 * 64;

    float sums[2][8][4] = {};
    TileA next_a(a, output.out.rows, block.end, block.row);
    TileB next_b(b, output.out.cols, block.end, block.col);
    next_a.fetch(block.begin);
    next_b.fetch(block.begin);
    for (int k = block.begin, buffer = 0; k < block.end; k += tile_depth, buffer ^= 1) {
        next_a.put(shared_a[buffer]);
        next_b.put(shared_b[buffer]);
        // One barrier a turn: who writes this buffer again has passed the next turn's barrier, so everyone has read it.
        __syncthreads();
        if (k + tile_depth < block.end) {
            next_a.fetch(k + tile_depth);
            next_b.fetch(k + tile_depth);
        }
#pragma unroll
        for (int step = 0; step < tile_depth; step += 16) {
            std::uint32_t left[2][4];
            for (int i = 0; i < 2; ++i)
                load_square<L::a_k_contiguous>(left[i], shared_a[buffer], TileA::stride, warp_row + 16 * i, step, true);
            for (int j = 0; j < 4; ++j) {
                std::uint32_t right[4];
                load_square<L::b_k_contiguous>(right, shared_b[buffer], TileB::stride, warp_col + 16 * j, step, false);
                for (int i = 0; i < 2; ++i) {
                    multiply_add(sums[i][2 * j], left[i], right[0], right[1]);
                    multiply_add(sums[i][2 * j + 1], left[i], right[2], right[3]);
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i)
        store_epilogue(output, epilogue, block.batch, block.row + warp_row + 16 * i, block.col + warp_col, sums[i]);
}

constexpr int portable_tile = 64, portable_depth = 16;

/// f32 throughout: 4 x 4 sums a thread, in order of depth.
template <class L, class Epilogue>
__global__ void __launch_bounds__(block_threads)
    portable_gemm(Operand<float> a, Operand<float> b, int depth, int part, Output output, Epilogue epilogue) {
    __shared__ float shared_a[portable_depth][portable_tile + 1], shared_b[portable_depth][portable_tile + 1];
    const int self = static_cast<int>(threadIdx.x);
    const BlockTile block(portable_tile, output.out, depth, part);
    const auto fetch = [&](float(&shared)[portable_depth][portable_tile + 1], const Operand<float>& operand,
                           auto k_contiguous, int first, int lanes, int k) {
        const float* from = operand.data + block.batch * operand.batch_stride;
        for (int at = self; at < portable_tile * portable_depth; at += block_threads) {
            // Neighbouring threads read what lies side by side.
            const int lane = k_contiguous ? at / portable_depth : at % portable_tile,
                      d = k_contiguous ? at % portable_depth : at / portable_tile;
            const int l = first + lane, z = k + d;
            shared[d][lane] =
                l < lanes && z < block.end ? from[k_contiguous ? l * operand.step + z : z * operand.step + l] : 0.f;
        }
    };
    const int my_row = self / 16 * 4, my_col = self % 16;  // columns 16 apart: neighbouring threads in different banks
    float sums[4][4] = {};
    for (int k = block.begin; k < block.end; k += portable_depth) {
        fetch(shared_a, a, std::bool_constant<L::a_k_contiguous>(), block.row, output.out.rows, k);
        fetch(shared_b, b, std::bool_constant<L::b_k_contiguous>(), block.col, output.out.cols, k);
        __syncthreads();
        for (int d = 0; d < portable_depth; ++d)
            for (int i = 0; i < 4; ++i)
                for (int j = 0; j < 4; ++j)
                    sums[i][j] = fmaf(shared_a[d][my_row + i], shared_b[d][my_col + 16 * j], sums[i][j]);
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 4; ++j) {
            const int row = block.row + my_row + i, col = block.col + my_col + 16 * j;
            if (row >= output.out.rows || col >= output.out.cols) continue;
            float operand_at = 0.f;
            if constexpr (Epilogue::needs_operand) operand_at = *output.operand_at(block.batch, row, col);
            *output.to(block.batch, row, col) = epilogue(sums[i][j], operand_at, row, col);
        }
    }
}

template <class T>
Operand<T> operand(const Device::Product::Side& side) {
    const auto* data = static_cast<const T*>(side.data);
    return {data, side.step, side.batch_stride, aligned(data, side.step, side.batch_stride, vec)};
}

inline dim3 tiles_of(const Matrix& out, int size, int batch) {
    return dim3(static_cast<unsigned>(divide_up(out.rows, size) * divide_up(out.cols, size)), 1,
                static_cast<unsigned>(batch));
}

template <class L, class Epilogue>
void Device::multiply_f32(const Product& p, const Epilogue& epilogue, int batch) {
    launch(portable_gemm<L, Epilogue>, tiles_of(p.output.out, portable_tile, batch), operand<float>(p.a),
           operand<float>(p.b), p.depth, p.part, p.output, epilogue);
}

template <class L, class Epilogue>
void Device::multiply(Product p, const Epilogue& epilogue, int batch) {
    if (precision_ == Precision::f32) return multiply_f32<L>(p, epilogue, batch);
    const Matrix &out = p.output.out, &other = p.output.other;
    p.output.vector_ok = aligned(out.data, out.stride, p.output.out_batch_stride, 2) &&
                         aligned(other.data, other.stride, p.output.other_batch_stride, 2);
    launch(tensor_core_gemm<L, Epilogue>, tiles_of(out, tile, batch), operand<float>(p.a), operand<typename L::B>(p.b),
           p.depth, p.part, p.output, epilogue);
}

}  // namespace folio::cuda
