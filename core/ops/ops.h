#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/base/host_device.h"
#include "core/base/philox.h"
#include "core/base/result.h"

/// Every operation that a model is made of, as coarse as a good backend can fuse. A forward pass takes `Ops&`, a
/// backward pass both interfaces. All arrays are on the device and f32 unless said otherwise; rows are positions,
/// sequence after sequence, `length` rows each. Gradient contract: parameter gradients are added to (+=), activation
/// gradients are overwritten (=), except that the backward of a norm adds to the gradient of its residual stream (+=).
/// Scalars that change from one training step to the next are on the device too, so that a captured step can run again.
namespace folio {

class Ops;

/// Device memory with an owner.
class Storage {
public:
    Storage() = default;
    Storage(Ops& ops, void* data, std::size_t bytes) : ops_(&ops), data_(data), bytes_(bytes) {}
    Storage(Storage&& other) noexcept { swap(other); }
    Storage& operator=(Storage&& other) noexcept {
        Storage(std::move(other)).swap(*this);
        return *this;
    }
    ~Storage();

    std::size_t bytes() const { return bytes_; }
    template <class T>
    T* as() const {
        return static_cast<T*>(data_);
    }

private:
    void swap(Storage& other) noexcept {
        std::swap(ops_, other.ops_);
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }

    Ops* ops_ = nullptr;
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};

/// A row-major view.
template <class T>
struct MatrixView {
    T* data = nullptr;
    int rows = 0;
    int cols = 0;
    int stride = 0;

    MatrixView() = default;
    MatrixView(T* data, int rows, int cols) : MatrixView(data, rows, cols, cols) {}
    MatrixView(T* data, int rows, int cols, int stride) : data(data), rows(rows), cols(cols), stride(stride) {}

    FOLIO_HOST_DEVICE T* row(int i) const { return data + static_cast<std::ptrdiff_t>(i) * stride; }
    FOLIO_HOST_DEVICE T& operator()(int i, int j) const { return row(i)[j]; }
};

/// f32 on the device.
using Matrix = MatrixView<float>;

/// The values of a matrix [out, in]: f32 on the device, or s8 in host memory, of which output channel i is worth
/// scale[i].
struct WeightSource {
    const float* f32 = nullptr;
    const std::int8_t* s8 = nullptr;
    const float* scale = nullptr;
    bool wide_input = false;  // s8: the layer's input is rounded to 16 bits instead of 7
};

/// The matrix [out, in] of a linear layer, packed as the backend's products like it. Made by `Ops::pack`.
struct PackedWeight {
    int out = 0;
    int in = 0;
    bool wide_input = false;
    Storage forward;   // for y = x W^T
    Storage backward;  // for dx = dy W; only where training asked for it
};

/// Inverted dropout. Nothing is stored for the backward pass: eight rows of a column share the counter
/// {row / 8 * cols + column, step, purpose}, 16 bits each, the lower half of each word first.
struct Dropout {
    float rate = 0;  // 0: none
    std::uint64_t seed = 0;
    const std::uint32_t* step = nullptr;  // on the device
    std::uint32_t purpose = 0;
    std::uint64_t first_row = 0;  // the number of row 0 within the whole batch
};

/// An element is dropped where its 16 bits are below this.
FOLIO_HOST_DEVICE constexpr std::uint32_t dropout_limit(float rate) {
    return static_cast<std::uint32_t>(rate * 65536.f);
}

/// Applied to a product before it is stored.
struct Epilogue {
    enum class Kind {
        store,     // out = xW
        relu2,     // out = max(0, xW)^2
        residual,  // out = residual + dropout(xW); residual may be out itself
    };
    Kind kind = Kind::store;
    Matrix residual;
    Dropout dropout;
};

/// Which heads lie in a row of q|k|v [R, 3 d_model], and how they attend.
struct AttentionShape {
    int length = 0;  // rows per sequence
    int n_head = 0;
    int head_dim = 0;
    bool causal = false;
    int max_length = 0;  // of any pass of this model
    const int* queries =
        nullptr;  // rows of qkv, ascending, that attention's output is of; null: all, or the last ones of one sequence
};

/// The rows of attention's output [out_rows, D] that are of one sequence, and their positions in it.
struct Queries {
    const int* rows;   // of qkv; or null
    int first, count;  // rows of the output
    int begin;         // the sequence's first row in qkv
    int known;         // positions before the first one, where rows is null

    FOLIO_HOST_DEVICE Queries(const AttentionShape& heads, int out_rows, int qkv_rows, int sequence)
        : rows(heads.queries), begin(sequence * heads.length) {
        known = rows ? 0 : qkv_rows - out_rows;
        first = rows ? before(begin, out_rows) : known > 0 ? 0 : begin;
        count = rows ? before(begin + heads.length, out_rows) - first : heads.length - known;
    }
    /// Position of output row first + i.
    FOLIO_HOST_DEVICE int position(int i) const { return rows ? rows[first + i] - begin : known + i; }
    /// The most that a sequence can have.
    static int most(const AttentionShape& heads, int out_rows) {
        return out_rows < heads.length ? out_rows : heads.length;
    }

private:
    /// Number of `rows` below `limit`.
    FOLIO_HOST_DEVICE int before(int limit, int total) const {
        int least = 0, most = total;
        while (least < most) {
            const int middle = (least + most) / 2;
            if (rows[middle] < limit)
                least = middle + 1;
            else
                most = middle;
        }
        return least;
    }
};

/// A depthwise convolution over the positions of a sequence, added to its input (a Canon layer, Allen-Zhu 2025, arXiv
/// 2512.17351).
struct LocalConv {
    const float* filter = nullptr;  // [taps, d_model], row j for offset j - radius
    int radius = 0;
    bool causal = false;           // no offset beyond 0
    int length = 0;                // rows per sequence
    const int* in_rows = nullptr;  // row of the batch that each row of the input is; null: all are there, in order

