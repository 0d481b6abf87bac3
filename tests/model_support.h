#pragma once

#include "core/model/config.h"
#include "core/process/process_config.h"
#include "core/process/time_warp.h"

namespace folio::test {

/// A model of the sizes of `config` for a process; time_rows are those of a Gaussian one, of which `article` is the
/// article's.
inline ModelConfig model_for(ProcessKind kind, bool article, ModelConfig config) {
    config.causal = kind == ProcessKind::autoregressive;
    config.soft_tokens = kind == ProcessKind::gaussian;
    config.self_conditioning = config.soft_tokens && !article;
    config.trunk = article ? Trunk::article : Trunk::modern;
    if (!config.soft_tokens) config.time_rows = 0;
    return config;
}

/// The process of that model; [MASK] is the id behind the characters.
inline ProcessConfig process_for(ProcessKind kind, bool article, int characters) {
    ProcessConfig process{kind, kind == ProcessKind::masked ? characters : -1, {}};
    if (kind == ProcessKind::gaussian && !article) process.gaussian = warped_gaussian(characters);
    return process;
}

}  // namespace folio::test
