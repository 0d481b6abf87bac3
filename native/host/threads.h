#pragma once

#include <atomic>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/parallel.h"

namespace folio {

/// Threads that share the items of a call, which are handed out one at a time, in order. The caller works too, and a
/// call waits only for items that were begun: a thread that other programs keep from its core delays no call.
class ThreadPool final : public Parallel {
public:
    /// `width` workers, the caller included, or fewer where the system grants no more threads.
    explicit ThreadPool(int width);
    ~ThreadPool() override;
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int width() const override { return static_cast<int>(threads_.size()) + 1; }
    /// Rethrows the first exception of an item when no other item is running any more.
    void run(int count, Task task, void* context) override;

private:
    struct Call {
        Task task = nullptr;
        void* context = nullptr;
        int count = 0;
    };

    void serve(int worker);
    void take_items(const Call& call, int worker);

    std::mutex mutex_;  // guards the next four
    Call call_;
    bool open_ = false;  // for threads to join the call
    bool stopping_ = false;
    std::exception_ptr failure_;
    alignas(64) std::atomic<unsigned> calls_{0};
    alignas(64) std::atomic<int> next_{0};    // item of the call
    alignas(64) std::atomic<int> joined_{0};  // threads at work on the call
    std::vector<std::thread> threads_;
};

/// Physical cores that this process may run on, at least 1: two hardware threads of one core share its product units. A
/// container's CPU quota counts, rounded down.
int physical_cores();

/// The CPU quota, in CPUs, of the control group (version 1 or 2) that `membership`, the content of /proc/self/cgroup,
/// names: the least of it and of those above it, below `root` (/sys/fs/cgroup). Nothing where there is none.
std::optional<double> cpu_quota(const std::filesystem::path& root, const std::string& membership);

}  // namespace folio
