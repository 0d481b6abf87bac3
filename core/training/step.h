#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/training/batches.h"
#include "core/training/optimizer.h"

namespace folio {

/// Loss and gradient norm of one step.
struct StepReport {
    double loss = 0;
    double gradient_norm = 0;
    int characters = 0;
    bool finite = true;
};

/// Corrupt, forward, loss, backward, clip, update, average: one step at a time, on any device, with no files or threads
/// of its own. Step n is a function of state n and the recipe alone, so a resumed run equals one never stopped.
class Trainer {
public:
    /// `text`: ids without [MASK], seq_len + 1 of them at least. Parameters are drawn from the seed.
    static Result<Trainer> create(Ops& ops, TrainingOps& training, const ModelConfig& config,
                                  const ProcessConfig& process, const Recipe& recipe, std::span<const int> text);

    /// Step `step` (0-based). Where the loss or the gradient is not finite the parameters stay as they were.
    Result<StepReport> run(int step);

    /// Process that the model is sampled and scored by; a Gaussian one's time warp adapts as it is trained.
    const ProcessConfig& process() const { return batches_->process(); }

    /// State besides the process: arenas in the order of for_each_tensor, parameters, their EMA, both moments, and the
    /// losses that the time warp adapts to. Host copies.
    struct State {
        std::vector<float> parameters, average, moment1, moment2;
        LossByNoise losses;
    };
    State save();
    Result<void> restore(const State& state);

private:
    Trainer(Ops& ops, TrainingOps& training, const Recipe& recipe, Optimizer optimizer,
            std::unique_ptr<Batches> batches)
        : ops_(&ops),
          training_(&training),
          recipe_(recipe),
          optimizer_(std::move(optimizer)),
          batches_(std::move(batches)) {}

    /// A step's operations, which a device may capture once and run again.
    struct CapturedStep {
        Trainer* trainer;
        Batch batch;
        Result<void> status;
    };

    /// The device's part of a step, given what was uploaded for it.
    Result<void> train(const Batch& batch);
    /// Adds the gradient of some windows, the first of which is window `first` of the batch.
    Result<void> accumulate_gradient(const Batch& windows, int first);
    /// Shows the network its own first output. Nothing flows back through it.
    Result<void> self_condition(const Batch& windows);
    /// Losses of the rows, and in place of the output its gradient.
    void loss(const Batch& windows, Matrix output, float* losses);
    Result<StepReport> report(int step, const Batch& batch);

    StepScalars* scalars() const { return scalars_.data(); }

    Ops* ops_;
    TrainingOps* training_;
    Recipe recipe_;
    Optimizer optimizer_;
    std::unique_ptr<Batches> batches_;
    std::unique_ptr<Denoiser> denoiser_;
    int excluded_ = -1;  // [MASK], which is never predicted
    DeviceArray<float> gradients_, token_losses_;
    DeviceArray<StepScalars> scalars_;
};

}  // namespace folio
