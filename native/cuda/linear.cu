#include <algorithm>
#include <type_traits>

#include "native/cuda/common.cuh"

// Products of all three kinds by one kernel: out = epilogue(a b^T), a [rows, depth], b [cols, depth], each stored along
// its depth or across it. Operands are rounded to bf16 on their way into shared memory, so no rounded copy of an
// activation is ever written; or they stay f32.

namespace folio::cuda {
namespace {

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
using Gram = Layout<true, float, true>;
using Plain = Layout<true, float, false>;

}  // namespace

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

namespace {

constexpr int tile = 128;  // rows and columns of a block
constexpr int tile_depth = 32;
constexpr int pad = 8;  // bf16 numbers, so that eight rows of a tile lie in different banks
constexpr int vec = 4;  // numbers that a thread moves at once
constexpr int vecs = tile * tile_depth / vec / block_threads;

__device__ float4 vector_of(const float (&four)[vec]) { return {four[0], four[1], four[2], four[3]}; }
__device__ uint2 vector_of(const Bf16 (&four)[vec]) {
    return {four[0] | static_cast<std::uint32_t>(four[1]) << 16, four[2] | static_cast<std::uint32_t>(four[3]) << 16};
}
__device__ uint2 rounded(const float4& four) { return {pack_bf16(four.x, four.y), pack_bf16(four.z, four.w)}; }
__device__ uint2 rounded(const uint2& four) { return four; }

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
    const int warp = static_cast<int>(threadIdx.x) / warp_size;
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

/// A copy of a weight for products, rows `stride` apart, the rest of each row 0.
template <class T>
__global__ void copy_weight(T* to, const float* from, int rows, int cols, int stride) {
    const std::size_t at = static_cast<std::size_t>(blockIdx.x) * block_threads + threadIdx.x;
    if (at >= static_cast<std::size_t>(rows) * stride) return;
    const auto row = static_cast<std::ptrdiff_t>(at / stride);
    const int col = static_cast<int>(at % stride);
    const float value = col < cols ? from[row * cols + col] : 0.f;
    if constexpr (sizeof(T) == sizeof(float))
        to[at] = value;
    else
        to[at] = static_cast<Bf16>(pack_bf16(value, 0.f));
}

/// out += the parts, first to last.
__global__ void add_parts(Matrix out, const float* parts, int count) {
    const int at = static_cast<int>(blockIdx.x) * block_threads + static_cast<int>(threadIdx.x);
    const int size = out.rows * out.cols;
    if (at >= size) return;
    float sum = parts[at];
    for (int i = 1; i < count; ++i) sum += parts[static_cast<std::size_t>(i) * size + at];
    out.row(at / out.cols)[at % out.cols] += sum;
}

/// A row of a packed weight, in numbers: what a vector load likes.
int packed_stride(int in) { return divide_up(in, 8) * 8; }

template <class T>
Operand<T> operand(const Device::Product::Side& side) {
    const auto* data = static_cast<const T*>(side.data);
    return {data, side.step, side.batch_stride, aligned(data, side.step, side.batch_stride, vec)};
}

dim3 tiles_of(const Matrix& out, int size, int batch) {
    return dim3(static_cast<unsigned>(divide_up(out.rows, size) * divide_up(out.cols, size)), 1,
                static_cast<unsigned>(batch));
}

}  // namespace

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

Result<void> Device::pack(PackedWeight& weight, const WeightSource& values, int out, int in, bool) {
    if (!values.f32) return fail("The GPU computes no integer weights; run this model with --device cpu.");
    const bool rounded = precision_ == Precision::bf16;
    const int stride = packed_stride(in);
    const std::size_t count = static_cast<std::size_t>(out) * stride,
                      bytes = count * (rounded ? sizeof(Bf16) : sizeof(float));
    if (weight.forward.bytes() != bytes) {
        auto fresh = allocate(bytes);
        if (!fresh) return tl::unexpected(fresh.error());
        weight.forward = std::move(*fresh);
    }
    weight.out = out;
    weight.in = in;
    // One copy serves both directions, since a product takes either order.
    if (rounded)
        launch(copy_weight<Bf16>, for_elements(count), weight.forward.as<Bf16>(), values.f32, out, in, stride);
    else
        launch(copy_weight<float>, for_elements(count), weight.forward.as<float>(), values.f32, out, in, stride);
    return {};
}

void Device::linear(Matrix out, Matrix in, const PackedWeight& weight, const Epilogue& epilogue) {
    Product p{{in.data, in.stride}, {weight.forward.as<void>(), packed_stride(weight.in)}, weight.in, 0, {out}};
    switch (epilogue.kind) {
        case Epilogue::Kind::store: return multiply<Forward>(p, Store{}, 1);
        case Epilogue::Kind::relu2: return multiply<Forward>(p, Relu2{}, 1);
        case Epilogue::Kind::residual: break;
    }
    p.output.other = epilogue.residual;
    if (epilogue.dropout.rate > 0.f)
        multiply<Forward>(p, DropAndAdd{epilogue.dropout, out.cols}, 1);
    else
        multiply<Forward>(p, Blend{}, 1);
}

void Device::embed_soft(Matrix out, Matrix weights, const float* table, const float* positions, int length) {
    // What goes in are noise and probabilities: f32 in either precision.
    Product p{{weights.data, weights.stride}, {table, out.cols}, weights.cols, 0, {out}};
    if (!positions) return multiply_f32<Plain>(p, Store{}, 1);
    p.output.other = {const_cast<float*>(positions), length, out.cols};
    p.output.period = length;
    multiply_f32<Plain>(p, Blend{}, 1);
}

void Device::linear_backward_input(Matrix dx, Matrix dy, const PackedWeight& weight, const Matrix* relu2_out) {
    Product p{{dy.data, dy.stride}, {weight.forward.as<void>(), packed_stride(weight.in)}, weight.out, 0, {dx}};
    if (!relu2_out) return multiply<BackwardInput>(p, Store{}, 1);
    p.output.other = *relu2_out;
    multiply<BackwardInput>(p, Relu2Backward{}, 1);
}

void Device::linear_backward_weight(Matrix dw, Matrix dy, Matrix x) {
    // Few tiles and a long sum: it is cut into parts, which are added up in order. As many as fill a large GPU, on any.
    constexpr int wanted_blocks = 264, least_part = 512;
    if (dy.rows == 0) return;
    const int tiles = divide_up(dw.rows, tile) * divide_up(dw.cols, tile);
    const int parts = std::clamp(wanted_blocks / tiles, 1, std::max(1, dy.rows / least_part));
    const int part = divide_up(divide_up(dy.rows, parts), tile_depth) * tile_depth, used = divide_up(dy.rows, part);
    const std::size_t size = static_cast<std::size_t>(dw.rows) * dw.cols;
    auto* sums = static_cast<float*>(workspace(used * size * sizeof(float)));
    if (!sums) return;
    Product p{{dy.data, dy.stride}, {x.data, x.stride}, dy.rows, part, {{sums, dw.rows, dw.cols}}};
    p.output.out_batch_stride = size;
    multiply<BackwardWeight>(p, Store{}, used);
    launch(add_parts, for_elements(size), dw, static_cast<const float*>(sums), used);
}

// ---- Muon: Newton-Schulz by products --------------------------------------------------------------------------------

namespace {

constexpr int norm_chunk = 1 << 14;

/// momentum and x = the update by Nesterov, transposed where the matrix is taller than wide; grid.y counts matrices.
__global__ void begin_muon(float* momentum, const float* gradient, const float* scale, std::size_t batch_stride,
                           float* x, int rows, int cols, const Muon* options) {
    const int size = rows * cols, at = static_cast<int>(blockIdx.x) * block_threads + static_cast<int>(threadIdx.x);
    if (at >= size || isnan(*scale)) return;
    const std::size_t i = blockIdx.y * batch_stride + at;
    const float g = gradient[i] * *scale;
    momentum[i] = options->momentum * momentum[i] + g;
    x += static_cast<std::size_t>(blockIdx.y) * size;
    x[rows > cols ? at % cols * rows + at / cols : at] = g + options->momentum * momentum[i];
}

/// Each block's sum of squares of a chunk of a matrix.
__global__ void chunk_squares(double* sums, const float* x, int size) {
    __shared__ double warps[block_warps];
    x += static_cast<std::size_t>(blockIdx.y) * size;
    const int first = static_cast<int>(blockIdx.x) * norm_chunk, self = static_cast<int>(threadIdx.x);
    double sum = 0;
    for (int i = first + self; i < size && i < first + norm_chunk; i += block_threads)
        sum += static_cast<double>(x[i]) * x[i];
    sum = warp_sum(sum);
    if (self % warp_size == 0) warps[self / warp_size] = sum;
    __syncthreads();
    if (self > 0) return;
    for (int i = 1; i < block_warps; ++i) sum += warps[i];
    sums[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

__global__ void normalise(float* x, const double* sums, int chunks, int size) {
    const int at = static_cast<int>(blockIdx.x) * block_threads + static_cast<int>(threadIdx.x);
    if (at >= size) return;
    double sum = 0;
    for (int i = 0; i < chunks; ++i) sum += sums[blockIdx.y * chunks + i];
    x[static_cast<std::size_t>(blockIdx.y) * size + at] *= static_cast<float>(1.0 / (sqrt(sum) + 1e-7));
}

__global__ void end_muon(float* parameters, const float* scale, std::size_t batch_stride, const float* x, int rows,
                         int cols, const Muon* options) {
    const int size = rows * cols, at = static_cast<int>(blockIdx.x) * block_threads + static_cast<int>(threadIdx.x);
    if (at >= size || isnan(*scale)) return;
    const float step = options->lr * sqrtf(fmaxf(1.f, static_cast<float>(rows) / static_cast<float>(cols)));
    float& value = parameters[blockIdx.y * batch_stride + at];
    x += static_cast<std::size_t>(blockIdx.y) * size;
    value =
        value * (1.f - options->lr * options->weight_decay) - step * x[rows > cols ? at % cols * rows + at / cols : at];
}

}  // namespace

void Device::muon(float* parameters, float* momentum, const float* gradient, const float* scale, int rows, int cols,
                  int matrices, std::size_t batch_stride, const Muon* options) {
    // The orthogonal factor is sought on the side with fewer rows.
    const int r = std::min(rows, cols), c = std::max(rows, cols), chunks = divide_up(rows * cols, norm_chunk);
    const std::size_t size = static_cast<std::size_t>(rows) * cols, square = static_cast<std::size_t>(r) * r,
                      n = static_cast<std::size_t>(matrices);
    const std::size_t partial = (n * chunks + 1) / 2 * 2;  // what follows is aligned
    auto* sums =
        static_cast<double*>(workspace(partial * sizeof(double) + n * (2 * size + 2 * square) * sizeof(float)));
    if (!sums) return;
    auto *x = reinterpret_cast<float*>(sums + partial), *turned = x + n * size, *gram = turned + n * size,
         *polynomial = gram + n * square;
    const dim3 grid(for_elements(size).x, static_cast<unsigned>(matrices));
    launch(begin_muon, grid, momentum, gradient, scale, batch_stride, x, rows, cols, options);
    launch(chunk_squares, dim3(static_cast<unsigned>(chunks), static_cast<unsigned>(matrices)), sums,
           static_cast<const float*>(x), rows * cols);
    launch(normalise, grid, x, static_cast<const double*>(sums), chunks, rows * cols);

    const auto output = [&](float* out, float* other, int width, std::size_t between) {
        return Output{{out, r, width}, {other, r, width}, 0, between, between};
    };
    constexpr float a1 = 3.4445f, a3 = -4.7750f, a5 = 2.0315f;
    for (int iteration = 0; iteration < 5; ++iteration) {
        multiply<Gram>({{x, c, size}, {x, c, size}, c, 0, output(gram, gram, r, square)}, Store{}, matrices);
        multiply<Plain>({{gram, r, square}, {gram, r, square}, r, 0, output(polynomial, gram, r, square)},
                        Blend{a3, a5}, matrices);
        // Other blocks still read x, so the new one lies elsewhere.
        multiply<Plain>({{polynomial, r, square}, {x, c, size}, r, 0, output(turned, x, c, size)}, Blend{a1, 1.f},
                        matrices);
        std::swap(x, turned);
    }
    launch(end_muon, grid, parameters, scale, batch_stride, static_cast<const float*>(x), rows, cols, options);
}

}  // namespace folio::cuda
