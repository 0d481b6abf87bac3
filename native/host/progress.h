#pragma once

#include <chrono>
#include <string>

namespace folio {

/// Progress on stderr: one line rewritten in place on a terminal, else a plain line every few seconds.
class Progress {
public:
    Progress();
    ~Progress();

    /// `share` of the work, 0 .. 1, is done; `line` has the figures. Most calls show nothing, the one with share 1
    /// does.
    void show(double share, const std::string& line);
    /// A line that stays.
    void say(const std::string& line);

private:
    void clear();

    bool redraws_;
    bool shown_ = false;
    std::chrono::steady_clock::time_point last_{};
};

/// "48 s", "12 min 5 s", "3 h 20 min".
std::string duration(double seconds);

}  // namespace folio
