#pragma once

#include <string>
#include <string_view>

namespace folio {

/// True if stderr is a terminal that takes control sequences: TERM is set and not dumb.
bool can_redraw();
/// True when lines on stderr may be coloured: can_redraw(), and NO_COLOR is unset or empty (no-color.org).
bool can_colour();
/// Columns and rows of the terminal at stderr; 80 and 24 where it does not say.
struct TerminalSize {
    int columns = 80, rows = 24;
};
TerminalSize terminal_size();
/// Columns that a character takes: 2 for wide ones, 0 for marks that combine.
int columns_of(char32_t code);
/// Untrusted text made safe for a terminal: carriage returns as line breaks, tabs as they are, other controls as
/// question marks.
std::string terminal_text(std::string_view text);

}  // namespace folio
