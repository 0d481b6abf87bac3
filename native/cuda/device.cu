#include <algorithm>
#include <utility>

#include "native/cuda/device.cuh"

// Memory, the stream, and records of it.

namespace folio {
namespace cuda {
namespace {

/// Short windows come in hundreds of lengths, each of them rarely: a record is kept of the first keys that come twice.
constexpr int most_graphs = 32;

std::string sentence(cudaError_t status) {
    if (status == cudaErrorMemoryAllocation)
        return "The GPU has not enough memory; use a smaller model, batch or --rows-per-pass.";
    return std::string("The GPU failed: ") + cudaGetErrorString(status) + ".";
}

}  // namespace

Device::Device(Precision precision, std::string name, cudaStream_t stream)
    : precision_(precision), name_(std::move(name)), stream_(stream) {}

Device::~Device() {
    cudaStreamSynchronize(stream_);
    drop_graphs();
    if (workspace_) cudaFree(workspace_);
    cudaStreamDestroy(stream_);
}

void Device::note(cudaError_t status) {
    if (status != cudaSuccess && failure_.empty()) failure_ = sentence(status);
}

Result<Storage> Device::allocate(std::size_t bytes) {
    // New memory may lie where captured graphs expect other memory.
    drop_graphs();
    void* data = nullptr;
    const cudaError_t status = cudaMalloc(&data, bytes > 0 ? bytes : 1);
    if (status == cudaSuccess) return Storage(*this, data, bytes);
    cudaGetLastError();  // a refusal is no failure of what follows
    if (status != cudaErrorMemoryAllocation) return fail(sentence(status));
    return fail("The GPU has not enough memory: " + std::to_string((bytes + (1 << 20) - 1) >> 20) +
                " MiB more were needed; use a smaller model, batch or --rows-per-pass.");
}

void Device::release(void* data) {
    // Records may know it, and work under way.
    note(cudaStreamSynchronize(stream_));
    drop_graphs();
    note(cudaFree(data));
}

void Device::upload(void* device, const void* host, std::size_t bytes) {
    if (bytes == 0) return;
    note(cudaMemcpyAsync(device, host, bytes, cudaMemcpyDefault, stream_));
    note(cudaStreamSynchronize(stream_));  // where the GPU reads a host's own pages, the copy may be under way still
}

void Device::download(void* host, const void* device, std::size_t bytes) {
    if (bytes == 0) return;
    note(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDefault, stream_));
    note(cudaStreamSynchronize(stream_));
}

Result<void> Device::synchronize() {
    note(cudaStreamSynchronize(stream_));
    note(cudaGetLastError());
    if (failure_.empty()) return {};
    return fail(std::exchange(failure_, {}));
}

void* Device::workspace(std::size_t bytes) {
    if (bytes <= workspace_bytes_) return workspace_;
    if (capturing_) {
        if (failure_.empty())
            failure_ = "A recorded step needs more memory than the step before it; this is a mistake of the program.";
        return nullptr;
    }
    note(cudaStreamSynchronize(stream_));
    drop_graphs();
    if (workspace_) note(cudaFree(workspace_));
    workspace_ = nullptr;
    workspace_bytes_ = 0;
    const cudaError_t status = cudaMalloc(&workspace_, bytes);
    if (status != cudaSuccess) {
        cudaGetLastError();
        note(status);
        workspace_ = nullptr;
        return nullptr;
    }
    workspace_bytes_ = bytes;
    return workspace_;
}

void Device::drop_graphs() {
    if (graphs_.empty()) return;
    note(cudaStreamSynchronize(stream_));
    for (const auto& [key, graph] : graphs_)
        if (graph) cudaGraphExecDestroy(graph);
    graphs_.clear();
}

void Device::replay(int key, void (*body)(void* context), void* context) {
    const auto found = graphs_.find(key);
    if (found != graphs_.end() && found->second) return note(cudaGraphLaunch(found->second, stream_));
    // The first run is not captured: kernels are loaded and the workspace grows on the way.
    const bool has_run = found != graphs_.end();
    const auto kept =
        std::count_if(graphs_.begin(), graphs_.end(), [](const auto& graph) { return graph.second != nullptr; });
    if (!has_run || kept >= most_graphs || !failure_.empty()) {
        body(context);
        if (!has_run) graphs_[key] = nullptr;
        return;
    }
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cudaError_t status = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    if (status != cudaSuccess) return note(status);
    capturing_ = true;
    body(context);
    capturing_ = false;
    status = cudaStreamEndCapture(stream_, &graph);
    if (status == cudaSuccess && failure_.empty()) status = cudaGraphInstantiate(&executable, graph, 0);
    if (graph) cudaGraphDestroy(graph);
    note(status);
    if (!executable) return;
    graphs_[key] = executable;
    note(cudaGraphLaunch(executable, stream_));
}

void Device::fill_zero(float* data, std::size_t count) {
    if (count > 0) note(cudaMemsetAsync(data, 0, count * sizeof(float), stream_));
}

}  // namespace cuda

Result<std::unique_ptr<CudaOps>> make_cuda_ops(Precision precision) {
    int devices = 0;
    cudaError_t status = cudaGetDeviceCount(&devices);
    if (status == cudaErrorInsufficientDriver)
        return fail(
            "The NVIDIA driver is missing or older than this program needs; install a newer one, or compute with "
            "--device cpu.");
    if (status == cudaErrorNoDevice || (status == cudaSuccess && devices == 0))
        return fail("There is no NVIDIA GPU here; compute with --device cpu.");
    cudaDeviceProp properties{};
    cudaStream_t stream = nullptr;
    if (status == cudaSuccess) status = cudaGetDeviceProperties(&properties, 0);
    if (status == cudaSuccess && properties.major < 8) {
        return fail(std::string("The GPU ") + properties.name +
                    " is too old: compute capability 8.0 is needed; compute with --device cpu.");
    }
    if (status == cudaSuccess) status = cudaSetDevice(0);
    if (status == cudaSuccess) status = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (status != cudaSuccess) {
        return fail(std::string("The GPU cannot be used: ") + cudaGetErrorString(status) +
                    "; compute with --device cpu.");
    }
    return std::make_unique<cuda::Device>(precision, properties.name, stream);
}

}  // namespace folio
