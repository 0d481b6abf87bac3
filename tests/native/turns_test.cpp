#include "native/bench/turns.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

using namespace folio;

namespace {

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

/// Work by this name that sleeps, and writes its name into `log` for each repetition.
TimedWork sleeper(char name, int ms, std::string& log) {
    return {{std::string(1, name), "", "", 1}, 100, [=, &log] {
                sleep_ms(ms);
                log += name;
            }};
}

void ignore(double, const std::string&) {}

}  // namespace

TEST_CASE("pieces of work take turns, and each gets its time") {
    std::string log;
    std::vector<double> shares;
    std::string last_line;
    const auto timings =
        time_in_turns({sleeper('a', 5, log), sleeper('b', 20, log)}, 0.5, [&](double share, const std::string& line) {
            shares.push_back(share);
            last_line = line;
        });
    REQUIRE(timings.size() == 2);
    CHECK(timings[0].work.task == "a");
    CHECK(timings[1].work.task == "b");
    CHECK(timings[0].median_ms >= 5);
    CHECK(timings[1].median_ms >= 20);
    for (const Timing& timing : timings) {
        CHECK(timing.repetitions * timing.upper_quartile_ms >= 500 * 0.75);
        CHECK(timing.lower_quartile_ms <= timing.median_ms);
        CHECK(timing.median_ms <= timing.upper_quartile_ms);
        CHECK(timing.chars_per_s == Approx(100 / timing.median_ms * 1000));
    }
    std::size_t switches = 0;
    for (std::size_t i = 1; i < log.size(); ++i) switches += log[i] != log[i - 1];
    CAPTURE(log);
    CHECK(switches >= 3);
    CHECK(std::is_sorted(shares.begin(), shares.end()));
    CHECK(shares.back() == 1);
    CHECK(last_line.find(" ms") != std::string::npos);
}

TEST_CASE("without any time each piece of work runs once") {
    std::string log;
    const auto timings = time_in_turns({sleeper('a', 0, log), sleeper('b', 1, log)}, 0, ignore);
    CHECK(log.size() == 2);
    for (const Timing& timing : timings) CHECK(timing.repetitions == 1);
}

TEST_CASE("the first repetition counts only where there is no time for another") {
    int calls = 0;
    const auto warming = [&] { sleep_ms(++calls == 1 ? 150 : 1); };
    const auto with_time = time_in_turns({{{"forward", "", "", 1}, 1, warming}}, 0.1, ignore);
    CHECK(with_time[0].repetitions < calls);
    CHECK(with_time[0].median_ms < 150);
    calls = 0;
    const auto without = time_in_turns({{{"forward", "", "", 1}, 1, warming}}, 0.01, ignore);
    CHECK(calls == 1);
    CHECK(without[0].repetitions == 1);
    CHECK(without[0].median_ms >= 150);
}
