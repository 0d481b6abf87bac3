#include "core/weights/json.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/text.h"

namespace folio {
namespace {

using nlohmann::json;

/// Builds the tree from the parser's events, and stops at the first thing it does not like.
class Builder {
public:
    Builder(std::string_view what, std::size_t most_values) : what_(what), most_values_(most_values) {}

    bool null() { return add(nullptr) != nullptr; }
    bool boolean(bool value) { return add(value) != nullptr; }
    bool number_integer(json::number_integer_t value) { return add(value) != nullptr; }
    bool number_unsigned(json::number_unsigned_t value) { return add(value) != nullptr; }
    bool number_float(json::number_float_t value, const json::string_t&) { return add(value) != nullptr; }
    bool string(json::string_t& value) { return add(std::move(value)) != nullptr; }
    bool binary(json::binary_t&) { return false; }
    bool start_object(std::size_t) { return open(json::object()); }
    bool end_object() { return close(); }
    bool start_array(std::size_t) { return open(json::array()); }
    bool end_array() { return close(); }
    bool key(json::string_t& name) {
        auto [place, fresh] = open_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
        member_ = &place->second;
        return fresh || refuse("has the key " + quote(name) + " twice");
    }
    bool parse_error(std::size_t position, const std::string&, const json::exception&) {
        return refuse("is not valid JSON near byte " + std::to_string(position));
    }

    json root;
    std::string sentence;

private:
    static constexpr std::size_t deepest = 16;

    json* add(json value) {
        if (++values_ > most_values_) {
            refuse("holds more than " + std::to_string(most_values_) + " values");
            return nullptr;
        }
        json* place = &root;
        if (!open_.empty() && open_.back()->is_array()) {
            auto& array = open_.back()->get_ref<json::array_t&>();
            array.emplace_back();
            place = &array.back();
        } else if (!open_.empty()) {
            place = member_;
        }
        *place = std::move(value);
        return place;
    }
    bool open(json container) {
        if (open_.size() == deepest) return refuse("is nested more than " + std::to_string(deepest) + " deep");
        // The pointers in open_ stay good: an array grows only while none of its elements is open.
        open_.push_back(add(std::move(container)));
        return open_.back() != nullptr;
    }
    bool close() {
        open_.pop_back();
        return true;
    }
    bool refuse(const std::string& why) {
        sentence = std::string(what_) + " " + why;
        return false;
    }

    std::string_view what_;
    std::size_t most_values_;
    std::vector<json*> open_;
    json* member_ = nullptr;
    std::size_t values_ = 0;
};

}  // namespace

Result<json> parse_json(std::string_view text, std::string_view what, std::size_t most_values) {
    // The parser takes a NUL for the end of the text and skips a byte-order mark; neither is JSON.
    const auto nul = text.find('\0');
    if (nul != text.npos || text.substr(0, 3) == "\xEF\xBB\xBF") {
        return fail(std::string(what) + " is not valid JSON near byte " +
                    std::to_string(nul == text.npos ? 1 : nul + 1));
    }
    Builder builder(what, most_values);
    if (!json::sax_parse(text.begin(), text.end(), &builder)) return fail(std::move(builder.sentence));
    return std::move(builder.root);
}

}  // namespace folio
