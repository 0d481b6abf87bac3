#include "core/training/recipe.h"

#include <algorithm>

namespace folio {

double lr_schedule(const Recipe& recipe, int step) {
    const double rise = recipe.warmup > 0 ? (step + 1.0) / recipe.warmup : 1.0;
    const double left =
        recipe.decay > 0 ? (recipe.steps - step) / (static_cast<double>(recipe.decay) * recipe.steps) : 1.0;
    return std::clamp(std::min(rise, left), 0.0, 1.0);
}

bool trains_nelbo(const Recipe& recipe, int step) {
    return step >= static_cast<int>((1.0 - recipe.nelbo_share) * recipe.steps);
}

}  // namespace folio
