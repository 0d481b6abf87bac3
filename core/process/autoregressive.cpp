#include "core/process/autoregressive.h"

namespace folio {

AutoregressiveModel autoregressive_model(Denoiser& denoiser) {
    return {denoiser.config(), [&denoiser](std::span<const int> ids, int known, std::span<float> logits) {
                return denoiser.read(ids, known, logits);
            }};
}

}  // namespace folio
