#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/weights/json.h"

namespace folio {

/// Takes keys out of one JSON object of the metadata. The first key that is missing or of the wrong kind makes the
/// error; what is read after it means nothing.
class Fields {
public:
    Fields(const nlohmann::json& object, std::string what) : object_(object), what_(std::move(what)) {}

    int integer(const char* key) {
        const nlohmann::json* value = find(key);
        if (value == nullptr) return 0;
        // is_number_unsigned: what was written without a sign; larger than int64 only there.
        const bool fits = value->is_number_unsigned()
                              ? value->get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<int>::max()}
                              : value->is_number_integer() &&
                                    value->get<std::int64_t>() >= std::int64_t{std::numeric_limits<int>::min()};
        if (!fits) return refuse(key, "a whole number of sensible size"), 0;
        return value->get<int>();
    }
    bool boolean(const char* key) {
        const nlohmann::json* value = find(key);
        if (value != nullptr && !value->is_boolean()) refuse(key, "true or false");
        return value != nullptr && value->is_boolean() && value->get<bool>();
    }
    std::string string(const char* key) {
        const nlohmann::json* value = find(key);
        if (value != nullptr && !value->is_string()) refuse(key, "a string");
        return value != nullptr && value->is_string() ? value->get<std::string>() : "";
    }
    float number(const char* key, float when_absent) {
        if (!object_.contains(key)) return when_absent;
        if (!object_[key].is_number()) return refuse(key, "a number"), when_absent;
        return static_cast<float>(object_[key].get<double>());
    }
    std::vector<double> numbers(const char* key) {
        const nlohmann::json* value = find(key);
        std::vector<double> result;
        const bool list =
            value != nullptr && value->is_array() &&
            std::all_of(value->begin(), value->end(), [](const nlohmann::json& number) { return number.is_number(); });
        if (value != nullptr && !list) refuse(key, "a list of numbers");
        if (list)
            for (const nlohmann::json& number : *value) result.push_back(number.get<double>());
        return result;
    }
    const std::optional<Error>& error() const { return error_; }

private:
    const nlohmann::json* find(const char* key) {
        const auto found = object_.find(key);
        if (found != object_.end()) return &*found;
        if (!error_) error_ = Error{what_ + " lacks " + key};
        return nullptr;
    }
    void refuse(const char* key, const char* wanted) {
        if (!error_) error_ = Error{what_ + " gives a " + key + " that is not " + wanted};
    }

    const nlohmann::json& object_;
    std::string what_;
    std::optional<Error> error_;
};

}  // namespace folio
