#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/predict/autoregressive_predictor.h"

namespace folio {

// Proofreading: an autoregressive model rates a finished sample, and what it finds least likely is sampled again. Kin:
// informed correctors (arXiv 2407.21243), energy-based diffusion (EDLM, arXiv 2410.21357).

/// -log p in nats, at temperature 1, of each character of a text of the sampled model's ids given those before it in
/// the window that an autoregressive sampler would see; NaN for the first where the model has no newline. One pass per
/// window. Fails where the model's logits are not finite.
Result<std::vector<double>> proofread_nll(const Proofreader& proofreader, std::span<const int> text);

/// The number of characters that round `round` of `rounds` opens again, out of `candidates`: ceil(share (1 - round /
/// rounds) candidates).
int proofread_count(double share, int round, int rounds, int candidates);

/// Positions to hide again: the `count` with the highest nll among those not `conditioned` (ties, and differences below
/// 2^-16, to the lower), each with the position before it unless that is conditioned. Ascending, each once.
std::vector<int> positions_to_reopen(std::span<const double> nll, std::span<const std::uint8_t> conditioned, int count);

}  // namespace folio
