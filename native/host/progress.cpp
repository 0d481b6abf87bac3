#include "native/host/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "native/host/failure.h"
#include "native/host/terminal.h"

namespace folio {
namespace {

constexpr auto terminal_interval = std::chrono::milliseconds(100);
constexpr auto plain_interval = std::chrono::seconds(10);
constexpr int progress_bar_width = 20;

}  // namespace

Progress::Progress() : redraws_(can_redraw()) {}
Progress::~Progress() { clear(); }

void Progress::show(double share, const std::string& figures) {
    const auto now = std::chrono::steady_clock::now();
    const bool first = last_.time_since_epoch().count() == 0;
    if (share < 1 && !first && now - last_ < (redraws_ ? terminal_interval : plain_interval)) return;
    last_ = now;
    std::string line = figures;
    if (!redraws_) {
        notice(line);
        return;
    }
    const int columns = terminal_size().columns;
    if (static_cast<int>(line.size()) + progress_bar_width + 3 < columns) {
        const int full = static_cast<int>(std::lround(share * progress_bar_width));
        line = "[" + std::string(static_cast<std::size_t>(full), '=') +
               std::string(static_cast<std::size_t>(progress_bar_width - full), ' ') + "] " + line;
    }
    // A line that wraps could not be rewritten.
    line.resize(std::min(line.size(), static_cast<std::size_t>(std::max(columns - 1, 1))));
    std::fputs(("\r\033[K" + line).c_str(), stderr);
    std::fflush(stderr);
    shown_ = true;
}

void Progress::say(const std::string& line) {
    clear();
    notice(line);
}

void Progress::clear() {
    if (shown_) std::fputs("\r\033[K", stderr);
    shown_ = false;
}

std::string duration(double seconds) {
    const auto whole = static_cast<long>(std::llround(std::clamp(seconds, 0.0, 1e9)));
    if (whole < 60) return fmt::format("{} s", whole);
    if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
    return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

}  // namespace folio
