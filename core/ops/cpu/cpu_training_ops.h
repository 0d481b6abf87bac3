#pragma once

#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/training_ops.h"

namespace folio {

/// The backward operations, losses and optimisers on the CPU, beside the forward ones.
class CpuTrainingOps final : public CpuOps, public TrainingOps {
public:
    using CpuOps::CpuOps;
    ~CpuTrainingOps() override;

    void fill_zero(float* data, std::size_t count) override;
    void replay(int key, void (*body)(void* context), void* context) override;
    void linear_backward_input(Matrix dx, Matrix dy, const PackedWeight& weight, const Matrix* relu2_out) override;
    void linear_backward_weight(Matrix dw, Matrix dy, Matrix x) override;
    void rms_norm_backward(Matrix dx, Matrix dy, Matrix x, float eps) override;
    void local_conv_backward_input(Matrix dx, Matrix dy, const LocalConv& conv) override;
    void local_conv_backward_filter(Matrix dfilter, Matrix dy, Matrix x, const LocalConv& conv) override;
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
    void corrupt_gaussian(const GaussianRows& rows, const int* text, const int* starts, int batch, int length,
                          int vocab_size, const GaussianNoise& how) override;
    void softmax(Matrix out, Matrix logits) override;
    void corrupt_autoregressive(int* input, int* targets, float* weights, const int* text, const int* starts, int batch,
                                int length, int vocab_size, float noise, std::uint64_t seed,
                                const std::uint32_t* step) override;
    void sum_of_squares(double* result, const float* data, std::size_t count) override;
    void sum(double* result, const float* data, std::size_t count) override;
    void clip(float* scale, const double* sum_of_squares, const double* loss, float largest) override;
    void adamw(float* parameters, float* moment1, float* moment2, const float* gradient, const float* scale,
               std::size_t count, const AdamW* options) override;
    void muon(float* parameters, float* momentum, const float* gradient, const float* scale, int rows, int cols,
              int matrices, std::size_t stride, const Muon* options) override;
    void ema(float* average, const float* values, const float* scale, std::size_t count, const float* decay) override;

private:
    /// The same for one matrix.
    /// Newton-Schulz iteration: x [r, c], r <= c, of norm 1, towards its orthogonal factor. gram and polynomial are
    /// scratch [r, r]. False where memory is out.
    bool orthogonalise(float* x, float* gram, float* polynomial, int r, int c);
    void muon(float* parameters, float* momentum, const float* gradient, float scale, int rows, int cols,
              const Muon& options);
    /// Packs b [depth, cols] into the shared panels; null where memory is out.
    const void* pack_shared(gemm::Operand b, int cols, int depth);
    /// Calls f(first, count) over ranges of elements.
    template <class F>
    void over_elements(std::size_t count, F&& f);

    Scratch panels_;
    Scratch update_;
};

template <class F>
void CpuTrainingOps::over_elements(std::size_t count, F&& f) {
    constexpr std::size_t chunk = 1 << 16;
    parallel_.each(static_cast<int>((count + chunk - 1) / chunk), [&](int i, int) {
        const std::size_t first = static_cast<std::size_t>(i) * chunk;
        f(first, std::min(chunk, count - first));
    });
}

}  // namespace folio
