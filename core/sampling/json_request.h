#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/sampling/sampler.h"

namespace folio {

/// The text that `key` of a JSON object holds; `otherwise` where it is missing.
Result<std::string> read_text(const nlohmann::json& object, const char* key, const char* otherwise = "");

/// The request of a JSON object under the option names of `folio sample` and `folio infill`; unknown keys are ignored.
/// Fails in a sentence.
Result<SamplingRequest> read_request(const nlohmann::json& object, ProcessKind process, const EncodeCharacter& encode);

}  // namespace folio
