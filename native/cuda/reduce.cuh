#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "core/base/host_device.h"

// Which thread this is, and sums and maxima over the threads of a warp or a block.

namespace folio::cuda {

constexpr int warp_size = 32;
constexpr unsigned all_lanes = 0xFFFFFFFFu;
constexpr int block_threads = 256;
constexpr int block_warps = block_threads / warp_size;

FOLIO_HOST_DEVICE constexpr int divide_up(int a, int b) { return (a + b - 1) / b; }

/// The number of this thread among those of all blocks, each of block_threads.
__device__ inline std::size_t thread_index() {
    return static_cast<std::size_t>(blockIdx.x) * block_threads + threadIdx.x;
}
/// The number of this thread within its warp, and that of the warp within its block.
__device__ inline int lane() { return static_cast<int>(threadIdx.x) % warp_size; }
__device__ inline int warp_in_block() { return static_cast<int>(threadIdx.x) / warp_size; }
/// The number of this warp among those of all blocks, each of block_threads.
__device__ inline int warp_index() { return static_cast<int>(blockIdx.x) * block_warps + warp_in_block(); }

/// Sums over a warp, the same in every lane and every run.
template <class T>
__device__ inline T warp_sum(T value) {
    for (int step = warp_size / 2; step > 0; step /= 2) value += __shfl_xor_sync(all_lanes, value, step);
    return value;
}

__device__ inline float warp_max(float value) {
    for (int step = warp_size / 2; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(all_lanes, value, step));
    return value;
}

/// The sum over a block of block_threads, in thread 0.
__device__ inline double block_sum(double sum) {
    __shared__ double warps[block_warps];
    sum = warp_sum(sum);
    if (lane() == 0) warps[warp_in_block()] = sum;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 1; i < block_warps; ++i) sum += warps[i];
    return sum;
}

}  // namespace folio::cuda
