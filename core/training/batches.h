#pragma once

#include <memory>
#include <vector>

#include "core/model/denoiser.h"
#include "core/process/process_config.h"
#include "core/process/time_warp.h"
#include "core/training/device_array.h"
#include "core/training/recipe.h"

namespace folio {

/// Loss of a row: -log softmax(logits)[target]; |softmax(logits) - one-hot of target|^2; |output - target row|^2.
enum class BatchLoss { cross_entropy, brier, squared_error };

/// A batch on the device, R = windows * length rows: the input of the network, and what its output is compared with.
struct Batch {
    int windows = 0, length = 0;
    Input input;
    bool self_conditioned = false;  // the network is shown its own first output
    BatchLoss loss = BatchLoss::cross_entropy;
    const int* targets = nullptr;    // [R]
    Matrix target_rows;              // [R, V] of squared_error, in place of targets
    const float* weights = nullptr;  // [R] of the rows' losses, which add up to the batch's

    /// Its windows first .. first + count - 1.
    Batch part(int first, int count) const;
};

/// What all batches of a run are made with. `ops` and `training` must outlive them.
struct BatchContext {
    Ops& ops;
    TrainingOps& training;
    const ModelConfig& config;
    const ProcessConfig& process;
    const Recipe& recipe;
};

/// Batches of a training run: windows of the text at random positions, corrupted as the process does it.
class Batches {
public:
    explicit Batches(const BatchContext& context)
        : ops_(context.ops),
          training_(context.training),
          config_(context.config),
          process_(context.process),
          recipe_(context.recipe) {}
    virtual ~Batches() = default;

    /// Draws what the host decides of a step (windows, how many characters are masked, noise levels) and uploads it.
    /// The rows of the batch, which is valid until the next one, are made by corrupt().
    Batch draw(int step);
    /// Makes the rows by operations on the device alone. `step`, on the device, is that of the last draw().
    virtual void corrupt(const Batch& batch, const std::uint32_t* step) = 0;

    /// The process as it is now: a Gaussian one's time warp adapts to the loss.
    const ProcessConfig& process() const { return process_; }
    /// True where adapt() is to be given the losses of `step`.
    virtual bool adapts(int) const { return false; }
    /// Adapts the process to the losses [R] of the last batch.
    virtual void adapt(int /*step*/, const Batch& /*batch*/, std::span<const float> /*token_losses*/) {}
    /// State that adapt() goes by; null where there is none.
    virtual LossByNoise* losses_by_noise() { return nullptr; }

protected:
    Result<void> allocate(std::span<const int> text);
    /// Rows of the largest batch.
    std::size_t capacity() const { return static_cast<std::size_t>(recipe_.batch) * recipe_.seq_len; }
    /// Characters behind a window that its targets need.
    virtual int characters_after() const { return 0; }
    /// Fills in what the process decides.
    virtual void draw_process(int step, Batch& batch) = 0;

    Ops& ops_;
    TrainingOps& training_;
    ModelConfig config_;
    ProcessConfig process_;
    Recipe recipe_;
    DeviceArray<int> text_, starts_;  // starts: [batch] of the windows in the text
    DeviceArray<int> targets_;
    DeviceArray<float> weights_;

private:
    friend Result<std::unique_ptr<Batches>> make_batches(const BatchContext&, std::span<const int>);
    /// Makes what the process alone needs; fails on an invalid configuration.
    virtual Result<void> create_process() { return {}; }
    virtual void allocate_process(Allocations& room) = 0;
};

/// Batches of the process. `text`: ids without [MASK], seq_len + 1 of them at least.
Result<std::unique_ptr<Batches>> make_batches(const BatchContext& context, std::span<const int> text);

// masked_batches, gaussian_batches ...: not yet allocated.
#define FOLIO_BATCHES(kind, name) std::unique_ptr<Batches> kind##_batches(const BatchContext& context);
FOLIO_FOR_EACH_PROCESS(FOLIO_BATCHES)
#undef FOLIO_BATCHES

}  // namespace folio
