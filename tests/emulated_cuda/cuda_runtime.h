#pragma once

#include <math.h>
#include <setjmp.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <type_traits>
#include <vector>

// CUDA on the CPU, as far as native/cuda goes: with this folder before the toolkit's on the include path its sources
// compile as C++, and the tests of the GPU run where there is none. Blocks run one after another; the threads of a
// block are fibers that take turns, from one barrier, shuffle or tensor product to the next.
// FOLIO_EMULATED_ORDER=reverse lets the last thread go first, which shows a missing barrier. Memory begins as NaN.
// Nothing here says how fast anything is.

#define __host__
#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

constexpr std::size_t stack_bytes = 1 << 16;
constexpr int lanes = 32;

/// Barrier of threads; those that have returned no longer count.
struct Barrier {
    int alive = 0, waiting = 0;
    unsigned generation = 0;

    void release() {
        if (waiting == 0 || waiting < alive) return;
        waiting = 0;
        ++generation;
    }
};

struct Warp {
    Barrier barrier;
    std::uint32_t slots[2][lanes][8];  // what its lanes show each other, in turns
};

struct Thread {
    jmp_buf jump;
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[stack_bytes]};
    bool started = false, done = false;
    int index = 0, turn = 0;
};

inline std::vector<std::unique_ptr<Thread>> threads;
inline std::vector<Warp> warps;
inline Barrier block;
inline Thread* self = nullptr;
inline jmp_buf scheduler;
inline const std::function<void()>* body = nullptr;
inline std::size_t progress = 0;

inline void yield() {
    if (_setjmp(self->jump) == 0) _longjmp(scheduler, 1);
}

inline void wait(Barrier& barrier) {
    const unsigned generation = barrier.generation;
    ++barrier.waiting;
    ++progress;
    barrier.release();
    while (barrier.generation == generation) yield();
}

inline Warp& warp() { return warps[static_cast<std::size_t>(self->index / lanes)]; }
inline int lane() { return self->index % lanes; }

/// A thread of one block after another: a fiber is made once.
inline void enter() {
    for (;;) {
        (*body)();
        self->done = true;
        ++progress;
        --block.alive;
        block.release();
        --warp().barrier.alive;
        warp().barrier.release();
        yield();
    }
}

/// The scheduler's own stack frame: what it holds must survive a longjmp.
inline void resume(Thread& thread) {
    self = &thread;
    threadIdx = dim3(static_cast<unsigned>(thread.index), 0, 0);
    if (_setjmp(scheduler) != 0) return;
    if (thread.started) _longjmp(thread.jump, 1);
    thread.started = true;
    setcontext(&thread.context);
}

inline void run_block(int count) {
    static const bool reverse = [] {
        const char* order = std::getenv("FOLIO_EMULATED_ORDER");
        return order && std::strcmp(order, "reverse") == 0;
    }();
    while (threads.size() < static_cast<std::size_t>(count)) threads.push_back(std::make_unique<Thread>());
    warps.resize(static_cast<std::size_t>((count + lanes - 1) / lanes));
    for (Warp& w : warps) w.barrier = {};
    block = {count, 0, 0};
    for (int i = 0; i < count; ++i) {
        Thread& thread = *threads[static_cast<std::size_t>(i)];
        thread.done = false;
        thread.index = i;
        thread.turn = 0;
        ++warps[static_cast<std::size_t>(i / lanes)].barrier.alive;
        if (thread.started) continue;
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.get();
        thread.context.uc_stack.ss_size = stack_bytes;
        thread.context.uc_link = nullptr;
        makecontext(&thread.context, enter, 0);
    }
    while (block.alive > 0) {
        const std::size_t before = progress;
        for (int i = 0; i < count; ++i) {
            Thread& thread = *threads[static_cast<std::size_t>(reverse ? count - 1 - i : i)];
            if (!thread.done) resume(thread);
        }
        if (progress == before) {
            std::fputs("emulated CUDA: threads wait for each other at different barriers\n", stderr);
            std::abort();
        }
    }
}

