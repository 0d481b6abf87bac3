#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/parallel.h"

namespace folio {

/// The caller and the helper workers that the loader (web/src/wasm.ts) has started on the same shared memory. Helpers
/// own a stack and nothing else: no task may allocate, use thread_local, or be the first to reach a function's static.
class WasmParallel final : public Parallel {
public:
    int width() const override { return width_; }
    /// `width` counts the caller; helpers 1 .. width - 1 are in help().
    void set_width(int width) { width_ = width; }
    void run(int count, Task task, void* context) override;

    /// A helper's whole life: takes part in every run, sleeps in between, never returns.
    [[noreturn]] void help(int worker);

private:
    /// A word that one thread changes and others wait for, first awake (about 100 us), then asleep.
    class Signal {
    public:
        void set(std::uint32_t value);
        /// Returns the first value seen that is not `old`.
        std::uint32_t await_change(std::uint32_t old);

    private:
        std::atomic<std::uint32_t> value_{0};
        std::atomic<int> sleepers_{0};
    };

    void take_part(int worker);

    int width_ = 1;
    // The present run. Written only while no index of a run is unfinished.
    std::uint32_t run_ = 0;
    Task task_ = nullptr;
    void* context_ = nullptr;
    /// count << 32 | next index: one word, so that a helper that comes late from an older run sees that nothing is left
    /// there, or takes a true share of the new one.
    std::atomic<std::uint64_t> ticket_{0};
    std::atomic<std::uint32_t> unfinished_{0};
    Signal started_;   // the last run that began
    Signal finished_;  // the last run that ended
};

}  // namespace folio
