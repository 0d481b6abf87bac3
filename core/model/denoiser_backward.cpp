#include "core/model/denoiser.h"
#include "core/model/parameters.h"

namespace folio {

namespace {

/// The gradients of one block's weights, in the arena's order.
struct BlockGradients {
    Matrix qkv, attention_out, up, down;
};

BlockGradients block_gradients(const ModelConfig& config, float* gradients, int layer) {
    const std::size_t d = static_cast<std::size_t>(config.d_model), ff = static_cast<std::size_t>(config.d_ff);
    const std::size_t embeddings = static_cast<std::size_t>(config.vocab_size + config.time_rows) * d;
    float* at = gradients + embeddings + static_cast<std::size_t>(layer) * (4 * d * d + 2 * d * ff);
    return {Matrix(at, 3 * config.d_model, config.d_model), Matrix(at + 3 * d * d, config.d_model, config.d_model),
            Matrix(at + 4 * d * d, config.d_ff, config.d_model), Matrix(at + 4 * d * d + ff * d, config.d_model, config.d_ff)};
}

}  // namespace

void Denoiser::backward(TrainingOps& training, float* gradients, Matrix dlogits) {
    Activations& a = activations_;
    const float eps = config_.norm_eps;
    const int d = config_.d_model;
    float* d_head = gradients + parameter_count(config_) - static_cast<std::size_t>(config_.vocab_size) * d;
    const Matrix dx = a.d_residual;
    // What flows into a branch is the residual stream's gradient under the branch's dropout mask.
    const auto into_branch = [&](int layer, int branch) {
        if (noise_.dropout == 0) return dx;
        training.dropout_backward(a.d_branch, dx, dropout(layer, branch));
        return a.d_branch;
    };

    // `normed` still holds the head's input; from here on it is the scratch for each product's input, redone.
    training.linear_backward_weight(Matrix(d_head, config_.vocab_size, d), dlogits, a.normed);
    training.linear_backward_input(a.d_branch, dlogits, head_, nullptr);
    training.zero(dx.data, static_cast<std::size_t>(dx.rows) * dx.cols);
    training.norm_backward(dx, a.d_branch, a.output, eps);

    for (int layer = config_.n_layer - 1; layer >= 0; --layer) {
        const Block& weights = blocks_[layer];
        const Activations::Block& block = a.blocks[layer];
        const BlockGradients into = block_gradients(config_, gradients, layer);

        const Matrix d_mlp = into_branch(layer, 1);
        training.linear_backward_weight(into.down, d_mlp, block.hidden);
        training.linear_backward_input(a.d_hidden, d_mlp, weights.down, &block.hidden);
        ops_->norm(a.normed, block.middle, eps);
        training.linear_backward_weight(into.up, a.d_hidden, a.normed);
        training.linear_backward_input(a.d_branch, a.d_hidden, weights.up, nullptr);
        training.norm_backward(dx, a.d_branch, block.middle, eps);

        const Matrix d_attention = into_branch(layer, 0);
        training.linear_backward_weight(into.attention_out, d_attention, block.attended);
        training.linear_backward_input(a.normed, d_attention, weights.attention_out, nullptr);
        training.attention_backward(a.d_qkv, a.normed, block.qkv, block.attended, block.log_sum_exp, heads());
        training.rope_norm_backward(a.d_qkv, block.qkv, rope_.as<float>(), block.inverse_rms, heads());
        ops_->norm(a.normed, block.input, eps);
        training.linear_backward_weight(into.qkv, a.d_qkv, a.normed);
        training.linear_backward_input(a.d_branch, a.d_qkv, weights.qkv, nullptr);
        training.norm_backward(dx, a.d_branch, block.input, eps);
    }

    training.zero(a.d_branch.data, static_cast<std::size_t>(dx.rows) * d);
    training.norm_backward(a.d_branch, dx, a.embedded, eps);
    float* d_time = config_.time_rows > 0 ? gradients + static_cast<std::size_t>(config_.vocab_size) * d : nullptr;
    training.embed_backward(gradients, config_.vocab_size, d_time, a.d_branch, ids_, time_row_, length_);
}

}  // namespace folio
