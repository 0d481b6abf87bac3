#pragma once

#include "core/ops/ops.h"

namespace folio {

/// One pass of decoupled AdamW (Loshchilov & Hutter 2019) over a range of the parameter arena.
struct AdamW {
    float lr = 0, beta1 = 0.9f, beta2 = 0.95f, eps = 1e-8f, weight_decay = 0;
    float correction1 = 1, correction2 = 1;  // 1 - beta^step
};

/// Momentum orthogonalised by Newton-Schulz (Jordan et al. 2024, "Muon") for one matrix.
struct Muon {
    float lr = 0, momentum = 0.95f, weight_decay = 0;
};

/// Noise of a row of soft tokens, z = alpha x + sigma eps: the network's input is input_scale z, and prior_weight z is
/// added to its logits.
struct RowNoise {
    float alpha = 1, sigma = 0, input_scale = 1, prior_weight = 0, loss_weight = 0;
};

/// Noise of the rows of a batch (Gaussian diffusion), all on the device.
struct GaussianNoise {
    const RowNoise* windows = nullptr;  // [batch + 1], the last of conditioned positions
    const float* features = nullptr;    // [batch, time_rows]
    int time_rows = 0;
    const int* conditioned = nullptr;  // [batch, length] 1: the character is given
    float centre = 0;                  // what is taken off each element of a one-hot
    std::uint64_t seed = 0;
    const std::uint32_t* step = nullptr;
};

/// Outputs of corrupt_gaussian. R = batch * length.
struct GaussianRows {
    Matrix soft_tokens;  // [R, V + time_rows], or with room for self-conditioning [R, V + time_rows + V + 1]
    Matrix logit_bias;   // [R, V], or none
    Matrix noise;        // [R, V], or none
    int* targets = nullptr;
    float* weights = nullptr;

    /// Sets element v of row r from that of the clean row and from its noise.
    FOLIO_HOST_DEVICE void set_element(int r, int v, float clean, float eps, const RowNoise& level) const {
        const float z = level.alpha * clean + level.sigma * eps;
        soft_tokens.row(r)[v] = level.input_scale * z;
        if (logit_bias.rows > 0) logit_bias.row(r)[v] = level.prior_weight * z;
        if (noise.rows > 0) noise.row(r)[v] = eps;
    }
};

/// Backward passes, losses, corruption and optimisers.
class TrainingOps {
public:
    virtual ~TrainingOps() = default;

    virtual void fill_zero(float* data, std::size_t count) = 0;
    /// Runs body; a device that can capture graphs may capture it once per key and launch the graph afterwards, so a
    /// key stands for the same operations on the same memory. Inside: no allocation, no upload and no host read.
    virtual void replay(int key, void (*body)(void* context), void* context) = 0;

