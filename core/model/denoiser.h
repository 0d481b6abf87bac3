#pragma once

#include <span>
#include <vector>

#include "core/model/activations.h"
#include "core/model/config.h"
#include "core/model/parameters.h"
#include "core/ops/ops.h"

namespace folio {

/// Regularisation of one forward pass of training: the dropout of both residual branches of every block.
struct ForwardNoise {
    float dropout = 0;
    std::uint64_t seed = 0;
    const std::uint32_t* step = nullptr;  // on the device
    std::uint64_t first_row = 0;          // the number of row 0 within the whole batch
};

/// Some rows of a pass, by number; none stands for all.
struct Rows {
    const int* row = nullptr;
    int count = 0;
};

/// Rows of a pass that its last block projects after attention, ascending, and the rows of the logits among those.
struct OutputRows {
    Rows projected, output;
};

/// What a pass looks at, on the device: a text, or where the model takes mixtures those.
struct Input {
    const int* ids = nullptr;       // [batch, length]
    const int* time_row = nullptr;  // [batch], where the model has a time embedding
    Matrix mixture;                 // [batch * length, input_width]
    Matrix prior;  // [batch * length, vocab_size] beside a mixture: what the head's answer is added to; or none
};

/// The Transformer that looks at a noisy text and answers with logits for every place.
class Denoiser {
public:
    /// For inference the parameters need to live only during the call; with `training` they are kept by address,
    /// `repack` follows every change, and `backward` works.
    static Result<Denoiser> create(Ops& ops, const ModelConfig& config, const Parameters& parameters, bool training);

    const ModelConfig& config() const { return config_; }

    /// Makes room for passes of up to `batch` sequences of `length` places, so that a pass allocates nothing.
    Result<void> reserve(int batch, int length);
    /// Packs the parameters again after an update (training only).
    Result<void> repack();

    /// Logits [batch * length, vocab_size] on the device, valid until the next pass. Fails where length exceeds
    /// max_length().
    Result<Matrix> forward(const Input& input, int batch, int length, const ForwardNoise& noise = {}) {
        return forward(input, batch, length, noise, {}, nullptr);
    }
    /// Adds every parameter's gradient to `gradients` (an arena like the parameters) for the last forward pass, given
    /// the gradient of its logits.
    void backward(TrainingOps& training, float* gradients, Matrix dlogits);

    /// One pass from host memory to host memory: ids [batch, length], logits [batch, length, vocab_size]. time_row is
    /// empty where the model has no time embedding, else [batch]. Where `wanted` names rows, the logits of no others
    /// are computed or written; they ascend.
    Result<void> predict(std::span<const int> ids, std::span<const int> time_row, int batch, int length,
                         std::span<float> logits, std::span<const int> wanted = {});
    /// The same for mixtures [batch, length, input_width]; prior [batch, length, vocab_size] or empty.
    Result<void> predict_mixture(std::span<const float> mixture, std::span<const float> prior, int batch, int length,
                                 std::span<float> logits);

    /// Causal models: reads on in one sequence, of which the last call saw the first `known` ids, keeping keys and
    /// values. logits [rows, vocab_size] are those of the last `rows` places, all of them from `known` on.
    Result<void> read(std::span<const int> ids, int known, std::span<float> logits);

private:
    Denoiser() = default;

    /// A weight and where it begins in the arenas of parameters and gradients.
    struct Layer {
        PackedWeight weight;
        std::size_t offset = 0;

        Matrix in(float* arena) const { return {arena + offset, weight.out, weight.in}; }
    };
    struct Block {
        Layer input, qkv, attention_out, up, down;  // input: trunk `article`
    };

    Ops* ops_ = nullptr;
    ModelConfig config_;
    bool training_ = false;
    const float* parameters_ = nullptr;  // training only
    Storage embeddings_;                 // inference only: a copy of them all
    Storage rope_;                       // [max_length, head_dim] = cos | sin
    Storage positions_;                  // [max_length, d_model]; trunk `article`
    std::vector<Block> blocks_;
    Layer head_;
    Activations activations_;
    std::vector<float> wanted_logits_;
    Storage input_;  // ids | time_row | projected rows | output rows of predict; or mixture | prior
    /// What read() keeps of a sequence.
    struct Past {
        Storage storage;  // [n_layer, capacity, 3 d_model] q|k|v, q and k rotated and normed; then, where there is a
                          // convolution, [n_layer, capacity, d_model] its input
        int capacity = 0;
        int length = 0;  // places that are there already
    };
    Past past_;
    // Inference only, where there is no time: what the first block meets and makes of it depends on the id alone.
    Storage first_;
    Matrix first_input_, first_qkv_;  // [vocab_size, d_model], [vocab_size, 3 d_model], q and k not yet rotated
    // What backward needs to know of the last forward pass.
    Input looked_at_;
    int length_ = 0;
    ForwardNoise noise_;

    const float* embedding() const { return training_ ? parameters_ : embeddings_.as<float>(); }
    /// The same, and with `past` its next places, which it keeps.
    Result<Matrix> forward(const Input& input, int batch, int length, const ForwardNoise& noise,
                           const OutputRows& chosen, Past* past);
    /// What is embedded of a mixture: in trunk `article` time goes another way.
    Matrix embedded_part(Matrix mixture) const;
    Result<int*> input_room(std::size_t bytes);
    Result<void> pack(const Parameters& parameters);
    Result<void> tabulate_first_block();
    AttentionShape heads(int length) const;
    LocalConv convolution(int layer, int length) const;
    Dropout dropout(int layer, int branch) const;
};

}  // namespace folio
