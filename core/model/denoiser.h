#pragma once

#include <span>
#include <vector>

#include "core/model/activations.h"
#include "core/model/config.h"
#include "core/model/kv_cache.h"
#include "core/model/parameters.h"
#include "core/ops/ops.h"

namespace folio {

class TrainingOps;

/// Regularisation of one forward pass of training: the dropout of both residual branches of every block.
struct ForwardDropout {
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

/// The input of a pass, on the device: characters, or where the model takes soft tokens those.
struct Input {
    const int* ids = nullptr;       // [batch, length]
    const int* time_row = nullptr;  // [batch], where the model has a time embedding
    Matrix soft_tokens;             // [batch * length, input_width]: weights of the embeddings' rows, and the time
    Matrix logit_bias;              // [batch * length, vocab_size] beside soft tokens: added to the logits; or none
};

/// Differences of a pass from one of inference over all rows of whole sequences.
struct PassOptions {
    ForwardDropout dropout;       // of training
    OutputRows rows;              // of inference
    KvCache* kv_cache = nullptr;  // causal models: the ids follow the cached positions, and are cached as well
};

/// The Transformer: logits for every position of a noisy text.
class Denoiser {
public:
    /// For inference the parameters need to live only during the call; with `training` they are kept by address,
    /// `repack` follows every change, and `backward` works.
    static Result<Denoiser> create(Ops& ops, const ModelConfig& config, const Parameters& parameters, bool training);

    const ModelConfig& config() const { return config_; }
    Ops& ops() const { return *ops_; }

    /// Makes room for passes of up to `batch` sequences of `length` positions, so that a pass allocates nothing.
    Result<void> reserve(int batch, int length);
    /// Packs the parameters again after an update (training only).
    Result<void> repack();

    /// Logits [batch * length, vocab_size] on the device, or those of the output rows, valid until the next pass. Fails
    /// where the sequence exceeds max_length().
    Result<Matrix> forward(const Input& input, int batch, int length, const PassOptions& options = {});
    /// Adds every parameter's gradient to `gradients` (an arena like the parameters) for the last forward pass, given
    /// the gradient of its logits.
    void backward(TrainingOps& training, float* gradients, Matrix dlogits);

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
    bool for_training_ = false;
    const float* parameters_ = nullptr;  // training only
    Storage embeddings_;                 // inference only: a copy of them all
    Storage rope_;                       // [max_length, head_dim] = cos | sin
    Storage positions_;                  // [max_length, d_model]; trunk `article`
    std::vector<Block> blocks_;
    Layer head_;
    Activations activations_;
    // Inference only, where there is no time: the first block's input and its q|k|v depend on the id alone.
    Storage first_block_cache_;
    Matrix first_input_, first_qkv_;  // [vocab_size, d_model], [vocab_size, 3 d_model], q and k not yet rotated
    // Of the last forward pass, for backward.
    Input last_input_;
    int length_ = 0;
    ForwardDropout dropout_;

    const float* embedding() const { return for_training_ ? parameters_ : embeddings_.as<float>(); }
    /// What is fixed for one forward pass.
    struct Pass {
        const Input& input;
        int length, n_cached;
        const OutputRows& rows;
        KvCache* kv_cache;

        int end() const { return n_cached + length; }
    };

    void embed(const Pass& pass);
    void block(const Pass& pass, int layer);
    /// Trunk `article`: joins the time to the block's input, projects both, and adds the skip of an earlier block.
    void join_time_and_skip(const Pass& pass, int layer);
    /// q|k|v of the whole sequence, and of it the rows of this pass.
    Matrix sequence_qkv(const Pass& pass, int layer) const;
    Matrix pass_qkv(const Pass& pass, int layer) const;
    void project_qkv(const Pass& pass, int layer);
    /// Attention, in the last block of the chosen rows alone, to which `x` is cut.
    void attend(const Pass& pass, int layer, Activations::Block& x);
    /// The normed stream, through the convolution where there is one; the last block's `x` is cut to the output rows.
    Matrix mlp_input(const Pass& pass, int layer, Activations::Block& x);
    /// The matrix that a block's output goes to.
    Matrix next_stream(int layer) const;
    /// Trunk `article`: columns of `block_input` that are the residual stream.
    Matrix stream_columns(int layer) const;
    bool is_last(int layer) const { return layer + 1 == config_.n_layer; }

    struct BackwardPass;
    void backward_head(const BackwardPass& pass, Matrix dlogits);
    void backward_mlp(const BackwardPass& pass, int layer);
    void backward_convolution(const BackwardPass& pass, int layer);
    void backward_attention(const BackwardPass& pass, int layer);
    /// Trunk `article`: backward through the projection of `block_input` and the long skips.
    void backward_block_input(const BackwardPass& pass, int layer);
    void backward_embedding(const BackwardPass& pass);
    /// The residual stream's gradient under the dropout mask of a branch.
    Matrix branch_gradient(const BackwardPass& pass, int layer, int branch);

    /// The weights of the embeddings' rows among soft tokens: in trunk `article` time goes another way.
    Matrix embedding_weights(Matrix soft_tokens) const;
    Result<void> pack(const Parameters& parameters);
    Result<void> precompute_first_block();
    AttentionShape heads(int length) const;
    LocalConv convolution(int layer, int length) const;
    Dropout dropout(int layer, int branch) const;
};

}  // namespace folio
