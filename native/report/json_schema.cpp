#include "native/report/json_schema.h"

#include <fmt/format.h>

#include <limits>

#include "core/base/text.h"

namespace folio {
namespace {

using nlohmann::json;
using Violation = std::optional<std::string>;

constexpr double infinity = std::numeric_limits<double>::infinity();

class Checker {
public:
    explicit Checker(const json& schema) : root_(schema) {}

    Violation check(const json& value, const json& schema, const std::string& path) const;

private:
    Violation check_object(const json& value, const json& rule, const std::string& path) const;
    Violation check_array(const json& value, const json& rule, const std::string& path) const;

    const json& root_;
};

/// Characters of a text; none where one of them is not printable.
std::optional<std::size_t> printable_length(std::string_view text) {
    std::size_t length = 0;
    char32_t code;
    for (std::size_t position = 0; position < text.size(); ++length)
        if (!decode_utf8(text, position, code) || !is_printable(code)) return std::nullopt;
    return length;
}

Violation check_text(const json& value, const json& rule, const std::string& path) {
    if (!value.is_string()) return fmt::format("{} is no text", path);
    const auto length = printable_length(value.get_ref<const std::string&>());
    if (!length || *length > rule.at("maxLength").get<std::size_t>())
        return fmt::format("{} is too long or holds characters that do not show", path);
    if (*length < rule.value("minLength", std::size_t{0})) return fmt::format("{} is empty", path);
    return std::nullopt;
}

Violation check_number(const json& value, const json& rule, const std::string& path) {
    const bool whole = rule.at("type") == "integer";
    const double least = rule.value("minimum", -infinity), above = rule.value("exclusiveMinimum", -infinity),
                 most = rule.value("maximum", infinity);
    const double number = value.is_number() ? value.get<double>() : -infinity;
    if ((!whole || value.is_number_integer()) && number >= least && number > above && number <= most)
        return std::nullopt;
    return whole ? fmt::format("{} must be a whole number from {} to {}", path, least, most)
                 : fmt::format("{} must be a number above {}, and at most {}", path, above, most);
}

Violation Checker::check_object(const json& value, const json& rule, const std::string& path) const {
    if (!value.is_object()) return fmt::format("{} is no object", path.empty() ? "it" : path);
    const auto find = [&](const std::string& key) {
        const auto found = value.find(key);
        return found == value.end() || found->is_null() ? nullptr : &*found;
    };
    const auto path_of = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
    for (const json& key : rule.value("required", json::array()))
        if (!find(key)) return fmt::format("{} is missing", path_of(key));
    for (const auto& [key, schema] : rule.at("properties").items()) {
        const json* member = find(key);
        if (!member) continue;
        if (auto violation = check(*member, schema, path_of(key))) return violation;
    }
    return std::nullopt;
}

Violation Checker::check_array(const json& value, const json& rule, const std::string& path) const {
    if (!value.is_array() || value.size() < rule.value("minItems", std::size_t{0}))
        return fmt::format("{} is no list, or too short", path);
    for (std::size_t i = 0; i < value.size(); ++i)
        if (auto violation = check(value[i], rule.at("items"), fmt::format("{}[{}]", path, i))) return violation;
    return std::nullopt;
}

Violation Checker::check(const json& value, const json& schema, const std::string& path) const {
    if (schema.contains("$ref"))
        return check(value, root_.at(json::json_pointer(schema.at("$ref").get<std::string>().substr(1))), path);
    if (schema.contains("const"))
        return value == schema["const"] ? Violation() : fmt::format("{} is not {}", path, schema["const"].dump());
    const std::string& type = schema.at("type").get_ref<const std::string&>();
    if (type == "object") return check_object(value, schema, path);
    if (type == "array") return check_array(value, schema, path);
    if (type == "string") return check_text(value, schema, path);
    if (type == "boolean") return value.is_boolean() ? Violation() : fmt::format("{} is neither true nor false", path);
    return check_number(value, schema, path);
}

}  // namespace

std::optional<std::string> schema_violation(const json& value, const json& schema) {
    return Checker(schema).check(value, schema, "");
}

}  // namespace folio
