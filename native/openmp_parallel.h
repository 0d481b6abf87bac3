#pragma once

#include "core/base/parallel.h"

namespace folio {

/// OpenMP's threads. Items are handed out one at a time, in order.
class OpenMpParallel final : public Parallel {
public:
    explicit OpenMpParallel(int width) : width_(width) {}
    int width() const override { return width_; }
    void run(int count, Task task, void* context) override;

private:
    int width_;
};

/// Physical cores that this process may run on, at least 1: two hardware threads of one core share its product units.
int physical_cores();

}  // namespace folio
