#pragma once

#include <span>
#include <vector>

#include "core/model/denoiser.h"

namespace folio {

/// Forward passes of a denoiser, which must outlive it, from host memory to host memory.
class HostForward {
public:
    explicit HostForward(Denoiser& denoiser) : denoiser_(&denoiser) {}

    const ModelConfig& config() const { return denoiser_->config(); }

    /// Logits [batch, length, vocab_size] of ids [batch, length]. time_row is empty where the model has no time
    /// embedding, else [batch]. Where `output_rows` names rows, which ascend, the logits of no others are computed or
    /// written.
    Result<void> forward(std::span<const int> ids, std::span<const int> time_row, int batch, int length,
                         std::span<float> logits, std::span<const int> output_rows = {});
    /// Logits of soft tokens [batch, length, input_width]; logit_bias [batch, length, vocab_size] or empty.
    Result<void> forward_soft_tokens(std::span<const float> soft_tokens, std::span<const float> logit_bias, int batch,
                                     int length, std::span<float> logits);
    /// Causal models: goes on in one sequence, whose first `n_cached` ids the last call had as well. logits [rows,
    /// vocab_size] are those of the last `rows` positions, all of them from `n_cached` on.
    Result<void> decode(std::span<const int> ids, int n_cached, std::span<float> logits);

private:
    Result<void> run(const Input& input, int batch, int length, const PassOptions& options, std::span<float> logits);
    Result<int*> input_buffer(std::size_t bytes);

    Denoiser* denoiser_;
    Storage input_;  // ids | time_row | projected rows | output rows; or soft_tokens | logit_bias
    std::vector<float> output_logits_;
    KvCache kv_cache_;
};

}  // namespace folio
