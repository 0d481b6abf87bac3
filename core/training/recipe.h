#pragma once

#include <cstdint>

#include "core/process/masked.h"

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
    float self_conditioning = 0.f;  // Gaussian: share of the steps that show the network its own first output
    float prompt_share = 0.f;       // Gaussian: share of the windows in which some characters are given
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

/// Factor on both learning rates at `step` (0-based): linear rise, plateau, linear fall to 0. The plateau does not
/// depend on `steps`, so that a run that is still on it can be resumed with another number of steps.
double lr_schedule(const Recipe& recipe, int step);

/// True in the last share of the steps, which lowers the NELBO itself.
bool trains_nelbo(const Recipe& recipe, int step);

}  // namespace folio
