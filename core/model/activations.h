#pragma once

#include <vector>

#include "core/model/config.h"
#include "core/ops/ops.h"

namespace folio {

/// Activations of a pass, shape beside name; R = batch * length rows. Inference needs one block's worth for all blocks,
/// training keeps every block's for the backward pass: the same names, at one address or at many.
struct Activations {
    struct Block {
        Matrix block_input;   // [R, d_model + time_rows] trunk `article`: the stream before the block, and time
        Matrix input;         // [R, d_model] the residual stream as the block meets it
        Matrix qkv;           // [R, 3 d_model] q and k rotated and normed
        float* inverse_rms;   // [R, 2 n_head]; training only
        float* log_sum_exp;   // [R, n_head]; training only
        Matrix attn_out;      // [R, d_model]
        Matrix mid_residual;  // [R, d_model] the residual stream between attention and MLP
        Matrix mlp_hidden;    // [R, d_ff] max(0, z)^2
    };

    Matrix embedded;  // [R, d_model] before its norm; kept apart in training only
    std::vector<Block> blocks;
    Matrix output;  // [R, d_model] the residual stream after the last block
    Matrix normed;  // [R, d_model] scratch: the input of a product
    Matrix mixed;   // [R, d_model] scratch: the MLP's input after the convolution, where there is one
    Matrix logits;  // [R, vocab_size]
    // Gradients, training only.
    Matrix d_residual;           // [R, d_model]
    Matrix d_branch;             // [R, d_model]
    Matrix d_qkv;                // [R, 3 d_model]
    Matrix d_mlp_hidden;         // [R, d_ff]
    Matrix d_block_input;        // [R, d_model + time_rows]; trunk `article`
    std::vector<Matrix> d_skip;  // [R, d_model] of each block input that a later block receives; trunk `article`

    /// Lays everything out in one allocation for up to `rows` rows; keeps what it has where that is enough.
    Result<void> reserve(Ops& ops, const ModelConfig& config, int rows, bool training);
    /// Sets every matrix to `rows` rows (at most the reserved ones).
    void resize(int rows);

private:
    Storage storage_;
    int reserved_ = 0;
};

}  // namespace folio
