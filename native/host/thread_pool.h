#pragma once

#include <atomic>
#include <exception>
#include <mutex>
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

}  // namespace folio
