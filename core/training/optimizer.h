#pragma once

#include "core/model/config.h"
#include "core/training/device_array.h"
#include "core/training/recipe.h"

namespace folio {

/// Scalars that change from step to step, on the device, so that the rest of a step can be captured and run again.
struct StepScalars {
    std::uint32_t step = 0;
    AdamW adamw, decaying;  // of embeddings, filters and head; of the blocks' matrices, where Muon is off
    Muon muon;
    float ema = 0;              // decay of the average
    float scale = 1;            // of the gradient, by clipping
    double sum_of_squares = 0;  // of the gradient
    double loss = 0;
};

StepScalars step_scalars(const Recipe& recipe, int step);

/// AdamW for embeddings, filters and head, Muon (or AdamW) for the matrices of the blocks, and the exponential moving
/// average of the parameters. All arenas are in the order of for_each_tensor.
class Optimizer {
public:
    /// `ops` and `training` must outlive it.
    static Result<Optimizer> create(Ops& ops, TrainingOps& training, const ModelConfig& config, const Recipe& recipe,
                                    std::span<const float> parameters);

    /// Updates parameters, moments and average by gradients times scalars->scale; all stay where that is NaN.
    void update(const float* gradients, const StepScalars* scalars);

    DeviceArray<float> parameters, average, moment1, moment2;

private:
    Optimizer(TrainingOps& training, const ModelConfig& config, bool muon)
        : training_(&training), config_(config), muon_(muon) {}

    void update_adamw(const float* gradients, const StepScalars* scalars, std::size_t first, std::size_t end,
                      const AdamW* options);
    /// Updates the matrices of the blocks, those of one name in all blocks at once.
    void update_muon(const float* gradients, const StepScalars* scalars, std::size_t first, std::size_t end);

    TrainingOps* training_;
    ModelConfig config_;
    bool muon_;
};

}  // namespace folio
