#include <algorithm>

#include "native/cuda/common.cuh"

// Products of all three kinds by one kernel: out = finish(a b^T), a [rows, depth], b [cols, depth], each stored along its
// depth or across it. Operands are rounded to bf16 on their way into shared memory, so no rounded copy of an activation is
// ever written; or they stay f32.

namespace folio::cuda {

/// One side of a product: element (lane, k) lies at data[lane * lane_step + k * depth_step]; one of the steps is 1.
struct Device::Factor {
    const void* data = nullptr;
    bool rounded = false;  // bf16, else f32
    std::ptrdiff_t lane_step = 0, depth_step = 0;
    std::size_t apart = 0;  // from one product of a batch to the next

    static Factor along(const float* data, std::ptrdiff_t stride) { return {data, false, stride, 1, 0}; }
    static Factor across(const float* data, std::ptrdiff_t stride) { return {data, false, 1, stride, 0}; }
};

namespace {

/// What happens to a sum before it is stored.
struct Finish {
    enum class Kind { store, relu2, relu2_backward, blend };
    Kind kind = Kind::store;
    Matrix out;
    // relu2_backward: the forward's max(0, z)^2. blend: out = keep * other + add * dropout(sum).
    Matrix other;
    int period = 0;  // row r of out meets row r % period of other; 0: row r
    float keep = 1, add = 1;
    Dropout dropout;
    std::size_t out_apart = 0, other_apart = 0;

    __device__ void operator()(int batch, int row, int col, float sum) const {
        if (row >= out.rows || col >= out.cols) return;
        float* to = out.row(row) + col + batch * out_apart;
        const auto beside = [&] { return other.row(period > 0 ? row % period : row)[col + batch * other_apart]; };
        switch (kind) {
            case Kind::store: *to = sum; break;
            case Kind::relu2: {
                // Not fmaxf, which would turn what is no number into 0.
                const float positive = sum < 0.f ? 0.f : sum;
                *to = positive * positive;
                break;
            }
            case Kind::relu2_backward: *to = sum * 2.f * sqrtf(beside()); break;
            case Kind::blend:
                if (dropout.rate > 0.f) sum *= dropout_factor(dropout, row, col, out.cols);
                *to = keep * beside() + add * sum;
                break;
        }
    }
};

}  // namespace

struct Device::Product {
    Factor a, b;
    int depth = 0;
    /// 0: all of the depth. Else product i of the batch is over the i-th part of this length.
    int part = 0;
    Finish finish;
};

namespace {

constexpr int tile = 128;          // rows and columns of a block
constexpr int tile_depth = 32;
constexpr int pad = 8;             // bf16 numbers, so that eight rows of a tile lie in different banks
constexpr int unit = 4;            // numbers that a thread moves at once
constexpr int units = tile * tile_depth / unit / block_threads;

/// A tile of an operand on its way to shared memory: [lane][depth] where the operand is stored along its depth, else
/// [depth][lane]. What lies outside is 0.
template <class T, bool along>
class Tile {
public:
    static constexpr int minor = along ? tile_depth : tile, stride = minor + pad, size = (along ? tile : tile_depth) * stride;

