#pragma once

#define JSON_NO_IO 1
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/result.h"

namespace folio {

/// Parses untrusted JSON: strict RFC 8259 in valid UTF-8, no key twice in one object, nested at most 16
/// deep, at most `most_values` values. `what` names the text in the sentence of a failure.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view what, std::size_t most_values = 1 << 17);

}  // namespace folio