    FOLIO_HOST_DEVICE int position(int in_row) const { return (in_rows ? in_rows[in_row] : in_row) % length; }
    /// The filter's weights [d_model] for an offset.
    FOLIO_HOST_DEVICE const float* row(int offset, int d_model) const {
        return filter + (offset + radius) * static_cast<std::ptrdiff_t>(d_model);
    }
    FOLIO_HOST_DEVICE int last_offset() const { return causal ? 0 : radius; }

    struct Offsets {
        int first, last;
    };
    /// Offsets at which a position reads its sequence.
    FOLIO_HOST_DEVICE Offsets reads(int position) const {
        const int after = length - 1 - position;
        return {position < radius ? -position : -radius, after < last_offset() ? after : last_offset()};
    }
    /// Offsets at which its sequence reads a position.
    FOLIO_HOST_DEVICE Offsets read_by(int position) const {
        const int after = length - 1 - position;
        return {after < radius ? -after : -radius, position < last_offset() ? position : last_offset()};
    }
};

/// Forward operations. Work may be put off until synchronize, download or an operation that needs it: what an operation
/// was given must live till then.
class Ops {
public:
    virtual ~Ops() = default;

    /// Uninitialised memory, 64-byte aligned; fails in one sentence when there is none.
    virtual Result<Storage> allocate(std::size_t bytes) = 0;
    virtual void release(void* data) = 0;
    /// Has read what it was given when it returns; `host` may lie on the device too.
    virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
    virtual void download(void* host, const void* device, std::size_t bytes) = 0;
    /// Returns when all work given so far is done, or the first thing that went wrong since the last call.
    virtual Result<void> synchronize() = 0;

    /// Packs `values` [out, in], of the kind that this arithmetic takes, for products; the second time into the same
    /// memory. `training` also packs for backward.
    virtual Result<void> pack(PackedWeight& weight, const WeightSource& values, int out, int in, bool training) = 0;

    /// out[r] = table[ids[r]] (+ time_table[time_row[r / length]] where time_table is not null). ids, time_row: int32.
    virtual void embed(Matrix out, const int* ids, const float* table, const float* time_table, const int* time_row,
                       int length) = 0;
    /// out [R, d] = weights [R, n] table [n, d] (+ positions[r % length] where positions is not null), in order of n.
    virtual void embed_soft(Matrix out, Matrix weights, const float* table, const float* positions, int length) = 0;
    /// out = a + b; without b (no rows) a copy.
    virtual void add(Matrix out, Matrix a, Matrix b) = 0;
    /// out [R, out] = epilogue(in [R, in] W^T).
    virtual void linear(Matrix out, Matrix in, const PackedWeight& weight, const Epilogue& epilogue) = 0;
    /// out = in / sqrt(mean(in^2) + eps), row by row (RMSNorm without gain, Zhang & Sennrich 2019). out may be in.
    virtual void rms_norm(Matrix out, Matrix in, float eps) = 0;
    /// out[i] = in[i] + sum over offsets k, ascending, of filter[k] * in[i + k], zero outside the sequence; multiplied
    /// and added apart on the exact path. out may not be in. Where `rows` is not null, out[j] is of in's row rows[j],
    /// whose neighbours must be there; else where in has more rows than out, both hold one sequence, and out is of its
    /// last positions.
    virtual void local_conv(Matrix out, Matrix in, const LocalConv& conv, const int* rows) = 0;
    /// Rotates q and k in place by their positions (Su et al. 2021; first half paired with second half), then RMS-norms
    /// each head. rope: [positions, head_dim] = cos | sin. inverse_rms [R, 2 n_head] is kept for the backward pass
    /// where it is not null: q's heads, then k's.
    virtual void rope_qk_norm(Matrix qkv, const float* rope, float* inverse_rms, const AttentionShape& heads,
                              float eps) = 0;
    /// out [R, d_model] = softmax(q k^T / sqrt(head_dim)) v per head, within each sequence. q and k must be normed, as
    /// their logits are then within sqrt(head_dim) and no maximum is taken. log_sum_exp [R, n_head] is kept where not
    /// null. Where heads.queries names rows of qkv, out is of those; else where qkv has more rows than out, both hold
    /// one sequence, and out is of its last positions.
    virtual void attention(Matrix out, Matrix qkv, float* log_sum_exp, const AttentionShape& heads) = 0;
};

inline Storage::~Storage() {
    if (ops_ && data_) ops_->release(data_);
}

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
    /// mask_id and get weight row_weights[b], all others weight 0.
    virtual void corrupt_masked(int* input, int* targets, float* weights, const int* text, const int* starts,
                                const int* counts, const float* row_weights, int batch, int length, int mask_id,
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
