#pragma once

#include <string>
#include <string_view>

/// Pictures as SVG without a script, in colours that follow the reader's light or dark scheme.
namespace folio {

/// Any text as the content of an element.
std::string svg_escaped(std::string_view text);

/// A text of CSS class `kind` that begins at (x, y), or is anchored there as the class says.
std::string svg_text(double x, double y, std::string_view kind, std::string_view words);

/// The whole picture. `style` is CSS for what is in `body`: the classes title and soft and the colours --ink, --soft,
/// --line and --red are there.
std::string svg_document(int width, int height, std::string_view title, std::string_view style, std::string_view body);

}  // namespace folio
