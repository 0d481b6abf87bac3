#include "native/bench/turns.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>

namespace folio {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double longest_turn_s = 0.2;
constexpr std::size_t most_repetitions = 100'000;  // memory, where a repetition takes microseconds

/// The value below which `share` of the sorted ones lie, between neighbours in proportion.
double quantile(const std::vector<double>& sorted, double share) {
    const double rank = share * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

/// A piece of work and the repetitions that it has had.
class Contender {
public:
    Contender(TimedWork piece, double seconds) : piece_(std::move(piece)), seconds_(seconds) {}

    void take_turn();
    bool done() const;
    /// Share of its time that it has had, 0 .. 1.
    double share() const { return done() ? 1 : times_s_.empty() ? 0 : std::min(0.99, spent_s_ / seconds_); }
    Timing timing() const;

private:
    double repeat() const {
        const Clock::time_point start = Clock::now();
        piece_.repeat();
        return std::chrono::duration<double>(Clock::now() - start).count();
    }
    void record(double repetition_s) {
        times_s_.push_back(repetition_s);
        spent_s_ += repetition_s;
    }

    TimedWork piece_;
    double seconds_;
    std::vector<double> times_s_;
    double spent_s_ = 0;
};

void Contender::take_turn() {
    const double turn_s = std::min(longest_turn_s, seconds_);
    // The first repetition of a turn warms caches and threads that others had in between, the very first one scratch
    // memory too. It counts where it is so long that this is little of it, or where there is no time for another.
    const double end_s = spent_s_ + turn_s, first_s = repeat();
    if (first_s >= (times_s_.empty() ? 3 * seconds_ : turn_s)) record(first_s);
    while (spent_s_ < end_s) record(repeat());
}

bool Contender::done() const {
    if (times_s_.empty()) return false;
    return times_s_.front() >= seconds_ || spent_s_ >= (times_s_.size() < 3 ? 3 : 1) * seconds_ ||
           times_s_.size() >= most_repetitions;
}

Timing Contender::timing() const {
    std::vector<double> sorted = times_s_;
    std::sort(sorted.begin(), sorted.end());
    const double median_s = quantile(sorted, 0.5);
    return {piece_.work,
            static_cast<std::int64_t>(sorted.size()),
            1000 * median_s,
            1000 * quantile(sorted, 0.25),
            1000 * quantile(sorted, 0.75),
            piece_.characters / median_s};
}

}  // namespace

std::vector<Timing> time_in_turns(std::vector<TimedWork> pieces, double seconds, const ShowTurn& show) {
    std::vector<Contender> contenders;
    for (TimedWork& piece : pieces) contenders.emplace_back(std::move(piece), seconds);
    std::vector<Contender*> running;
    for (Contender& contender : contenders) running.push_back(&contender);
    std::minstd_rand draw;
    while (!running.empty()) {
        std::shuffle(running.begin(), running.end(), draw);
        for (Contender* contender : running) {
            contender->take_turn();
            double done = 0;
            for (const Contender& each : contenders) done += each.share();
            const Timing timing = contender->timing();
            show(done / static_cast<double>(contenders.size()),
                 fmt::format("{}: {:.2f} ms", describe(timing.work), timing.median_ms));
        }
        std::erase_if(running, [](const Contender* contender) { return contender->done(); });
    }
    std::vector<Timing> timings;
    for (const Contender& contender : contenders) timings.push_back(contender.timing());
    return timings;
}

}  // namespace folio
