#include "native/host/terminal.h"

#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/text.h"

namespace folio {

bool can_redraw() {
    const char* kind = std::getenv("TERM");
    return ::isatty(STDERR_FILENO) == 1 && kind && *kind && std::string_view(kind) != "dumb";
}

bool can_colour() {
    const char* no_colour = std::getenv("NO_COLOR");
    return can_redraw() && !(no_colour && *no_colour);
}

TerminalSize terminal_size() {
    winsize window{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return {};
    return {window.ws_col, window.ws_row};
}

int columns_of(char32_t code) {
    // wcwidth() answers by the locale, and the user's may not be of UTF-8.
    static const locale_t unicode = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", locale_t{});
    if (!unicode) return 1;
    const locale_t before = ::uselocale(unicode);
    const int columns = ::wcwidth(static_cast<wchar_t>(code));
    ::uselocale(before);
    return std::max(columns, 0);
}

std::string terminal_text(std::string_view text) {
    std::string lines;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool line_end = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
        if (!line_end) lines += text[i] == '\r' ? '\n' : text[i];
    }
    return strip_controls(lines);
}

}  // namespace folio
