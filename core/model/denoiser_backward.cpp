#include "core/model/denoiser.h"

namespace folio {

void Denoiser::backward(TrainingOps& training, float* gradients, Matrix dlogits) {
    Activations& a = activations_;
    const float eps = config_.norm_eps;
    const int d = config_.d_model;
    const bool article = config_.trunk == Trunk::article;
    const Matrix dx = a.d_residual;
    // What flows into a branch is the residual stream's gradient under the branch's dropout mask.
    const auto into_branch = [&](int layer, int branch) {
        if (noise_.dropout == 0) return dx;
        training.dropout_backward(a.d_branch, dx, dropout(layer, branch));
        return a.d_branch;
    };

    // `normed` still holds the head's input; from here on it is the scratch for each product's input, redone.
    training.linear_backward_weight(head_.in(gradients), dlogits, a.normed);
    training.linear_backward_input(a.d_branch, dlogits, head_.weight, nullptr);
    training.fill_zero(dx.data, static_cast<std::size_t>(dx.rows) * dx.cols);
    training.rms_norm_backward(dx, a.d_branch, a.output, eps);

    for (int layer = config_.n_layer - 1; layer >= 0; --layer) {
        const Block& weights = blocks_[layer];
        const Activations::Block& block = a.blocks[layer];

        const Matrix d_mlp = into_branch(layer, 1);
        training.linear_backward_weight(weights.down.in(gradients), d_mlp, block.mlp_hidden);
        training.linear_backward_input(a.d_mlp_hidden, d_mlp, weights.down.weight, &block.mlp_hidden);
        ops_->rms_norm(a.normed, block.mid_residual, eps);
        const bool convolved = config_.conv_radius > 0;
        const LocalConv conv = convolution(layer, length_);
        if (convolved) ops_->local_conv(a.mixed, a.normed, conv, nullptr);
        training.linear_backward_weight(weights.up.in(gradients), a.d_mlp_hidden, convolved ? a.mixed : a.normed);
        training.linear_backward_input(convolved ? a.mixed : a.d_branch, a.d_mlp_hidden, weights.up.weight, nullptr);
        if (convolved) {
            const Matrix d_filter(gradients + (conv.filter - embedding()), config_.conv_taps(), d);
            training.local_conv_backward_filter(d_filter, a.mixed, a.normed, conv);
            training.local_conv_backward_input(a.d_branch, a.mixed, conv);
        }
        training.rms_norm_backward(dx, a.d_branch, block.mid_residual, eps);

        const Matrix d_attention = into_branch(layer, 0);
        training.linear_backward_weight(weights.attention_out.in(gradients), d_attention, block.attn_out);
        training.linear_backward_input(a.normed, d_attention, weights.attention_out.weight, nullptr);
        training.attention_backward(a.d_qkv, a.normed, block.qkv, block.attn_out, block.log_sum_exp, heads(length_));
        training.rope_qk_norm_backward(a.d_qkv, block.qkv, rope_.as<float>(), block.inverse_rms, heads(length_));
        ops_->rms_norm(a.normed, block.input, eps);
        training.linear_backward_weight(weights.qkv.in(gradients), a.d_qkv, a.normed);
        training.linear_backward_input(a.d_branch, a.d_qkv, weights.qkv.weight, nullptr);
        training.rms_norm_backward(dx, a.d_branch, block.input, eps);

        if (!article) continue;
        const int across = config_.n_layer - 1 - layer;
        if (across > layer) ops_->add(dx, dx, a.d_skip[layer]);
        if (across < layer) ops_->add(a.d_skip[across], dx, {});
        training.linear_backward_weight(weights.input.in(gradients), dx, block.block_input);
        training.linear_backward_input(a.d_block_input, dx, weights.input.weight, nullptr);
        ops_->add(dx, {a.d_block_input.data, dx.rows, d, a.d_block_input.stride}, {});
    }

    training.fill_zero(a.d_branch.data, static_cast<std::size_t>(dx.rows) * d);
    training.rms_norm_backward(a.d_branch, dx, a.embedded, eps);
    if (config_.soft_tokens) {
        const Matrix weights = embedding_weights(last_input_.soft_tokens);
        return training.linear_backward_weight({gradients, weights.cols, d}, weights, a.d_branch);
    }
    const Matrix d_table(gradients, config_.vocab_size, d),
        d_time(d_table.row(config_.vocab_size), config_.time_rows, d);
    training.embed_backward(d_table, d_time, a.d_branch, last_input_.ids, last_input_.time_row, length_);
}

}  // namespace folio
