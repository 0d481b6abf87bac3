#pragma once

namespace folio {

/// The threads that a target lends to the core. Work is split over outputs only, so no result depends on the width.
class Parallel {
public:
    using Task = void (*)(void* context, int index, int worker);

    virtual ~Parallel() = default;
    /// Workers that may run at once, at least 1.
    virtual int width() const = 0;
    /// Calls task(context, i, worker) once for every i in [0, count), 0 <= worker < width(); returns when all are done.
    virtual void run(int count, Task task, void* context) = 0;

    /// The same for anything callable as f(index, worker).
    template <class F>
    void each(int count, F&& f) {
        run(
            count, [](void* context, int index, int worker) { (*static_cast<F*>(context))(index, worker); }, &f);
    }
};

/// One worker: the caller.
class Serial final : public Parallel {
public:
    int width() const override { return 1; }
    void run(int count, Task task, void* context) override {
        for (int i = 0; i < count; ++i) task(context, i, 0);
    }
};

}  // namespace folio
