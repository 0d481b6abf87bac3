#include "core/sampling/edits.h"

#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "core/base/text.h"

namespace folio {

namespace {

constexpr std::string_view grammar =
    "write STEP:noise:FROM-TO[:PERCENT], STEP:keep:FROM-TO, STEP:open:FROM-TO or STEP:put:POSITION:CHARACTER";

/// Takes what stands before `separator` off the front of `text`, and the separator; all of it where there is none.
std::string_view take(std::string_view& text, char separator) {
    const std::size_t end = text.find(separator);
    const std::string_view head = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    return head;
}

/// A number of digits alone.
std::optional<int> number(std::string_view digits) {
    int value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || digits.front() == '-') return std::nullopt;
    return value;
}

Result<Edit> parse(std::string_view whole, bool scheduled, int length, const EncodeCharacter& encode) {
    const auto wrong = [&](const std::string& why) { return fail("The edit " + quote(whole) + " " + why + "."); };
    const auto unreadable = [&] { return wrong("cannot be read: " + std::string(grammar)); };

    std::string_view rest = whole;
    Edit edit;
    if (scheduled) {
        const auto step = number(take(rest, ':'));
        if (!step) return unreadable();
        edit.step = *step;
    }
    const std::string_view verb = take(rest, ':');
    if (verb == "put") {
        const auto position = number(take(rest, ':'));
        std::size_t end = 0;
        char32_t character = 0;
        if (!position || rest.empty() || !decode_utf8(rest, end, character) || end != rest.size()) return unreadable();
        edit.kind = Edit::Kind::put;
        edit.from = edit.to = *position;
        auto id = encode(character);
        if (!id) return tl::unexpected<Error>(id.error());
        edit.id = *id;
    } else {
        if (verb == "noise") {
            edit.kind = Edit::Kind::noise;
        } else if (verb == "keep") {
            edit.kind = Edit::Kind::keep;
        } else if (verb == "open") {
            edit.kind = Edit::Kind::open;
        } else {
            return unreadable();
        }
        const bool has_percent = edit.kind == Edit::Kind::noise && rest.find(':') != std::string_view::npos;
        std::string_view region = has_percent ? take(rest, ':') : std::exchange(rest, {});
        const auto from = number(take(region, '-'));
        const auto to = number(region);
        if (!from || !to) return unreadable();
        edit.from = *from;
        edit.to = *to;
        if (has_percent) {
            const auto percent = number(rest);
            if (!percent || *percent < 1 || *percent > 100) return wrong("needs a whole PERCENT from 1 to 100");
            edit.percent = *percent;
        }
    }
    if (edit.from > edit.to) return wrong("has a region that ends before it begins");
    if (edit.to >= length) {
        return wrong("reaches beyond the text, whose last position is " + std::to_string(length - 1));
    }
    return edit;
}

}  // namespace

Result<Edit> parse_action(std::string_view text, int length, const EncodeCharacter& encode) {
    return parse(text, false, length, encode);
}

Result<Edit> parse_edit(std::string_view text, int length, const EncodeCharacter& encode) {
    return parse(text, true, length, encode);
}

}  // namespace folio
