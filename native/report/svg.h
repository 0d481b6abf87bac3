#pragma once

#include <string>
#include <string_view>

/// Pictures as SVG: plain text, without a script, on paper and in ink that follow the reader's light or dark.
namespace folio {

/// Any text as the content of an element.
std::string svg_escaped(std::string_view text);

/// Words of class `kind` (CSS) that start at a place, or where the class says.
std::string svg_text(double x, double y, std::string_view kind, std::string_view words);

/// The whole picture. `style` is CSS for what is in `body`: the classes title and soft and the colours --ink, --soft,
/// --line and --red are there.
std::string svg_document(int width, int height, std::string_view title, std::string_view style, std::string_view body);

}  // namespace folio
