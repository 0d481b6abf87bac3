#include "native/animation.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "core/base/text.h"

namespace folio {
namespace {

constexpr auto least_time_per_frame = std::chrono::milliseconds(50);

/// How a place looks, as the page has it: a dot or a pale guess while open, struck when just fixed, bold when given.
const char* style_of(const Frame& frame, int place) {
    const int flags = frame.flags[place];
    if (!(flags & place_fixed)) return "\033[2m";
    if (flags & place_fresh) return "\033[7;31m";
    return flags & place_given ? "\033[1m" : "";
}

/// What stands at a place: its character, or the likeliest one where the last pass leaned to it, or a dot.
char32_t character_at(const Frame& frame, const Vocabulary& vocabulary, int place) {
    constexpr float leaning = 0.4f;
    const std::size_t best = 4 * static_cast<std::size_t>(place);
    const bool guess = frame.id[place] < 0 && frame.top_id[best] >= 0 && frame.top_probability[best] >= leaning;
    const int id = guess ? frame.top_id[best] : frame.id[place];
    const char32_t code = id < 0 ? U'\u00B7' : vocabulary.character(id);
    return guess && code <= U' ' ? U'\u00B7' : code;
}

/// The text in lines that fit the terminal; what would steer it as question marks.
std::vector<std::string> lines_of(const Frame& frame, const Vocabulary& vocabulary, int columns, bool styled) {
    std::vector<std::string> lines(1);
    int column = 0;
    const char* reset = "\033[0m";
    for (int place = 0; place < static_cast<int>(frame.id.size()); ++place) {
        const char32_t code = character_at(frame, vocabulary, place);
        if (code == U'\n' || column == columns) {
            lines.emplace_back();
            column = 0;
            if (code == U'\n') continue;
        }
        const std::string style = styled ? style_of(frame, place) : "";
        lines.back() += style;
        append_utf8(lines.back(), code < 0x20 || (code >= 0x7F && code < 0xA0) ? U'?' : code);
        if (!style.empty()) lines.back() += reset;
        ++column;
    }
    return lines;
}

}  // namespace

Animation::Animation() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void Animation::show(const Frame& frame, const Vocabulary& vocabulary) {
    winsize window{};
    const bool known =
        terminal_ && ::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0;
    std::vector<std::string> lines = lines_of(frame, vocabulary, known ? window.ws_col - 1 : 80,
                                              terminal_ && !std::getenv("NO_COLOR"));
    lines.insert(lines.begin(), fmt::format("step {} of {}", frame.step, frame.steps));
    // What has scrolled off the top could not be redrawn.
    if (known) lines.resize(std::min(lines.size(), static_cast<std::size_t>(std::max(1, window.ws_row - 1))));
    std::string picture = lines_ > 0 ? fmt::format("\033[{}A\r\033[J", lines_) : "";
    for (const std::string& line : lines) picture += line + "\n";
    std::fputs(picture.c_str(), stderr);
    if (terminal_) {
        lines_ = static_cast<int>(lines.size());
        std::this_thread::sleep_for(least_time_per_frame);
    }
}

void Animation::finish() {
    if (lines_ > 0 && ::isatty(STDOUT_FILENO) == 1) std::fputs(fmt::format("\033[{}A\r\033[J", lines_).c_str(), stderr);
    lines_ = 0;
}

}  // namespace folio
