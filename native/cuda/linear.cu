#include <algorithm>

#include "native/cuda/gemm.cuh"

// Linear layers and their backward passes, and the soft embedding: products of gemm.cuh.

namespace folio::cuda {
namespace {

/// A copy of a weight for products, rows `stride` apart, the rest of each row 0.
template <class T>
__global__ void copy_weight(T* to, const float* from, int rows, int cols, int stride) {
    const std::size_t at = thread_index();
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
    const int at = static_cast<int>(thread_index()), size = out.rows * out.cols;
    if (at >= size) return;
    float sum = parts[at];
    for (int i = 1; i < count; ++i) sum += parts[static_cast<std::size_t>(i) * size + at];
    out.row(at / out.cols)[at % out.cols] += sum;
}

/// A row of a packed weight, in numbers: what a vector load likes.
int packed_stride(int in) { return divide_up(in, 8) * 8; }

}  // namespace

Result<void> Device::pack(PackedWeight& weight, const WeightSource& values, int out, int in, bool) {
    if (!values.f32) return fail("The GPU computes no integer weights; run this model with --device cpu.");
    const bool rounded = precision_ == Precision::bf16;
    const int stride = packed_stride(in);
    const std::size_t count = static_cast<std::size_t>(out) * stride;
    if (auto done = resize(weight.forward, count * (rounded ? sizeof(Bf16) : sizeof(float))); !done) return done;
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

}  // namespace folio::cuda
