#include "core/base/normals.h"
#include "native/cuda/device.cuh"
#include "native/cuda/reduce.cuh"

// Corruption of a batch: windows of the text, masked or noised by the same Philox numbers as on the CPU.

namespace folio::cuda {
namespace {

/// A block a window. A position is masked where fewer than counts[b] others come before it, so nothing is sorted.
__global__ void mask_windows(int* input, int* targets, float* weights, const int* text, const int* starts,
                             const int* counts, const float* window_weights, int length, int mask_id,
                             std::uint64_t seed, const std::uint32_t* step) {
    __shared__ std::uint64_t keys[block_threads];
    const int b = static_cast<int>(blockIdx.x), self = static_cast<int>(threadIdx.x);
    const std::size_t row = static_cast<std::size_t>(b) * length;
    const auto key = [&](int position) {
        const std::uint32_t word = philox_word(seed, row + position, *step, Purpose::mask_position);
        return static_cast<std::uint64_t>(word) << 32 | static_cast<std::uint32_t>(position);
    };
    for (int first = 0; first < length; first += block_threads) {
        const int position = first + self;
        const std::uint64_t own = position < length ? key(position) : 0;
        int before = 0;
        for (int other = 0; other < length; other += block_threads) {
            __syncthreads();
            if (other + self < length) keys[self] = key(other + self);
            __syncthreads();
            for (int i = 0; i < block_threads && other + i < length; ++i) before += keys[i] < own;
        }
        if (position >= length) continue;
        const bool masked = before < counts[b];
        const int id = text[starts[b] + position];
        input[row + position] = masked ? mask_id : id;
        targets[row + position] = id;
        weights[row + position] = masked ? window_weights[b] : 0.f;
    }
}

__global__ void autoregressive_windows(int* input, int* targets, float* weights, const int* text, const int* starts,
                                       int rows, int length, int vocab_size, float noise, std::uint64_t seed,
                                       const std::uint32_t* step) {
    const int r = static_cast<int>(thread_index());
    if (r >= rows) return;
    const int* at = text + starts[r / length] + r % length;
    const Words words = philox(seed, static_cast<std::uint64_t>(r), *step, Purpose::input_noise);
    const bool replaced = uniform(words.word[0]) < static_cast<double>(noise);
    input[r] = replaced ? static_cast<int>(uniform(words.word[1]) * vocab_size) : at[0];
    targets[r] = at[1];
    weights[r] = 1.f / static_cast<float>(rows);
}

/// A warp a row, a lane four characters at a time, as normals.h numbers them.
__global__ void noisy_windows(GaussianRows rows, const int* text, const int* starts, int batch, int length,
                              int vocab_size, GaussianNoise how) {
    const int r = warp_index(), b = r / length;
    if (r >= batch * length) return;
    const int id = text[starts[b] + r % length], quads = divide_up(vocab_size, 4);
    const bool conditioned = how.conditioned[r] != 0;
    const RowNoise& row_noise = how.windows[conditioned ? batch : b];
    const int time_rows = how.time_rows;
    float* row = rows.soft_tokens.row(r);
    for (int q = lane(); q < quads; q += warp_size) {
        const std::uint64_t counter =
            static_cast<std::uint64_t>(r) * static_cast<std::uint64_t>(quads) + static_cast<std::uint64_t>(q);
        const std::array<double, 4> eps = box_muller(philox(how.seed, counter, *how.step, Purpose::diffuse));
        for (int i = 0; i < 4 && 4 * q + i < vocab_size; ++i) {
            const int v = 4 * q + i;
            rows.set_element(r, v, (v == id ? 1.f : 0.f) - how.centre,
                             static_cast<float>(eps[static_cast<std::size_t>(i)]), row_noise);
        }
    }
    for (int i = lane(); i < time_rows; i += warp_size)
        row[vocab_size + i] = how.features[static_cast<std::ptrdiff_t>(b) * time_rows + i];
    // Room for self-conditioning, and the flag of conditioned positions.
    const int last = rows.soft_tokens.cols - 1;
    for (int i = vocab_size + time_rows + lane(); i <= last; i += warp_size)
        row[i] = i == last && conditioned ? 1.f : 0.f;
    if (lane() > 0) return;
    rows.targets[r] = id;
    rows.weights[r] = row_noise.loss_weight;
}

}  // namespace

void Device::corrupt_masked(int* input, int* targets, float* weights, const int* text, const int* starts,
                            const int* counts, const float* window_weights, int batch, int length, int mask_id,
                            std::uint64_t seed, const std::uint32_t* step) {
    launch(mask_windows, dim3(static_cast<unsigned>(batch)), input, targets, weights, text, starts, counts,
           window_weights, length, mask_id, seed, step);
}

void Device::corrupt_autoregressive(int* input, int* targets, float* weights, const int* text, const int* starts,
                                    int batch, int length, int vocab_size, float noise, std::uint64_t seed,
                                    const std::uint32_t* step) {
    launch(autoregressive_windows, for_elements(static_cast<std::size_t>(batch) * length), input, targets, weights,
           text, starts, batch * length, length, vocab_size, noise, seed, step);
}

void Device::corrupt_gaussian(const GaussianRows& rows, const int* text, const int* starts, int batch, int length,
                              int vocab_size, const GaussianNoise& how) {
    launch(noisy_windows, for_rows(static_cast<std::size_t>(batch) * length), rows, text, starts, batch, length,
           vocab_size, how);
}

}  // namespace folio::cuda
