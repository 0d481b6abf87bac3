#include "core/process/masked.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "core/base/random_order.h"

namespace folio {

MaskedBatch stratified_masks(int batch, int length, MaskRate rate, MaskedLoss loss, std::uint64_t seed,
                             std::uint32_t step) {
    const double offset = uniform(philox(seed, 0, step, Purpose::batch_draws).word[0]);
    MaskedBatch result;
    for (int b = 0; b < batch; ++b) {
        const double phase = offset + static_cast<double>(b) / batch;
        const double u = phase - std::floor(phase);
        const double share = rate == MaskRate::uniform ? u : 0.5 - std::sin(std::asin(1 - 2 * u) / 3);
        result.counts.push_back(1 + std::min(length - 1, static_cast<int>(length * share)));
    }
    const double all = std::accumulate(result.counts.begin(), result.counts.end(), 0.0);
    for (const int count : result.counts) {
        result.window_weights.push_back(
            static_cast<float>(loss == MaskedLoss::nelbo ? 1.0 / (static_cast<double>(count) * batch) : 1.0 / all));
    }
    return result;
}

void mask_positions(std::span<int> ids, int count, int mask_id, std::uint64_t seed, std::uint64_t row,
                    std::uint32_t step, Purpose purpose) {
    std::vector<std::uint32_t> words(ids.size());
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = philox_word(seed, row * ids.size() + i, step, purpose);
    for (const int position : random_order(words, count)) ids[position] = mask_id;
}

int time_row(double t, int time_rows) {
    assert(time_rows > 0);
    const int row = static_cast<int>(std::ceil(time_rows * t - 1e-6)) - 1;
    return std::clamp(row, 0, time_rows - 1);
}

}  // namespace folio
