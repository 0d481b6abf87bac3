#include <algorithm>
#include <utility>

#include "native/cuda/gemm.cuh"

// The update: sums over all gradients, AdamW over a whole range of the arena at once, Muon over the matrices of one
// shape, the average.

namespace folio::cuda {
namespace {

constexpr int chunk = 1 << 14;  // of a sum, a block each

/// Each block's sum of a chunk of an array; grid.y counts arrays, which lie one after another.
__global__ void sum_chunks(double* sums, const float* data, std::size_t count, bool squared) {
    data += blockIdx.y * count;
    const std::size_t first = static_cast<std::size_t>(blockIdx.x) * chunk,
                      end = count - first < chunk ? count : first + chunk;
    double sum = 0;
    for (std::size_t i = first + threadIdx.x; i < end; i += block_threads)
        sum += squared ? static_cast<double>(data[i]) * data[i] : data[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.y * gridDim.x + blockIdx.x] = sum;
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

// ---- Muon: Newton-Schulz by products ------------------------------------------------------------------------------

namespace {

/// momentum and x = the update by Nesterov, transposed where the matrix is taller than wide; grid.y counts matrices.
__global__ void begin_muon(float* momentum, const float* gradient, const float* scale, std::size_t batch_stride,
                           float* x, int rows, int cols, const Muon* options) {
    const int size = rows * cols, at = static_cast<int>(thread_index());
    if (at >= size || isnan(*scale)) return;
    const std::size_t i = blockIdx.y * batch_stride + at;
    const float g = gradient[i] * *scale;
    momentum[i] = options->momentum * momentum[i] + g;
    x += static_cast<std::size_t>(blockIdx.y) * size;
    x[rows > cols ? at % cols * rows + at / cols : at] = g + options->momentum * momentum[i];
}

__global__ void normalise(float* x, const double* sums, int chunks, int size) {
    const int at = static_cast<int>(thread_index());
    if (at >= size) return;
    double sum = 0;
    for (int i = 0; i < chunks; ++i) sum += sums[blockIdx.y * chunks + i];
    x[static_cast<std::size_t>(blockIdx.y) * size + at] *= static_cast<float>(1.0 / (sqrt(sum) + 1e-7));
}

__global__ void end_muon(float* parameters, const float* scale, std::size_t batch_stride, const float* x, int rows,
                         int cols, const Muon* options) {
    const int size = rows * cols, at = static_cast<int>(thread_index());
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
    const int r = std::min(rows, cols), c = std::max(rows, cols), chunks = divide_up(rows * cols, chunk);
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
    launch(sum_chunks, dim3(static_cast<unsigned>(chunks), static_cast<unsigned>(matrices)), sums,
           static_cast<const float*>(x), size, true);
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
