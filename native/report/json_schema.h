#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace folio {

/// The first violation of a JSON Schema by a value, as a clause such as "machine.cores must be a whole number from 0 to
/// 64"; none where there is none. Knows type, const, properties, required, items, minItems, minimum, maximum,
/// exclusiveMinimum, minLength, maxLength, the format "printable" and $ref to #/$defs; a null counts as a key that is
/// left out.
std::optional<std::string> schema_violation(const nlohmann::json& value, const nlohmann::json& schema);

}  // namespace folio
