#include "core/predict/autoregressive_predictor.h"

#include <memory>

#include "core/predict/host_forward.h"

namespace folio {

AutoregressivePredictor autoregressive_predictor(Denoiser& denoiser) {
    return {denoiser.config(), [network = std::make_shared<HostForward>(denoiser)](
                                   std::span<const int> ids, int n_cached, std::span<float> logits) {
                return network->decode(ids, n_cached, logits);
            }};
}

}  // namespace folio
