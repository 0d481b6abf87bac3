#include "core/base/text.h"

#include <cstdio>

namespace folio {

bool decode_utf8(std::string_view text, std::size_t& position, char32_t& code) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const std::size_t start = position++;
    const unsigned lead = byte(start);
    code = lead;
    if (lead < 0x80) return true;
    const std::size_t extra = lead >= 0xC2 && lead < 0xE0   ? 1
                              : (lead & 0xF0) == 0xE0       ? 2
                              : lead >= 0xF0 && lead < 0xF5 ? 3
                                                            : 0;
    char32_t value = lead & (0x3Fu >> extra);
    bool valid = extra > 0 && text.size() - start > extra;
    for (std::size_t i = 1; valid && i <= extra; ++i) {
        valid = (byte(start + i) & 0xC0) == 0x80;
        value = value << 6 | (byte(start + i) & 0x3F);
    }
    const bool overlong = (extra == 2 && value < 0x800) || (extra == 3 && value < 0x10000);
    if (!valid || overlong || (value >= 0xD800 && value < 0xE000) || value > 0x10FFFF) {
        code = no_character;
        return false;
    }
    position = start + 1 + extra;
    code = value;
    return true;
}

void append_utf8(std::string& text, char32_t code) {
    const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

bool is_control(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

bool is_printable(char32_t code) {
    const auto within = [code](char32_t first, char32_t last) { return code >= first && code <= last; };
    return !(is_control(code) || code == 0xAD || code == 0x61C || within(0x180B, 0x180F) || within(0x200B, 0x200F) ||
             within(0x2028, 0x202E) || within(0x2060, 0x206F) || within(0xE000, 0xF8FF) || within(0xFE00, 0xFE0F) ||
             code == 0xFEFF || within(0xFFF0, 0xFFFB) || (code & 0xFFFE) == 0xFFFE || within(0xE0000, 0x10FFFF));
}

namespace {

std::string hexadecimal(const char* format, char32_t code) {
    char buffer[16];
    std::snprintf(buffer, sizeof buffer, format, static_cast<unsigned>(code));
    return buffer;
}

}  // namespace

std::string strip_controls(std::string_view text) {
    std::string result;
    for (std::size_t position = 0; position < text.size();) {
        char32_t code;
        decode_utf8(text, position, code);
        append_utf8(result, is_control(code) && code != U'\n' && code != U'\t' ? U'?' : code);
    }
    return result;
}

std::string quote(std::string_view text, int longest) {
    std::string result = "\"";
    int characters = 0;
    for (std::size_t position = 0; position < text.size(); ++characters) {
        if (characters == longest) {
            result += "...";
            break;
        }
        const auto first = static_cast<unsigned char>(text[position]);
        char32_t code;
        if (!decode_utf8(text, position, code)) {
            result += hexadecimal("\\x%02X", first);
        } else if (code == '"' || code == '\\') {
            result += '\\';
            result += static_cast<char>(code);
        } else if (is_printable(code)) {
            append_utf8(result, code);
        } else {
            result += hexadecimal("\\u{%X}", code);
        }
    }
    return result + "\"";
}

std::string describe_character(char32_t code) {
    const std::string number = hexadecimal("U+%04X", code);
    if (!is_printable(code)) return number;
    std::string shown = "\"";
    append_utf8(shown, code);
    return shown + "\" (" + number + ")";
}

}  // namespace folio
