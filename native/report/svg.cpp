#include "native/report/svg.h"

#include <fmt/format.h>

namespace folio {

std::string svg_escaped(std::string_view text) {
    std::string result;
    for (const char sign : text) {
        if (std::string_view("&<>\"'").find(sign) == std::string_view::npos)
            result += sign;
        else
            result += fmt::format("&#{};", static_cast<int>(sign));
    }
    return result;
}

std::string svg_text(double x, double y, std::string_view kind, std::string_view words) {
    return fmt::format("<text x=\"{:.7g}\" y=\"{:.7g}\" class=\"{}\">{}</text>\n", x, y, kind, svg_escaped(words));
}

std::string svg_document(int width, int height, std::string_view title, std::string_view style, std::string_view body) {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\">\n"
        "<title>{2}</title>\n"
        "<style>\n"
        "svg {{ --paper: #fbfaf6; --ink: #1b2433; --soft: #5a6170; --line: #d6d3c8; --red: #b2361a; }}\n"
        "@media (prefers-color-scheme: dark) {{\n"
        "  svg {{ --paper: #171c26; --ink: #ebe6da; --soft: #a3a8b2; --line: #2c3340; --red: #ff8f6b; }}\n"
        "}}\n"
        ".paper {{ fill: var(--paper); }}\n"
        "text {{ font: 14px Georgia, \"DejaVu Serif\", serif; font-variant-numeric: lining-nums tabular-nums; fill: "
        "var(--ink); }}\n"
        ".title, .soft {{ fill: var(--soft); }} .title {{ font-style: italic; }} .soft {{ font-size: 13px; }}\n"
        "{3}</style>\n"
        "<rect class=\"paper\" width=\"{0}\" height=\"{1}\"/>\n{4}</svg>\n",
        width, height, svg_escaped(title), style, body);
}

}  // namespace folio
