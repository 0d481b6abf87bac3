#pragma once

#include "core/base/result.h"

namespace folio {

/// `modern` is what weights/README.md describes; `article` differs in three ways: sinusoidal positions instead of
/// rotated heads, time features concatenated to the input of every block and projected back, and long skips between
/// block i and block n_layer - 1 - i.
enum class Trunk { modern, article };

/// The shape of a denoiser; `folio.config` of the weights file, key by key.
struct ModelConfig {
    Trunk trunk = Trunk::modern;
    int vocab_size = 66;  // [MASK] counted
    int seq_len = 256;
    int d_model = 384;
    int n_layer = 6;
    int n_head = 6;
    int d_ff = 1536;
    float norm_eps = 1.1920929e-07f;
    bool causal = false;
    int time_rows = 0;  // 0: no time embedding
    /// The input is no text but soft tokens: a row of input_width() weights for each position, in order of the
    /// vocabulary's characters, `time_rows` features of time and, with self_conditioning, the characters once more
    /// (what the last pass made of the position) and a flag for a conditioned position.
    bool soft_tokens = false;
    bool self_conditioning = false;
    /// Reach of the depthwise convolution before each MLP, in positions; 0: none.
    int conv_radius = 0;

    /// Rows of a filter: offsets -conv_radius .. conv_radius, of a causal model -conv_radius .. 0.
    int conv_taps() const { return conv_radius == 0 ? 0 : (causal ? 1 : 2) * conv_radius + 1; }
    int input_width() const { return vocab_size + time_rows + (self_conditioning ? vocab_size + 1 : 0); }
    int head_dim() const { return d_model / n_head; }
    /// Longest pass: trunk `modern` has no position table, and rotation is trusted to four training lengths.
    int max_length() const { return 4 * seq_len; }
};

/// Refuses what no model can be: a size below 1 or absurdly large, heads that do not divide d_model or have an odd
/// width, an eps that is not a small positive number, a pass that would not fit in memory, inputs that a trunk does not
/// take.
Result<void> validate(const ModelConfig& config);

}  // namespace folio
