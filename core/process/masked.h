#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/philox.h"

namespace folio {

/// Weight of masked positions in training: that of the NELBO, or the same for all.
enum class MaskedLoss { nelbo, mean };

/// The distribution of a window's share of masked positions in training: uniform, as the bound has it, or Beta(2, 2),
/// which has more windows that are about half masked.
enum class MaskRate { uniform, beta };

/// Which positions of a training batch are hidden, and what each hidden position counts.
struct MaskedBatch {
    std::vector<int> counts;            // [batch] positions masked per window, 1 .. length
    std::vector<float> window_weights;  // [batch] weight of each masked position: the sum over the batch is the loss
};

/// The k-stratified estimator: one offset u in [0, 1) for the whole batch, u_b = frac(u + b / batch), k_b = 1 +
/// floor(length * s_b), where s_b is the quantile of `rate` at u_b: u_b itself, so that k is uniform over 1 .. length
/// and spread evenly within the batch, or that of Beta(2, 2), 1/2 - sin(asin(1 - 2 u_b) / 3). With uniform rates and
/// `nelbo` a masked position of row b weighs 1 / (k_b batch), and the expected loss is the NELBO per character
/// (any-order bound; Uria et al. 2014, Shi et al. 2024); with `mean` every masked position weighs the same, and the
/// weights add up to 1.
MaskedBatch stratified_masks(int batch, int length, MaskRate rate, MaskedLoss loss, std::uint64_t seed,
                             std::uint32_t step);

/// Hides `count` positions of row `row`: those with the smallest {Philox word of (row * length + position, step,
/// purpose), position}, as TrainingOps::corrupt_masked does it. A uniformly drawn subset of that size.
void mask_positions(std::span<int> ids, int count, int mask_id, std::uint64_t seed, std::uint64_t row,
                    std::uint32_t step, Purpose purpose);

/// The row of the time embedding for mask probability t in (0, 1]: ceil(time_rows t - 1e-6) - 1, clamped.
int time_row(double t, int time_rows);

}  // namespace folio
