#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/model/denoiser.h"
#include "core/process/gaussian.h"
#include "core/process/gaussian_bound.h"
#include "core/process/masked.h"
#include "core/process/time_warp.h"

namespace folio {

/// Hyperparameters of a training run: every number that it depends on besides the text.
struct Recipe {
    int steps = 5000;
    int batch = 32;
    int seq_len = 256;
    int rows_per_pass = 1024;  // a batch goes through in passes of at most this many rows: memory, and the last digits
    MaskedLoss loss = MaskedLoss::mean;      // masked
    MaskRate mask_rate = MaskRate::uniform;  // masked; uniform in the steps that lower the NELBO
    float nelbo_share = 0.f;        // masked, Gaussian: the last share of the steps lowers the NELBO itself instead
    float input_noise = 0.f;        // autoregressive: share of input characters that are replaced by any others
    float self_conditioning = 0.f;  // Gaussian: share of the steps that show the network its own first answer
    float known = 0.f;              // Gaussian: share of the windows in which some characters are given
    int refit_every = 0;            // Gaussian, warped: steps between fits of the time to the loss until then; 0: never
    float lr = 1e-2f;               // AdamW: embeddings and head, and the matrices too where muon_lr is 0
    float muon_lr = 0.02f;          // Muon: the matrices of the blocks
    float beta1 = 0.9f, beta2 = 0.95f;
    float weight_decay = 0.f;  // decoupled, on the matrices of the blocks
    int warmup = 100;          // steps of linear rise to the full rate
    float decay = 0.4f;        // the last share of the steps: linear fall to 0
    float clip = 1.f;          // global gradient norm
    float ema = 0.999f;
    float dropout = 0.f;
    float short_windows = 0.1f;  // share of steps on a window length drawn from 1/16 .. 1 of seq_len
    std::uint64_t seed = 1;
};

/// The factor on both learning rates at `step` (0-based): rise, plateau, fall to 0. The plateau knows nothing of the
/// end, so a run that is still on it can be resumed with another number of steps.
double schedule(const Recipe& recipe, int step);

/// Loss and gradient norm of one step.
struct StepReport {
    double loss = 0;
    double gradient_norm = 0;
    int characters = 0;
    bool finite = true;
};

/// Corrupt, forward, backward, update, average: one step at a time, on any device, with no files or threads of its own.
/// Step n is a function of state n and the recipe alone, so a resumed run equals one never stopped.
class Trainer {
public:
    /// `text`: ids without [MASK], seq_len + 1 of them at least. Parameters are drawn from the seed (spec section 3).
    static Result<Trainer> create(Ops& ops, TrainingOps& training, const ModelConfig& config,
                                  const ProcessConfig& process, const Recipe& recipe, std::span<const int> text);

    /// Step `step` (0-based). Where the loss or the gradient is not finite the parameters stay as they were.
    Result<StepReport> run(int step);

    /// Process that the model is sampled and scored by; a Gaussian one's time changes as it is refitted.
    const ProcessConfig& process() const { return process_; }

    /// The state besides the process: arenas in the order of for_each_tensor, parameters, their EMA, both moments, and
    /// the losses that time is refitted from. Host copies.
    struct State {
        std::vector<float> parameters, average, moment1, moment2;
        LossByNoise losses;
    };
    State save();
    Result<void> restore(const State& state);

private:
    /// A batch on the device: what goes in and what should come out, row by row.
    struct Batch {
        Input input;
        const int* targets = nullptr;
        Matrix target_rows;  // where the loss is squared: instead of targets
        const float* weights = nullptr;
        bool squared = false;  // the probabilities' squared error counts, not the cross-entropy
        // What they are made from.
        const int* starts = nullptr;         // [batch]
        const int* counts = nullptr;         // [batch] masked
        const float* row_weights = nullptr;  // [batch] masked
        GaussianNoise noise{};
        /// Gaussian batch: noise level of each window, weight of each position, and whether some are given.
        struct Window {
            double g, weight;
            bool aided;
        };
        std::vector<Window> windows{};
    };

    /// Scalars that change from step to step, on the device: the rest of a step is captured and can run again.
    struct Numbers {
        std::uint32_t step = 0;
        AdamW adamw, decaying;  // of embeddings and head; of the matrices
        Muon muon;
        float ema = 0;              // decay of the average
        float scale = 1;            // of the gradient
        double sum_of_squares = 0;  // of the gradient
        double loss = 0;
    };
    /// A step's operations, given what was uploaded for it.
    struct Record {
        Trainer* trainer;
        Batch batch;
        int length;
        bool conditioned;
        Result<void> status{};
    };

    Trainer() = default;
    /// The batch of a step as the process makes it, with windows of `length` at `starts`: what the host says of it goes
    /// up, the rest is corrupt's.
    Batch masked_batch(int step, int length, std::span<const int> starts);
    Batch autoregressive_batch(int length, std::span<const int> starts);
    Batch gaussian_batch(int step, int length, std::span<const int> starts);
    void corrupt(const Batch& batch, int length);
    Result<void> train(const Batch& batch, int length, bool conditioned);
    void update();
    Numbers numbers(int step) const;
    Numbers* now() const { return numbers_.as<Numbers>(); }
    bool trains_nelbo(int step) const { return step >= static_cast<int>((1.0 - recipe_.nelbo_share) * recipe_.steps); }
    /// Notes what the windows of a Gaussian batch lost, and refits the time where that is due after `step`.
    void watch_noise(int step, const Batch& batch, int length, std::span<const float> losses);

    Ops* ops_ = nullptr;
    TrainingOps* training_ = nullptr;
    ModelConfig config_;
    ProcessConfig process_;
    Recipe recipe_;
    int text_size_ = 0;
    std::size_t count_ = 0;
    Storage parameters_, average_, moment1_, moment2_, gradients_;
    Storage text_;
    Storage rows_;    // what a process says of each window
    Storage places_;  // what it makes of each position
    Storage losses_;  // [batch, length]
    Storage numbers_;
    std::unique_ptr<Denoiser> denoiser_;
    std::optional<GaussianDiffusion> diffusion_;
    LossByNoise losses_by_noise_;
};

}  // namespace folio
