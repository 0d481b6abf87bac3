#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "native/cuda/cuda_ops.h"
#include "native/cuda/reduce.cuh"

namespace folio::cuda {

/// True if `count` numbers of any row may be moved at once, from every multiple of `count` on; the matrices of a batch
/// lie `batch_stride` apart.
template <class T>
FOLIO_HOST_DEVICE bool aligned(const T* data, std::ptrdiff_t stride, std::size_t batch_stride, int count) {
    return reinterpret_cast<std::uintptr_t>(data) % (count * sizeof(T)) == 0 && stride % count == 0 &&
           batch_stride % count == 0;
}

/// The implementation: device.cu has memory, stream and captured graphs, the other files the operations by topic.
class Device final : public CudaOps {
public:
    Device(Precision precision, std::string name, cudaStream_t stream);
    ~Device() override;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const std::string& name() const override { return name_; }

    Result<Storage> allocate(std::size_t bytes) override;
    void release(void* data) override;
    void upload(void* device, const void* host, std::size_t bytes) override;
    void download(void* host, const void* device, std::size_t bytes) override;
    Result<void> synchronize() override;

    Result<void> pack(PackedWeight& weight, const WeightSource& values, int out, int in, bool training) override;
    void embed(Matrix out, const int* ids, const float* table, const float* time_table, const int* time_row,
               int length) override;
    void local_conv(Matrix out, Matrix in, const LocalConv& conv, const int* rows) override;
    void local_conv_backward_input(Matrix dx, Matrix dy, const LocalConv& conv) override;
    void local_conv_backward_filter(Matrix dfilter, Matrix dy, Matrix x, const LocalConv& conv) override;
    void embed_soft(Matrix out, Matrix weights, const float* table, const float* positions, int length) override;
    void add(Matrix out, Matrix a, Matrix b) override;
    void linear(Matrix out, Matrix in, const PackedWeight& weight, const Epilogue& epilogue) override;
    void rms_norm(Matrix out, Matrix in, float eps) override;
    void rope_qk_norm(Matrix qkv, const float* rope, float* inverse_rms, const AttentionShape& heads,
                      float eps) override;
    void attention(Matrix out, Matrix qkv, float* log_sum_exp, const AttentionShape& heads) override;

    void fill_zero(float* data, std::size_t count) override;
    void replay(int key, void (*body)(void* context), void* context) override;
    void linear_backward_input(Matrix dx, Matrix dy, const PackedWeight& weight, const Matrix* relu2_out) override;
    void linear_backward_weight(Matrix dw, Matrix dy, Matrix x) override;
    void rms_norm_backward(Matrix dx, Matrix dy, Matrix x, float eps) override;
    void rope_qk_norm_backward(Matrix dqkv, Matrix qkv, const float* rope, const float* inverse_rms,
                               const AttentionShape& heads) override;
    void attention_backward(Matrix dqkv, Matrix dout, Matrix qkv, Matrix out, const float* log_sum_exp,
                            const AttentionShape& heads) override;
    void dropout_backward(Matrix out, Matrix dx, const Dropout& dropout) override;
    void embed_backward(Matrix dtable, Matrix dtime, Matrix dout, const int* ids, const int* time_row,
                        int length) override;
    void cross_entropy(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights,
                       int excluded) override;
    void squared_error(Matrix dout, float* loss, Matrix out, Matrix target, const float* weights) override;
    void brier(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights) override;
    void corrupt_masked(int* input, int* targets, float* weights, const int* text, const int* starts, const int* counts,
                        const float* window_weights, int batch, int length, int mask_id, std::uint64_t seed,
                        const std::uint32_t* step) override;
    void corrupt_autoregressive(int* input, int* targets, float* weights, const int* text, const int* starts, int batch,
                                int length, int vocab_size, float noise, std::uint64_t seed,
                                const std::uint32_t* step) override;
    void corrupt_gaussian(const GaussianRows& rows, const int* text, const int* starts, int batch, int length,
                          int vocab_size, const GaussianNoise& how) override;
    void softmax(Matrix out, Matrix logits) override;
    void sum_of_squares(double* result, const float* data, std::size_t count) override;
    void sum(double* result, const float* data, std::size_t count) override;
    void clip(float* scale, const double* sum_of_squares, const double* loss, float largest) override;
    void adamw(float* parameters, float* moment1, float* moment2, const float* gradient, const float* scale,
               std::size_t count, const AdamW* options) override;
    void muon(float* parameters, float* momentum, const float* gradient, const float* scale, int rows, int cols,
              int matrices, std::size_t stride, const Muon* options) override;
    void ema(float* average, const float* values, const float* scale, std::size_t count, const float* decay) override;

    struct Product;  // gemm.cuh

private:
    /// Keeps the first thing that goes wrong for synchronize.
    void note(cudaError_t status);
    /// Starts `kernel` on blocks of block_threads threads, or none where the grid is empty.
    template <class... P, class... A>
    void launch(void (*kernel)(P...), dim3 grid, A&&... arguments) {
        launch_with(block_threads, kernel, grid, static_cast<A&&>(arguments)...);
    }
    template <class... P, class... A>
    void launch_with(int threads, void (*kernel)(P...), dim3 grid, A&&... arguments) {
        if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
        cudaLaunchConfig_t config{};
        config.gridDim = grid;
        config.blockDim = dim3(static_cast<unsigned>(threads));
        config.stream = stream_;
        note(cudaLaunchKernelEx(&config, kernel, static_cast<A&&>(arguments)...));
    }
    /// One thread an element, or one warp a row.
    static dim3 for_elements(std::size_t count) {
        return dim3(static_cast<unsigned>((count + block_threads - 1) / block_threads));
    }
    static dim3 for_rows(std::size_t rows) {
        return dim3(static_cast<unsigned>((rows + block_warps - 1) / block_warps));
    }

    /// Memory between the kernels of one operation; null, and a sentence kept, where there is none. It grows where an
    /// operation runs the first time, never in a captured graph: graphs that use the old one are dropped.
    void* workspace(std::size_t bytes);
    void drop_graphs();
    template <class L, class Epilogue>
    void multiply(Product product, const Epilogue& epilogue, int batch);
    template <class L, class Epilogue>
    void multiply_f32(const Product& product, const Epilogue& epilogue, int batch);
    void total(double* result, const float* data, std::size_t count, bool squared);

    Precision precision_;
    std::string name_;
    cudaStream_t stream_;
    bool capturing_ = false;
    std::map<int, cudaGraphExec_t> graphs_;  // null of a key that ran once
    void* workspace_ = nullptr;
    std::size_t workspace_bytes_ = 0;
    std::string failure_;
};

}  // namespace folio::cuda
