#pragma once

#include <functional>
#include <string>
#include <vector>

#include "native/report/bench_report.h"

namespace folio {

/// A piece of work to be timed: how a report names it, the characters that one repetition goes through, and the
/// repetition.
struct TimedWork {
    Work work;
    int characters;
    std::function<void()> repeat;
};

/// Shows the share of all work that is done, 0 .. 1, and a line about the last turn.
using ShowTurn = std::function<void(double share, const std::string& line)>;

/// Times pieces of work in turns of a fifth of a second, in another random order each round, so that changes of the
/// machine's clock affect all of them alike. Each gets `seconds` in all, three times as long where fewer than three
/// repetitions fit, and a single repetition where one alone takes that long.
std::vector<Timing> time_in_turns(std::vector<TimedWork> pieces, double seconds, const ShowTurn& show);

}  // namespace folio