/// Shows `value` to the warp and returns a look at what every lane shows.
template <class T>
struct Shown {
    const std::uint32_t (*slots)[8];
    T operator[](int lane) const {
        T value;
        std::memcpy(&value, slots[lane], sizeof value);
        return value;
    }
};
template <class T>
Shown<T> show(const T& value) {
    static_assert(sizeof(T) <= sizeof(std::uint32_t[8]));
    auto& slots = warp().slots[self->turn ^= 1];
    std::memcpy(slots[lane()], &value, sizeof value);
    wait(warp().barrier);
    return {slots};
}

inline bool recording = false;
inline std::vector<std::function<void()>> record;

inline void submit(std::function<void()> work) {
    if (recording)
        record.push_back(std::move(work));
    else
        work();
}

}  // namespace emulated

inline void __syncthreads() { emulated::wait(emulated::block); }
inline void __syncwarp() { emulated::wait(emulated::warp().barrier); }
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
    return emulated::show(value)[lane];
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    const auto shown = emulated::show(value);
    return shown[emulated::lane() ^ mask];
}
inline unsigned __ballot_sync(unsigned, bool mine) {
    const auto shown = emulated::show(mine);
    unsigned all = 0;
    for (int lane = 0; lane < emulated::lanes; ++lane) all |= static_cast<unsigned>(shown[lane]) << lane;
    return all;
}
inline float4 __ldg(const float4* four) {
    if (reinterpret_cast<std::uintptr_t>(four) % alignof(float4) != 0) std::abort();
    return *four;
}
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int min(int a, int b) { return b < a ? b : a; }
inline int max(int a, int b) { return a < b ? b : a; }

// ---- The runtime ---------------------------------------------------------------------------------------------------

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorStreamCaptureUnsupported = 900,
};
enum cudaMemcpyKind { cudaMemcpyDefault };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
constexpr unsigned cudaStreamNonBlocking = 1;
using cudaStream_t = int*;
using cudaGraph_t = std::vector<std::function<void()>>*;
using cudaGraphExec_t = std::vector<std::function<void()>>*;
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    cudaStream_t stream;
};
struct cudaDeviceProp {
    char name[256];
    int major;
};

inline const char* cudaGetErrorString(cudaError_t) { return "a call that this emulation refuses"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    std::strcpy(properties->name, "emulated GPU");
    properties->major = 8;
    return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned) { return cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) {
    return emulated::recording ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
template <class T>
cudaError_t cudaMalloc(T** data, std::size_t bytes) {
    constexpr std::size_t most = std::size_t{1} << 32, alignment = 256;
    if (emulated::recording) return cudaErrorStreamCaptureUnsupported;
    if (bytes > most) return cudaErrorMemoryAllocation;
    bytes = (bytes + alignment - 1) / alignment * alignment;
    *data = static_cast<T*>(std::aligned_alloc(alignment, bytes));
    std::memset(*data, 0xFF, bytes);
    return cudaSuccess;
}
inline cudaError_t cudaFree(void* data) { return std::free(data), cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
    if (emulated::recording) return cudaErrorStreamCaptureUnsupported;
    std::memcpy(to, from, bytes);
    return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t) {
    emulated::submit([=] { std::memset(data, value, bytes); });
    return cudaSuccess;
}
inline cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
    emulated::recording = true;
    emulated::record.clear();
    return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
    emulated::recording = false;
    *graph = new std::vector(std::move(emulated::record));
    return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, int) {
    *executable = new std::vector(*graph);
    return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
    for (const auto& work : *executable) work();
    return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return delete executable, cudaSuccess; }

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
    const std::function<void()> thread = [kernel, ... values = static_cast<P>(arguments)] { kernel(values...); };
    emulated::submit([thread, grid = config->gridDim, block = config->blockDim] {
        gridDim = grid;
        blockDim = block;
        emulated::body = &thread;
        for (unsigned z = 0; z < grid.z; ++z)
            for (unsigned y = 0; y < grid.y; ++y)
                for (unsigned x = 0; x < grid.x; ++x) {
                    blockIdx = dim3(x, y, z);
                    emulated::run_block(static_cast<int>(block.x));
                }
    });
    return cudaSuccess;
}
