#include "native/host/thread_pool.h"

#include <chrono>
#include <system_error>
#include <utility>

namespace folio {

namespace {

/// Waits until `value` is no longer `old`. The next call usually follows within microseconds, sooner than a sleeping
/// thread wakes, so the first moment is spent awake; longer would take the core from other programs.
template <class T>
void wait_while(const std::atomic<T>& value, T old) {
    using Clock = std::chrono::steady_clock;
    constexpr auto awake = std::chrono::microseconds(50);
    constexpr int looks = 64;  // between two readings of the clock
    const auto begin = Clock::now();
    do {
        for (int i = 0; i < looks; ++i) {
            if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
    } while (Clock::now() - begin < awake);
    value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int width) {
    try {
        threads_.reserve(static_cast<std::size_t>(width - 1));
        for (int worker = 1; worker < width; ++worker) threads_.emplace_back([this, worker] { serve(worker); });
    } catch (const std::system_error&) {
        // A limit on threads or memory: those that were made do the work.
    }
}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    calls_.fetch_add(1, std::memory_order_release);
    calls_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::take_items(const Call& call, int worker) {
    try {
        for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < call.count;)
            call.task(call.context, i, worker);
    } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
    }
}

void ThreadPool::serve(int worker) {
    for (unsigned seen = 0;;) {
        wait_while(calls_, seen);
        seen = calls_.load(std::memory_order_acquire);
        Call call;
        {
            const std::lock_guard lock(mutex_);
            if (stopping_) return;
            if (!open_) continue;  // the others were faster
            call = call_;
            joined_.fetch_add(1, std::memory_order_relaxed);
        }
        take_items(call, worker);
        if (joined_.fetch_sub(1, std::memory_order_acq_rel) == 1) joined_.notify_one();
    }
}

void ThreadPool::run(int count, Task task, void* context) {
    const Call call{task, context, count};
    if (threads_.empty() || count <= 1) {
        for (int i = 0; i < count; ++i) task(context, i, 0);
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        call_ = call;
        open_ = true;
        next_.store(0, std::memory_order_relaxed);
    }
    calls_.fetch_add(1, std::memory_order_release);
    calls_.notify_all();
    take_items(call, 0);
    {
        const std::lock_guard lock(mutex_);
        open_ = false;
    }
    for (int joined; (joined = joined_.load(std::memory_order_acquire)) != 0;) wait_while(joined_, joined);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace folio
