#include "core/predict/masked_predictor.h"

#include <memory>
#include <vector>

#include "core/predict/host_forward.h"

namespace folio {

MaskedPredictor masked_predictor(Denoiser& denoiser, const ProcessConfig& process) {
    const int mask_id = process.mask_id;
    // Shared, since std::function copies what it holds.
    return {denoiser.config(), mask_id,
            [network = std::make_shared<HostForward>(denoiser), mask_id, masked = std::vector<int>()](
                std::span<const int> ids, std::span<const int> time_row, int batch, int length,
                std::span<float> logits) mutable {
                masked.clear();
                for (std::size_t i = 0; i < ids.size(); ++i)
                    if (ids[i] == mask_id) masked.push_back(static_cast<int>(i));
                return network->forward(ids, time_row, batch, length, logits, masked);
            }};
}

}  // namespace folio
