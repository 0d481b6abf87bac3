#pragma once

namespace folio {

enum class ProcessKind { masked, gaussian, autoregressive };

/// How a denoiser becomes a language model; `folio.process` of the weights file. The only schedule of the masked
/// process is the linear one: a character is [MASK] with probability t.
struct ProcessConfig {
    ProcessKind kind = ProcessKind::masked;
    int mask_id = 65;  // the id of [MASK]; only masked models have one
};

}  // namespace folio
