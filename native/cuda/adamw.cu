#include "native/cuda/common.cuh"

// The update but for Muon (linear.cu): sums over all gradients, AdamW over a whole range of the arena at once, the
// average.

namespace folio::cuda {
namespace {

constexpr int chunk = 1 << 14;  // of a sum, a block each

__device__ std::size_t thread_index() { return static_cast<std::size_t>(blockIdx.x) * block_threads + threadIdx.x; }

/// The sum over a block in thread 0.
__device__ double block_sum(double sum) {
    __shared__ double warps[block_warps];
    const int self = static_cast<int>(threadIdx.x);
    sum = warp_sum(sum);
    if (self % warp_size == 0) warps[self / warp_size] = sum;
    __syncthreads();
    if (self == 0)
        for (int i = 1; i < block_warps; ++i) sum += warps[i];
    return sum;
}

__global__ void sum_chunks(double* sums, const float* data, std::size_t count, bool squared) {
    const std::size_t first = static_cast<std::size_t>(blockIdx.x) * chunk,
                      end = count - first < chunk ? count : first + chunk;
    double sum = 0;
    for (std::size_t i = first + threadIdx.x; i < end; i += block_threads)
        sum += squared ? static_cast<double>(data[i]) * data[i] : data[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void sum_sums(double* result, const double* sums, int count) {
    double sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += block_threads) sum += sums[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *result = sum;
}

__global__ void clip_scale(float* scale, const double* sum_of_squares, const double* loss, float largest) {
    if (threadIdx.x > 0) return;
    const double norm = sqrt(*sum_of_squares);
    if (!isfinite(norm) || !isfinite(*loss))
        *scale = NAN;
    else
        *scale = norm > largest ? static_cast<float>(largest / norm) : 1.f;
}

__global__ void adamw_elements(float* parameters, float* moment1, float* moment2, const float* gradient,
                               const float* scale, std::size_t count, const AdamW* options) {
    const std::size_t i = thread_index();
    if (i >= count || isnan(*scale)) return;
    const AdamW o = *options;
    const float g = gradient[i] * *scale;
    const float m = moment1[i] = o.beta1 * moment1[i] + (1.f - o.beta1) * g;
    const float v = moment2[i] = o.beta2 * moment2[i] + (1.f - o.beta2) * g * g;
    parameters[i] =
        parameters[i] * (1.f - o.lr * o.weight_decay) - o.lr * (m / o.correction1) / (sqrtf(v / o.correction2) + o.eps);
}

__global__ void ema_elements(float* average, const float* values, const float* scale, std::size_t count,
                             const float* decay) {
    const std::size_t i = thread_index();
    if (i >= count || isnan(*scale)) return;
    average[i] = *decay * average[i] + (1.f - *decay) * values[i];
}

}  // namespace

void Device::total(double* result, const float* data, std::size_t count, bool squared) {
    const int chunks = static_cast<int>((count + chunk - 1) / chunk);
    auto* sums = static_cast<double*>(workspace(static_cast<std::size_t>(chunks) * sizeof(double)));
    if (!sums) return;
    launch(sum_chunks, dim3(static_cast<unsigned>(chunks)), sums, data, count, squared);
    launch(sum_sums, dim3(1), result, static_cast<const double*>(sums), chunks);
}

void Device::sum_of_squares(double* result, const float* data, std::size_t count) { total(result, data, count, true); }

void Device::sum(double* result, const float* data, std::size_t count) { total(result, data, count, false); }

void Device::clip(float* scale, const double* sum_of_squares, const double* loss, float largest) {
    launch_with(warp_size, clip_scale, dim3(1), scale, sum_of_squares, loss, largest);
}

void Device::adamw(float* parameters, float* moment1, float* moment2, const float* gradient, const float* scale,
                   std::size_t count, const AdamW* options) {
    launch(adamw_elements, for_elements(count), parameters, moment1, moment2, gradient, scale, count, options);
}

void Device::ema(float* average, const float* values, const float* scale, std::size_t count, const float* decay) {
    launch(ema_elements, for_elements(count), average, values, scale, count, decay);
}

}  // namespace folio::cuda
