#include "native/report/animation.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "core/base/text.h"
#include "native/host/terminal.h"

namespace folio {
namespace {

constexpr auto least_time_per_frame = std::chrono::milliseconds(50);
constexpr int plain_columns = 80;  // where nothing is redrawn
constexpr const char* reset_style = "\033[0m";

/// Style of a position, as on the page: a dot or a pale guess while open, struck when just fixed, bold when given.
const char* style_of(const Frame& frame, int position) {
    const int flags = frame.flags[position];
    if (!(flags & position_revealed)) return "\033[2m";
    if (flags & position_new) return "\033[7;31m";
    return flags & position_conditioned ? "\033[1m" : "";
}

/// Character at a position: its own, or the most likely one where the last pass favours it, or a dot.
char32_t character_at(const Frame& frame, const Vocabulary& vocabulary, int position) {
    constexpr float leaning = 0.4f;
    const std::size_t best = 4 * static_cast<std::size_t>(position);
    const bool guess = frame.id[position] < 0 && frame.top_id[best] >= 0 && frame.top_probability[best] >= leaning;
    const int id = guess ? frame.top_id[best] : frame.id[position];
    const char32_t code = id < 0 ? U'\u00B7' : vocabulary.character(id);
    return guess && code <= U' ' ? U'\u00B7' : code;
}

/// The text in lines that fit `columns`; what would steer the terminal as question marks.
std::vector<std::string> lines_of(const Frame& frame, const Vocabulary& vocabulary, int columns, bool styled) {
    constexpr int tab_width = 8;
    std::vector<std::string> lines(1);
    int column = 0;
    const auto end_line = [&] {
        lines.emplace_back();
        column = 0;
    };
    const int length = static_cast<int>(frame.id.size());
    for (int position = 0; position < length; ++position) {
        const char32_t code = character_at(frame, vocabulary, position);
        if (code == U'\r' && position + 1 < length && character_at(frame, vocabulary, position + 1) == U'\n') continue;
        if (code == U'\n' || code == U'\r') {
            end_line();
            continue;
        }
        const bool control = is_control(code);
        const int width = code == U'\t' ? tab_width - column % tab_width : control ? 1 : columns_of(code);
        if (column + width > columns) end_line();
        const std::string style = styled ? style_of(frame, position) : "";
        lines.back() += style;
        if (code == U'\t')
            lines.back() += std::string(static_cast<std::size_t>(std::min(width, columns)), ' ');
        else
            append_utf8(lines.back(), control ? U'?' : code);
        if (!style.empty()) lines.back() += reset_style;
        column += width;
    }
    return lines;
}

}  // namespace

Animation::Animation() : redraws_(can_redraw()) {}

void Animation::show(const Frame& frame, const Vocabulary& vocabulary) {
    const TerminalSize size = terminal_size();
    // The last column stays free: a terminal may or may not wrap behind it.
    const int columns = std::max(1, size.columns - 1);
    std::vector<std::string> lines = lines_of(frame, vocabulary, redraws_ ? columns : plain_columns, can_colour());
    lines.insert(lines.begin(), fmt::format("step {} of {}", frame.step, frame.steps));
    if (!redraws_) {
        for (const std::string& line : lines) std::fputs((line + "\n").c_str(), stderr);
        return;
    }
    lines.front().resize(std::min(lines.front().size(), static_cast<std::size_t>(columns)));
    // Lines that have scrolled off the top could not be redrawn.
    lines.resize(std::min(lines.size(), static_cast<std::size_t>(std::max(1, size.rows - 1))));
    std::string picture = erase(size.columns);
    for (const std::string& line : lines) picture += line + "\n";
    std::fputs(picture.c_str(), stderr);
    lines_ = static_cast<int>(lines.size());
    columns_ = size.columns;
    std::this_thread::sleep_for(least_time_per_frame);
}

/// Takes the last frame away. A terminal of another width than then has broken its lines anew, so all that it shows
/// goes.
std::string Animation::erase(int columns) const {
    if (lines_ == 0) return "";
    return columns == columns_ ? fmt::format("\033[{}A\r\033[J", lines_) : "\033[H\033[2J";
}

void Animation::finish() {
    if (::isatty(STDOUT_FILENO) == 1) std::fputs(erase(terminal_size().columns).c_str(), stderr);
    lines_ = 0;
}

}  // namespace folio
