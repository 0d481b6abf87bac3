#pragma once

namespace folio {

enum class ProcessKind { masked, gaussian, autoregressive };

/// How a denoiser becomes a language model; `folio.process` of the weights file. The only schedule of the masked
/// process is the linear one: a character is [MASK] with probability t.
struct ProcessConfig {
    ProcessKind kind = ProcessKind::masked;
    int mask_id = 65;  // the id of [MASK], -1 where the process has none
};

/// The kind's name in weights files and reports.
inline const char* name_of(ProcessKind kind) {
    switch (kind) {
        case ProcessKind::masked: return "masked";
        case ProcessKind::gaussian: return "gaussian";
        case ProcessKind::autoregressive: break;
    }
    return "ar";
}

}  // namespace folio
