#include "web/wasm/parallel.h"

namespace folio {

void WasmParallel::Signal::set(std::uint32_t value) {
    value_.store(value);
    if (sleepers_.load() > 0) __builtin_wasm_memory_atomic_notify(reinterpret_cast<int*>(&value_), ~0u);
}

std::uint32_t WasmParallel::Signal::await_change(std::uint32_t old) {
    for (int spin = 0; spin < 50'000; ++spin)
        if (const std::uint32_t value = value_.load(); value != old) return value;
    sleepers_.fetch_add(1);
    std::uint32_t value;
    // The wait itself compares with `old` once more, so a change between load and wait is not missed.
    while ((value = value_.load()) == old)
        __builtin_wasm_memory_atomic_wait32(reinterpret_cast<int*>(&value_), static_cast<int>(old), -1);
    sleepers_.fetch_sub(1);
    return value;
}

void WasmParallel::take_part(int worker) {
    for (;;) {
        const std::uint64_t ticket = ticket_.fetch_add(1);
        const std::uint32_t index = static_cast<std::uint32_t>(ticket),
                            count = static_cast<std::uint32_t>(ticket >> 32);
        if (index >= count) return;
        task_(context_, static_cast<int>(index), worker);
        if (unfinished_.fetch_sub(1) == 1) finished_.set(run_);
    }
}

void WasmParallel::run(int count, Task task, void* context) {
    if (width_ == 1 || count <= 1) {
        for (int i = 0; i < count; ++i) task(context, i, 0);
        return;
    }
    ++run_;
    task_ = task;
    context_ = context;
    unfinished_.store(static_cast<std::uint32_t>(count));
    ticket_.store(static_cast<std::uint64_t>(count) << 32);
    started_.set(run_);
    take_part(0);
    finished_.await_change(run_ - 1);
}

void WasmParallel::help(int worker) {
    for (std::uint32_t seen = 0;;) {
        seen = started_.await_change(seen);
        take_part(worker);
    }
}

}  // namespace folio
