#include "core/model/denoiser.h"
#include "core/ops/training_ops.h"

namespace folio {

/// A backward pass on its way from the head to the first block; `dx` is the residual stream's gradient.
struct Denoiser::BackwardPass {
    TrainingOps& training;
    float* gradients;
    Matrix dx;
};

void Denoiser::backward(TrainingOps& training, float* gradients, Matrix dlogits) {
    const BackwardPass pass{training, gradients, activations_.d_residual};
    backward_head(pass, dlogits);
    for (int layer = config_.n_layer - 1; layer >= 0; --layer) {
        backward_mlp(pass, layer);
        backward_attention(pass, layer);
        if (config_.trunk == Trunk::article) backward_block_input(pass, layer);
    }
    backward_embedding(pass);
}

Matrix Denoiser::branch_gradient(const BackwardPass& pass, int layer, int branch) {
    if (dropout_.dropout == 0) return pass.dx;
    pass.training.dropout_backward(activations_.d_branch, pass.dx, dropout(layer, branch));
    return activations_.d_branch;
}

void Denoiser::backward_head(const BackwardPass& pass, Matrix dlogits) {
    Activations& a = activations_;
    // `normed` still holds the head's input; from here on it is the scratch for each product's input, redone.
    pass.training.linear_backward_weight(head_.in(pass.gradients), dlogits, a.normed);
    pass.training.linear_backward_input(a.d_branch, dlogits, head_.weight, nullptr);
    pass.training.fill_zero(pass.dx.data, static_cast<std::size_t>(pass.dx.rows) * pass.dx.cols);
    pass.training.rms_norm_backward(pass.dx, a.d_branch, a.output, config_.norm_eps);
}

void Denoiser::backward_mlp(const BackwardPass& pass, int layer) {
    Activations& a = activations_;
    const Block& weights = blocks_[layer];
    const Activations::Block& x = a.blocks[layer];
    const bool convolved = config_.conv_radius > 0;
    const Matrix d_mlp = branch_gradient(pass, layer, 1);
    pass.training.linear_backward_weight(weights.down.in(pass.gradients), d_mlp, x.mlp_hidden);
    pass.training.linear_backward_input(a.d_mlp_hidden, d_mlp, weights.down.weight, &x.mlp_hidden);
    ops_->rms_norm(a.normed, x.mid_residual, config_.norm_eps);
    if (convolved) ops_->local_conv(a.mixed, a.normed, convolution(layer, length_), nullptr);
    pass.training.linear_backward_weight(weights.up.in(pass.gradients), a.d_mlp_hidden, convolved ? a.mixed : a.normed);
    pass.training.linear_backward_input(convolved ? a.mixed : a.d_branch, a.d_mlp_hidden, weights.up.weight, nullptr);
    if (convolved) backward_convolution(pass, layer);
    pass.training.rms_norm_backward(pass.dx, a.d_branch, x.mid_residual, config_.norm_eps);
}

void Denoiser::backward_convolution(const BackwardPass& pass, int layer) {
    const Activations& a = activations_;
    const LocalConv conv = convolution(layer, length_);
    const Matrix d_filter(pass.gradients + (conv.filter - embedding()), config_.conv_taps(), config_.d_model);
    pass.training.local_conv_backward_filter(d_filter, a.mixed, a.normed, conv);
    pass.training.local_conv_backward_input(a.d_branch, a.mixed, conv);
}

void Denoiser::backward_attention(const BackwardPass& pass, int layer) {
    Activations& a = activations_;
    const Block& weights = blocks_[layer];
    const Activations::Block& x = a.blocks[layer];
    const Matrix d_attention = branch_gradient(pass, layer, 0);
    pass.training.linear_backward_weight(weights.attention_out.in(pass.gradients), d_attention, x.attn_out);
    pass.training.linear_backward_input(a.normed, d_attention, weights.attention_out.weight, nullptr);
    pass.training.attention_backward(a.d_qkv, a.normed, x.qkv, x.attn_out, x.log_sum_exp, heads(length_));
    pass.training.rope_qk_norm_backward(a.d_qkv, x.qkv, rope_.as<float>(), x.inverse_rms, heads(length_));
    ops_->rms_norm(a.normed, x.input, config_.norm_eps);
    pass.training.linear_backward_weight(weights.qkv.in(pass.gradients), a.d_qkv, a.normed);
    pass.training.linear_backward_input(a.d_branch, a.d_qkv, weights.qkv.weight, nullptr);
    pass.training.rms_norm_backward(pass.dx, a.d_branch, x.input, config_.norm_eps);
}

void Denoiser::backward_block_input(const BackwardPass& pass, int layer) {
    Activations& a = activations_;
    const Matrix& dx = pass.dx;
    const int across = config_.n_layer - 1 - layer;
    if (across > layer) ops_->add(dx, dx, a.d_skip[layer]);
    if (across < layer) ops_->add(a.d_skip[across], dx, {});
    const PackedWeight& weight = blocks_[layer].input.weight;
    pass.training.linear_backward_weight(blocks_[layer].input.in(pass.gradients), dx, a.blocks[layer].block_input);
    pass.training.linear_backward_input(a.d_block_input, dx, weight, nullptr);
    ops_->add(dx, {a.d_block_input.data, dx.rows, config_.d_model, a.d_block_input.stride}, {});
}

void Denoiser::backward_embedding(const BackwardPass& pass) {
    const Activations& a = activations_;
    const int d = config_.d_model;
    pass.training.fill_zero(a.d_branch.data, static_cast<std::size_t>(pass.dx.rows) * d);
    pass.training.rms_norm_backward(a.d_branch, pass.dx, a.embedded, config_.norm_eps);
    if (config_.soft_tokens) {
        const Matrix weights = embedding_weights(last_input_.soft_tokens);
        return pass.training.linear_backward_weight({pass.gradients, weights.cols, d}, weights, a.d_branch);
    }
    const Matrix d_table(pass.gradients, config_.vocab_size, d),
        d_time(d_table.row(config_.vocab_size), config_.time_rows, d);
    pass.training.embed_backward(d_table, d_time, a.d_branch, last_input_.ids, last_input_.time_row, length_);
}

}  // namespace folio