    /// dx [R, in] = dy [R, out] W; where relu2_out (the forward's max(0, z)^2 [R, in]) is given, the gradient of z:
    /// dx *= 2 sqrt(relu2_out).
    virtual void linear_backward_input(Matrix dx, Matrix dy, const PackedWeight& weight, const Matrix* relu2_out) = 0;
    /// dw [out, in] += dy^T x.
    virtual void linear_backward_weight(Matrix dw, Matrix dy, Matrix x) = 0;
    /// dx += the gradient of norm at x.
    virtual void rms_norm_backward(Matrix dx, Matrix dy, Matrix x, float eps) = 0;
    /// dx = the gradient of local_conv's input.
    virtual void local_conv_backward_input(Matrix dx, Matrix dy, const LocalConv& conv) = 0;
    /// dfilter [taps, d_model] += the gradient of its filter.
    virtual void local_conv_backward_filter(Matrix dfilter, Matrix dy, Matrix x, const LocalConv& conv) = 0;
    /// In place on dq and dk of dqkv: back through head norm and rotation. qkv as rope_qk_norm left it.
    virtual void rope_qk_norm_backward(Matrix dqkv, Matrix qkv, const float* rope, const float* inverse_rms,
                                       const AttentionShape& heads) = 0;
    /// dqkv from dout; out, qkv and log_sum_exp as the forward pass left them (Dao et al. 2022: probabilities are
    /// redone).
    virtual void attention_backward(Matrix dqkv, Matrix dout, Matrix qkv, Matrix out, const float* log_sum_exp,
                                    const AttentionShape& heads) = 0;
    /// out = dx times the dropout mask of the forward pass.
    virtual void dropout_backward(Matrix out, Matrix dx, const Dropout& dropout) = 0;
    /// dtable[ids[r]] += dout[r]; dtime[time_row[r / length]] += dout[r] where dtime has rows.
    virtual void embed_backward(Matrix dtable, Matrix dtime, Matrix dout, const int* ids, const int* time_row,
                                int length) = 0;
    /// Per row: loss[r] = weights[r] * -log softmax(logits[r])[targets[r]] with column `excluded` (-1: none) left out,
    /// and dlogits[r] its gradient, 0 where weights[r] is 0. dlogits may be logits.
    virtual void cross_entropy(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights,
                               int excluded) = 0;
    /// Per row: loss[r] = weights[r] * |out[r] - target[r]|^2, and dout[r] its gradient. dout may be out.
    virtual void squared_error(Matrix dout, float* loss, Matrix out, Matrix target, const float* weights) = 0;
    /// Per row: loss[r] = weights[r] * |softmax(logits[r]) - one-hot of targets[r]|^2, and dlogits[r] its gradient.
    /// dlogits may be logits.
    virtual void brier(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights) = 0;
    /// Windows out of a text and their masked copies: row b is text[starts[b] .. + length); the counts[b] (1 .. length)
    /// positions with the smallest {Philox word of (b * length + position, step, mask_position), position} become
    /// mask_id and get weight window_weights[b], all others weight 0.
    virtual void corrupt_masked(int* input, int* targets, float* weights, const int* text, const int* starts,
                                const int* counts, const float* window_weights, int batch, int length, int mask_id,
                                std::uint64_t seed, const std::uint32_t* step) = 0;
    /// Windows out of a text and what follows each of their characters: input[b, i] = text[starts[b] + i], targets[b,
    /// i] the character behind it, weights all 1 / (batch length). With the chance `noise` an input character is any of
    /// vocab_size instead: by {Philox words of (b * length + i, step, input_noise)}, the first deciding, the second
    /// choosing.
    virtual void corrupt_autoregressive(int* input, int* targets, float* weights, const int* text, const int* starts,
                                        int batch, int length, int vocab_size, float noise, std::uint64_t seed,
                                        const std::uint32_t* step) = 0;
    /// Windows out of a text as noisy rows: z = alpha x + sigma eps, x the one-hot of V characters less `centre`, eps
    /// the normals of row r at {step, diffuse} (base/normals.h). soft_tokens = input_scale z | features | 0 ... 0 |
    /// conditioned, logit_bias = prior_weight z, noise = eps.
    virtual void corrupt_gaussian(const GaussianRows& rows, const int* text, const int* starts, int batch, int length,
                                  int vocab_size, const GaussianNoise& how) = 0;
    /// out = softmax(logits), row by row.
    virtual void softmax(Matrix out, Matrix logits) = 0;
    /// *result = sum of squares, in a fixed order: f64 over short runs of f32.
    virtual void sum_of_squares(double* result, const float* data, std::size_t count) = 0;
    /// *result = the sum in f64, in a fixed order.
    virtual void sum(double* result, const float* data, std::size_t count) = 0;
    /// *scale = what brings a gradient's norm down to `largest`, 1 where it is no larger; NaN where the norm or the
    /// loss is not finite, by which the updates below leave everything as it was.
    virtual void clip(float* scale, const double* sum_of_squares, const double* loss, float largest) = 0;
    /// parameters, moment1, moment2 updated by gradient * (*scale).
    virtual void adamw(float* parameters, float* moment1, float* moment2, const float* gradient, const float* scale,
                       std::size_t count, const AdamW* options) = 0;
    /// parameters [rows, cols] and momentum updated; of `matrices` of them, `stride` floats from one to the next. Step
    /// length lr * sqrt(max(1, rows / cols)).
    virtual void muon(float* parameters, float* momentum, const float* gradient, const float* scale, int rows, int cols,
                      int matrices, std::size_t stride, const Muon* options) = 0;
    /// average = decay * average + (1 - decay) * values.
    virtual void ema(float* average, const float* values, const float* scale, std::size_t count,
                     const float* decay) = 0;
};

}  // namespace folio