    /// `data`: element (0, 0) of the operand, whose rows of memory are `step` apart. `wide`: they start where a vector may.
    __device__ void fetch(const T* data, std::ptrdiff_t step, bool wide, int lanes, int depth, int lane, int k) {
        const int majors = along ? lanes : depth, minors = along ? depth : lanes;
        const int major = along ? lane : k, first = along ? k : lane;
#pragma unroll
        for (int u = 0; u < units; ++u) {
            const int at = u * block_threads + static_cast<int>(threadIdx.x);
            const int i = major + at / (minor / unit), j = first + at % (minor / unit) * unit;
            const T* from = data + i * step + j;
            std::uint32_t(&to)[2] = held_[u];
            if (i < majors && wide && j + unit <= minors) {
                if constexpr (sizeof(T) == sizeof(float)) {
                    const float4 four = *reinterpret_cast<const float4*>(from);
                    to[0] = pack_bf16(four.x, four.y);
                    to[1] = pack_bf16(four.z, four.w);
                } else {
                    const uint2 four = *reinterpret_cast<const uint2*>(from);
                    to[0] = four.x;
                    to[1] = four.y;
                }
                continue;
            }
            for (int half = 0; half < 2; ++half) {
                const bool one = i < majors && j + 2 * half < minors, two = i < majors && j + 2 * half + 1 < minors;
                if constexpr (sizeof(T) == sizeof(float)) {
                    to[half] = pack_bf16(one ? from[2 * half] : 0.f, two ? from[2 * half + 1] : 0.f);
                } else {
                    to[half] = (one ? from[2 * half] : 0u) | (two ? static_cast<std::uint32_t>(from[2 * half + 1]) << 16 : 0u);
                }
            }
        }
    }
    __device__ void put(Bf16* shared) const {
#pragma unroll
        for (int u = 0; u < units; ++u) {
            const int at = u * block_threads + static_cast<int>(threadIdx.x);
            auto* to = reinterpret_cast<std::uint32_t*>(shared + at / (minor / unit) * stride + at % (minor / unit) * unit);
            to[0] = held_[u][0];
            to[1] = held_[u][1];
        }
    }

private:
    std::uint32_t held_[units][2];
};

/// The four 8 x 8 tiles of 16 lanes and 16 steps of depth: (lanes 0..7, depth 0..7), then by `lanes_first` lanes or depth.
template <bool along>
__device__ void load_square(std::uint32_t (&tiles)[4], const Bf16* shared, int stride, int first, int k, bool lanes_first) {
    const int self = lane(), row = self % 8;
    const int second = self / 8 % 2 * 8, third = self / 16 * 8;
    const int l = first + (lanes_first ? second : third), d = k + (lanes_first ? third : second);
    if (along) load_tiles(tiles, shared + (l + row) * stride + d);
    else load_tiles_transposed(tiles, shared + (d + row) * stride + l);
}

/// bf16 on the tensor cores: 8 warps of 32 x 64 each, the next tiles fetched while these are multiplied.
template <bool a_along, class B, bool b_along>
__global__ void __launch_bounds__(block_threads) tensor_product(const float* a, std::ptrdiff_t a_step, bool a_wide, std::size_t a_apart, const B* b,
                                                                std::ptrdiff_t b_step, bool b_wide, std::size_t b_apart, int depth, int part,
                                                                Finish finish) {
    using TileA = Tile<float, a_along>;
    using TileB = Tile<B, b_along>;
    alignas(16) __shared__ Bf16 shared_a[2][TileA::size];
    alignas(16) __shared__ Bf16 shared_b[2][TileB::size];
    const int batch = static_cast<int>(blockIdx.z);
    const int row = static_cast<int>(blockIdx.x) * tile, col = static_cast<int>(blockIdx.y) * tile;
    const int begin = part > 0 ? batch * part : 0, end = part > 0 && depth - begin > part ? begin + part : depth;
    a += batch * a_apart;
    b += batch * b_apart;
    const int warp = static_cast<int>(threadIdx.x) / warp_size, self = lane();
    const int warp_row = warp % 4 * 32, warp_col = warp / 4 * 64;

    float sums[2][8][4] = {};
    TileA next_a;
    TileB next_b;
    next_a.fetch(a, a_step, a_wide, finish.out.rows, end, row, begin);
    next_b.fetch(b, b_step, b_wide, finish.out.cols, end, col, begin);
    for (int k = begin, buffer = 0; k < end; k += tile_depth, buffer ^= 1) {
        next_a.put(shared_a[buffer]);
        next_b.put(shared_b[buffer]);
        // One barrier a turn: who writes this buffer again has passed the next turn's barrier, so everyone has read it.
        __syncthreads();
        if (k + tile_depth < end) {
            next_a.fetch(a, a_step, a_wide, finish.out.rows, end, row, k + tile_depth);
            next_b.fetch(b, b_step, b_wide, finish.out.cols, end, col, k + tile_depth);
        }
#pragma unroll
        for (int step = 0; step < tile_depth; step += 16) {
            std::uint32_t left[2][4];
            for (int i = 0; i < 2; ++i) load_square<a_along>(left[i], shared_a[buffer], TileA::stride, warp_row + 16 * i, step, true);
            for (int j = 0; j < 4; ++j) {
                std::uint32_t right[4];
                load_square<b_along>(right, shared_b[buffer], TileB::stride, warp_col + 16 * j, step, false);
                for (int i = 0; i < 2; ++i) {
                    multiply_add(sums[i][2 * j], left[i], right[0], right[1]);
                    multiply_add(sums[i][2 * j + 1], left[i], right[2], right[3]);
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 8; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                finish(batch, row + warp_row + 16 * i + self / 4 + e / 2 * 8, col + warp_col + 8 * j + self % 4 * 2 + e % 2, sums[i][j][e]);
}

constexpr int plain_tile = 64, plain_depth = 16;

/// f32 throughout: 4 x 4 sums a thread, in order of depth.
__global__ void __launch_bounds__(block_threads) plain_product(const float* a, std::ptrdiff_t a_lane, std::ptrdiff_t a_depth, std::size_t a_apart,
                                                               const float* b, std::ptrdiff_t b_lane, std::ptrdiff_t b_depth, std::size_t b_apart,
                                                               int depth, int part, Finish finish) {
    __shared__ float shared_a[plain_depth][plain_tile + 1], shared_b[plain_depth][plain_tile + 1];
    const int batch = static_cast<int>(blockIdx.z), self = static_cast<int>(threadIdx.x);
    const int row = static_cast<int>(blockIdx.x) * plain_tile, col = static_cast<int>(blockIdx.y) * plain_tile;
    const int begin = part > 0 ? batch * part : 0, end = part > 0 && depth - begin > part ? begin + part : depth;
    a += batch * a_apart;
    b += batch * b_apart;
    const auto fetch = [&](float(&shared)[plain_depth][plain_tile + 1], const float* from, std::ptrdiff_t lane_step, std::ptrdiff_t depth_step,
                           int first, int lanes, int k) {
        for (int at = self; at < plain_tile * plain_depth; at += block_threads) {
            // Neighbouring threads read what lies side by side.
            const int lane = depth_step == 1 ? at / plain_depth : at % plain_tile, d = depth_step == 1 ? at % plain_depth : at / plain_tile;
            const bool inside = first + lane < lanes && k + d < end;
            shared[d][lane] = inside ? from[(first + lane) * lane_step + (k + d) * depth_step] : 0.f;
        }
    };
    const int my_row = self / 16 * 4, my_col = self % 16 * 4;
    float sums[4][4] = {};
    for (int k = begin; k < end; k += plain_depth) {
        fetch(shared_a, a, a_lane, a_depth, row, finish.out.rows, k);
        fetch(shared_b, b, b_lane, b_depth, col, finish.out.cols, k);
        __syncthreads();
        for (int d = 0; d < plain_depth; ++d)
            for (int i = 0; i < 4; ++i)
                for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(shared_a[d][my_row + i], shared_b[d][my_col + j], sums[i][j]);
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) finish(batch, row + my_row + i, col + my_col + j, sums[i][j]);
}

/// A copy of a weight for products, rows `stride` apart, the rest of each row 0.
template <class T>
__global__ void copy_weight(T* to, const float* from, int rows, int cols, int stride) {
    const std::size_t at = static_cast<std::size_t>(blockIdx.x) * block_threads + threadIdx.x;
    if (at >= static_cast<std::size_t>(rows) * stride) return;
    const auto row = static_cast<std::ptrdiff_t>(at / stride);
    const int col = static_cast<int>(at % stride);
    const float value = col < cols ? from[row * cols + col] : 0.f;
    if constexpr (sizeof(T) == sizeof(float)) to[at] = value;
    else to[at] = static_cast<Bf16>(pack_bf16(value, 0.f));
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

bool aligned(const void* data, std::ptrdiff_t stride, std::size_t apart, std::size_t bytes) {
    return reinterpret_cast<std::uintptr_t>(data) % bytes == 0 && stride % unit == 0 && apart % unit == 0;
}

}  // namespace

void Device::multiply(Product p, int batch) {
    const Matrix& out = p.finish.out;
    const auto grid = [&](int size) {
        return dim3(static_cast<unsigned>(divide_up(out.rows, size)), static_cast<unsigned>(divide_up(out.cols, size)), static_cast<unsigned>(batch));
    };
    const auto* a = static_cast<const float*>(p.a.data);
    if (precision_ == Precision::f32) {
        return launch(plain_product, grid(plain_tile), a, p.a.lane_step, p.a.depth_step, p.a.apart, static_cast<const float*>(p.b.data),
                      p.b.lane_step, p.b.depth_step, p.b.apart, p.depth, p.part, p.finish);
    }
    const bool a_along = p.a.depth_step == 1, b_along = p.b.depth_step == 1;
    const std::ptrdiff_t a_step = a_along ? p.a.lane_step : p.a.depth_step, b_step = b_along ? p.b.lane_step : p.b.depth_step;
    const bool a_wide = aligned(a, a_step, p.a.apart, sizeof(float4));
    const auto go = [&](auto kernel, const auto* b) {
        launch(kernel, grid(tile), a, a_step, a_wide, p.a.apart, b, b_step, aligned(b, b_step, p.b.apart, unit * sizeof(*b)), p.b.apart, p.depth,
               p.part, p.finish);
    };
    const auto* rounded = static_cast<const Bf16*>(p.b.data);
    const auto* b = static_cast<const float*>(p.b.data);
    if (p.b.rounded) return b_along ? go(tensor_product<true, Bf16, true>, rounded) : go(tensor_product<true, Bf16, false>, rounded);
    if (!a_along) return go(tensor_product<false, float, false>, b);
    return b_along ? go(tensor_product<true, float, true>, b) : go(tensor_product<true, float, false>, b);
}

Result<void> Device::pack(Weight& weight, const WeightValues& values, int out, int in, bool) {
    if (!values.f32) return fail("The GPU computes no integer weights; run this model with --device cpu.");
    const bool rounded = precision_ == Precision::bf16;
    const int stride = packed_stride(in);
    const std::size_t count = static_cast<std::size_t>(out) * stride, bytes = count * (rounded ? sizeof(Bf16) : sizeof(float));
    if (weight.forward.bytes() != bytes) {
        auto fresh = allocate(bytes);
        if (!fresh) return tl::unexpected(fresh.error());
        weight.forward = std::move(*fresh);
    }
    weight.out = out;
    weight.in = in;
    // One copy serves both directions, since a product takes either order.
    if (rounded) launch(copy_weight<Bf16>, for_elements(count), weight.forward.as<Bf16>(), values.f32, out, in, stride);
    else launch(copy_weight<float>, for_elements(count), weight.forward.as<float>(), values.f32, out, in, stride);
    return {};
}

void Device::linear(Matrix out, Matrix in, const Weight& weight, const Epilogue& epilogue) {
    Product p;
    p.a = Factor::along(in.data, in.stride);
    p.b = {weight.forward.as<void>(), precision_ == Precision::bf16, packed_stride(weight.in), 1, 0};
    p.depth = weight.in;
    p.finish.out = out;
    switch (epilogue.kind) {
        case Epilogue::Kind::store: break;
        case Epilogue::Kind::relu2: p.finish.kind = Finish::Kind::relu2; break;
        case Epilogue::Kind::residual:
            p.finish.kind = Finish::Kind::blend;
            p.finish.other = epilogue.residual;
            p.finish.dropout = epilogue.dropout;
            break;
    }
    multiply(p, 1);
}

void Device::mix(Matrix out, Matrix weights, const float* table, const float* positions, int length) {
    // What goes in are noise and probabilities: f32 in either precision.
    Finish finish;
    finish.out = out;
    if (positions) {
        finish.kind = Finish::Kind::blend;
        finish.other = {const_cast<float*>(positions), length, out.cols};
        finish.period = length;
    }
    const dim3 grid(static_cast<unsigned>(divide_up(out.rows, plain_tile)), static_cast<unsigned>(divide_up(out.cols, plain_tile)));
    launch(plain_product, grid, weights.data, static_cast<std::ptrdiff_t>(weights.stride), std::ptrdiff_t{1}, std::size_t{0}, table,
           std::ptrdiff_t{1}, static_cast<std::ptrdiff_t>(out.cols), std::size_t{0}, weights.cols, 0, finish);
}

void Device::linear_backward_input(Matrix dx, Matrix dy, const Weight& weight, const Matrix* relu2_out) {
    Product p;
    p.a = Factor::along(dy.data, dy.stride);
    p.b = {weight.forward.as<void>(), precision_ == Precision::bf16, 1, packed_stride(weight.in), 0};
    p.depth = weight.out;
    p.finish.out = dx;
    if (relu2_out) {
        p.finish.kind = Finish::Kind::relu2_backward;
        p.finish.other = *relu2_out;
    }
    multiply(p, 1);
}

void Device::linear_backward_weight(Matrix dw, Matrix dy, Matrix x) {
    // Few tiles and a long sum: it is cut into parts, which are added up in order.
    constexpr int most_parts = 16, least_part = 512;
    if (dy.rows == 0) return;
    const int parts = std::clamp(dy.rows / least_part, 1, most_parts);
    const std::size_t size = static_cast<std::size_t>(dw.rows) * dw.cols;
    auto* sums = static_cast<float*>(workspace(parts * size * sizeof(float)));
    if (!sums) return;
    Product p;
    p.a = Factor::across(dy.data, dy.stride);
    p.b = Factor::across(x.data, x.stride);
    p.depth = dy.rows;
    p.part = divide_up(divide_up(dy.rows, parts), tile_depth) * tile_depth;
    p.finish.out = {sums, dw.rows, dw.cols};
    p.finish.out_apart = size;
    const int used = std::max(1, divide_up(p.depth, p.part));
    multiply(p, used);
    launch(add_parts, for_elements(size), dw, static_cast<const float*>(sums), used);
}

// ---- Muon: Newton-Schulz by products --------------------------------------------------------------------------------

namespace {

constexpr int norm_chunk = 1 << 14;

/// momentum and x = the update by Nesterov, transposed where the matrix is taller than wide; grid.y counts matrices.
__global__ void begin_muon(float* momentum, const float* gradient, const float* scale, std::size_t apart, float* x, int rows, int cols,
                           const Muon* options) {
    const int size = rows * cols, at = static_cast<int>(blockIdx.x) * block_threads + static_cast<int>(threadIdx.x);
    if (at >= size || isnan(*scale)) return;
    const std::size_t i = blockIdx.y * apart + at;
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
    for (int i = first + self; i < size && i < first + norm_chunk; i += block_threads) sum += static_cast<double>(x[i]) * x[i];
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

__global__ void end_muon(float* parameters, const float* scale, std::size_t apart, const float* x, int rows, int cols, const Muon* options) {
    const int size = rows * cols, at = static_cast<int>(blockIdx.x) * block_threads + static_cast<int>(threadIdx.x);
    if (at >= size || isnan(*scale)) return;
    const float step = options->lr * sqrtf(fmaxf(1.f, static_cast<float>(rows) / static_cast<float>(cols)));
    float& value = parameters[blockIdx.y * apart + at];
    x += static_cast<std::size_t>(blockIdx.y) * size;
    value = value * (1.f - options->lr * options->weight_decay) - step * x[rows > cols ? at % cols * rows + at / cols : at];
}

}  // namespace

void Device::muon(float* parameters, float* momentum, const float* gradient, const float* scale, int rows, int cols, int matrices,
                  std::size_t apart, const Muon* options) {
    // The orthogonal factor is sought on the side with fewer rows.
    const int r = std::min(rows, cols), c = std::max(rows, cols), chunks = divide_up(rows * cols, norm_chunk);
    const std::size_t size = static_cast<std::size_t>(rows) * cols, square = static_cast<std::size_t>(r) * r, n = static_cast<std::size_t>(matrices);
    const std::size_t partial = (n * chunks + 1) / 2 * 2;  // what follows is aligned
    auto* sums = static_cast<double*>(workspace(partial * sizeof(double) + n * (2 * size + 2 * square) * sizeof(float)));
    if (!sums) return;
    auto *x = reinterpret_cast<float*>(sums + partial), *turned = x + n * size, *gram = turned + n * size, *polynomial = gram + n * square;
    const dim3 grid(for_elements(size).x, static_cast<unsigned>(matrices));
    launch(begin_muon, grid, momentum, gradient, scale, apart, x, rows, cols, options);
    launch(chunk_squares, dim3(static_cast<unsigned>(chunks), static_cast<unsigned>(matrices)), sums, static_cast<const float*>(x), rows * cols);
    launch(normalise, grid, x, static_cast<const double*>(sums), chunks, rows * cols);

    const auto along = [&](const float* data, int stride, std::size_t between) { return Factor{data, false, stride, 1, between}; };
    const auto across = [&](const float* data, int stride, std::size_t between) { return Factor{data, false, 1, stride, between}; };
    const auto blend = [&](float* out, int width, std::size_t out_apart, const float* other, float keep, float add) {
        Finish finish;
        finish.kind = Finish::Kind::blend;
        finish.out = {out, r, width};
        finish.other = {const_cast<float*>(other), r, width};
        finish.keep = keep;
        finish.add = add;
        finish.out_apart = finish.other_apart = out_apart;
        return finish;
    };
    constexpr float a1 = 3.4445f, a3 = -4.7750f, a5 = 2.0315f;
    for (int iteration = 0; iteration < 5; ++iteration) {
        Finish store;
        store.out = {gram, r, r};
        store.out_apart = square;
        multiply({along(x, c, size), along(x, c, size), c, 0, store}, matrices);
        multiply({along(gram, r, square), across(gram, r, square), r, 0, blend(polynomial, r, square, gram, a3, a5)}, matrices);
        // Other blocks still read x, so the new one lies elsewhere.
        multiply({along(polynomial, r, square), across(x, c, size), r, 0, blend(turned, c, size, x, a1, 1.f)}, matrices);
        std::swap(x, turned);
    }
    launch(end_muon, grid, parameters, scale, apart, static_cast<const float*>(x), rows, cols, options);
}

}  // namespace folio::cuda
