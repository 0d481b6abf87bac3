#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/training/step.h"
#include "core/weights/model_file.h"
#include "native/host/files.h"

namespace folio {

/// Position of a training run, besides the trainer's arenas.
struct RunPosition {
    int step = 0;         // steps done
    double loss_sum = 0;  // of the steps since the last logged one
    int loss_count = 0;
    double best_nll = 0;  // meaningless while best_step is 0
    int best_step = 0;
    int validations_since_best = 0;
    double lr_factor = 1;  // lowered by rollbacks
    int rollbacks = 0;
    double elapsed_s = 0;
};

/// All that it takes to go on with a run as if it had never stopped.
struct Checkpoint {
    ModelFile model;          // without parameters
    nlohmann::json settings;  // the run's options, by their names on the command line
    std::string text_checksum;
    fs::path text_file;   // absolute; empty where no file is known
    std::string kernels;  // the set that computed it: another rounds differently
    RunPosition position;
    Trainer::State state;
};

/// A checkpoint is a safetensors file of the flat arenas `parameters`, `average`, `moment1` and `moment2`, a Gaussian
/// run's also of its losses by noise, with the model's metadata and the rest, a checksum among it, under
/// `folio.checkpoint`. Written whole or not at all.
void write_checkpoint(const fs::path& path, const Checkpoint& checkpoint);

/// Ends the command with a sentence where the file is no checkpoint or is damaged.
Checkpoint read_checkpoint(const fs::path& path);

}  // namespace folio
