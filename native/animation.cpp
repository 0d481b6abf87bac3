#include "native/animation.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "core/base/text.h"

namespace folio {
namespace {

constexpr auto least_time_per_frame = std::chrono::milliseconds(50);

/// The text in lines that fit the terminal: open places as dots, what would steer the terminal as question marks.
std::vector<std::string> lines_of(const Frame& frame, const Vocabulary& vocabulary, int columns) {
    std::vector<std::string> lines(1);
    int column = 0;
    for (const int id : frame.id) {
        const char32_t code = id < 0 ? U'\u00B7' : vocabulary.character(id);
        if (code == U'\n' || column == columns) {
            lines.emplace_back();
            column = 0;
            if (code == U'\n') continue;
        }
        append_utf8(lines.back(), code < 0x20 || (code >= 0x7F && code < 0xA0) ? U'?' : code);
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
    std::vector<std::string> lines = lines_of(frame, vocabulary, known ? window.ws_col - 1 : 80);
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
