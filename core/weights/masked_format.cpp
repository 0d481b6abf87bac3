#include "core/base/text.h"
#include "core/weights/process_format.h"

namespace folio {

namespace {

Result<ProcessConfig> read_masked(Fields& fields) {
    ProcessConfig process{ProcessKind::masked, fields.integer("mask_id"), {}};
    const std::string schedule = fields.string("schedule");
    if (fields.error()) return fail(fields.error()->sentence);
    if (schedule != "linear") {
        return fail("the weights file asks for the schedule " + quote(schedule) + ", but only linear is known");
    }
    return process;
}

void write_masked(const ProcessConfig& process, nlohmann::ordered_json& object) {
    object.update({{"mask_id", process.mask_id}, {"schedule", "linear"}});
}

Result<void> check_masked(const ProcessConfig& process, const ModelConfig& config) {
    if (config.soft_tokens) return fail("the weights file's model takes mixtures, which only a Gaussian model does");
    if (config.causal) return fail("the weights file's model is causal, which only an autoregressive model is");
    if (process.mask_id < 0 || process.mask_id >= config.vocab_size) {
        return fail("the weights file's mask_id of " + std::to_string(process.mask_id) +
                    " lies outside its vocab_size of " + std::to_string(config.vocab_size));
    }
    return {};
}

}  // namespace

const ProcessFormat masked_format{read_masked, write_masked, check_masked};

}  // namespace folio
