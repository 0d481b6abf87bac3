#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace folio {

/// U+FFFD: what stands where there is no character. Also what a failed decode_utf8 gives.
constexpr char32_t no_character = 0xFFFD;

/// Reads the code point of UTF-8 that starts at `position` (< text.size()) into `code` and moves `position` behind it.
/// False for anything that Unicode forbids (overlong forms, surrogates, beyond U+10FFFF, cut short); `position` then
/// moves by one byte.
bool decode_utf8(std::string_view text, std::size_t& position, char32_t& code);

/// Appends the UTF-8 of a code point (no surrogate, at most U+10FFFF).
void append_utf8(std::string& text, char32_t code);

/// True if a character is visible where it stands: no control, no separator, no invisible mark that reorders, joins or
/// hides what is around it.
bool is_printable(char32_t code);

/// Untrusted text, made safe for a sentence: in double quotes, whatever steers a terminal or the order of the line
/// written as \u{...}, stray bytes as \x.., cut after `longest` characters.
std::string quote(std::string_view text, int longest = 48);

/// True for control characters (Unicode's category Cc), which steer a terminal.
bool is_control(char32_t code);

/// Untrusted text, made safe for a terminal: controls but newline and tab as question marks.
std::string strip_controls(std::string_view text);

/// A character for a sentence: "é" (U+00E9), or only U+0007 where it does not show.
std::string describe_character(char32_t code);

}  // namespace folio
