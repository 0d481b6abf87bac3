#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "core/ops/kernels/microkernels.h"

namespace folio {

/// Finds the fastest of several sets that give the same bits by timing passes that run anyway: the cost of an
/// instruction depends on the processor and, in a browser, on the engine, which also compiles better after a while.
class KernelRace {
public:
    explicit KernelRace(std::span<const KernelSet* const> sets) : converged_(sets.size() < 2) {
        for (const KernelSet* set : sets) tries_.push_back({set});
    }

    /// The set of the next pass: each in turn until five passes of it are known, or two that took a quarter more than
    /// another's; from then on the fastest.
    const KernelSet& next() const { return *tries_[next_].set; }
    bool converged() const { return converged_; }

    /// Forgets all times.
    void restart() {
        for (Try& each : tries_) each = {each.set};
        next_ = 0;
        converged_ = tries_.size() < 2;
    }

    /// Says what a pass of next() took, in any unit; passes that are compared must be alike.
    void record_time(double time) {
        Try& present = tries_[next_];
        present.best = present.passes++ == 0 ? time : std::min(present.best, time);
        double best = present.best;
        for (std::size_t i = 0; i < tries_.size(); ++i)
            if (tries_[i].passes > 0 && tries_[i].best <= best) best = tries_[i].best, next_ = i;
        int fewest = most_passes;
        for (std::size_t i = 0; i < tries_.size(); ++i) {
            const int goal = tries_[i].best <= 1.25 * best ? most_passes : 2;
            if (tries_[i].passes < std::min(goal, fewest)) fewest = tries_[i].passes, next_ = i;
        }
        converged_ = fewest == most_passes;
    }

private:
    static constexpr int most_passes = 5;

    struct Try {
        const KernelSet* set;
        int passes = 0;
        double best = 0;
    };
    std::vector<Try> tries_;
    std::size_t next_ = 0;
    bool converged_;
};

}  // namespace folio
