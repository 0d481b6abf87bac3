#pragma once

#include "core/model/config.h"
#include "core/process/process_config.h"
#include "core/weights/fields.h"

namespace folio {

/// How a process stands in `folio.process` of a weights file.
struct ProcessFormat {
    /// The process of these fields, whose kind has been read; fails on what is missing, unknown or impossible.
    Result<ProcessConfig> (*read)(Fields& fields);
    /// Adds its fields to an object that has its kind.
    void (*write)(const ProcessConfig& process, nlohmann::ordered_json& object);
    /// Fails where the model cannot be one of this process.
    Result<void> (*check)(const ProcessConfig& process, const ModelConfig& config);
};

// masked_format, gaussian_format ...
#define FOLIO_FORMAT(kind, name) extern const ProcessFormat kind##_format;
FOLIO_FOR_EACH_PROCESS(FOLIO_FORMAT)
#undef FOLIO_FORMAT

Result<ProcessConfig> read_process(const nlohmann::json& object);
std::string write_process(const ProcessConfig& process);
Result<void> check_process(const ProcessConfig& process, const ModelConfig& config);

}  // namespace folio
