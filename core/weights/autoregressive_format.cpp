#include "core/weights/process_format.h"

namespace folio {

namespace {

Result<ProcessConfig> read_autoregressive(Fields&) { return ProcessConfig{ProcessKind::autoregressive, -1, {}}; }

void write_autoregressive(const ProcessConfig&, nlohmann::ordered_json&) {}

Result<void> check_autoregressive(const ProcessConfig&, const ModelConfig& config) {
    if (config.soft_tokens) return fail("the weights file's model takes mixtures, which only a Gaussian model does");
    if (!config.causal) return fail("the weights file's model is not causal, which an autoregressive model must be");
    if (config.time_rows > 0)
        return fail("the weights file's model has a time embedding, which an autoregressive model has no use for");
    return {};
}

}  // namespace

const ProcessFormat autoregressive_format{read_autoregressive, write_autoregressive, check_autoregressive};

}  // namespace folio
