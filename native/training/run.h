#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "native/host/devices.h"
#include "native/host/progress.h"
#include "native/host/text_data.h"
#include "native/training/checkpoint.h"
#include "native/training/settings.h"

namespace folio {

/// End of a run.
enum class RunEnd { done, stopped_early, interrupted };

/// One training run and its folder: checkpoint.safetensors, metrics.jsonl, best.safetensors and last.safetensors.
class TrainingRun {
public:
    /// Goes on in `folder` from `start`, the beginning of a new run or a checkpoint.
    TrainingRun(Device& device, const TextData& data, Checkpoint start, fs::path folder);

    /// Trains until the settings' last step, early stopping or Ctrl-C; the run can be resumed from each of these.
    RunEnd run();

    const RunPosition& position() const { return position_; }

private:
    void start_trainer(const Trainer::State& state);
    /// Back to the last checkpoint with a lower learning rate, as numbers were not finite.
    void roll_back();
    /// The trainer's state at this step, fetched once.
    const Trainer::State& state();
    /// A denoiser with the averaged weights, for validation and samples.
    Denoiser averaged();
    /// Scores the validation text. False where the model's numbers are not finite.
    bool validate();
    /// A sample's text; none where the model's numbers are not finite.
    std::optional<std::string> sample();
    /// Validation, sample and line of the log that are due after this step. False where numbers are not finite.
    bool report_progress();
    /// Writes a line of metrics.jsonl; ends the command where it cannot be written.
    void log(bool validated, const std::optional<std::string>& sample);
    /// Reports progress; before a failure ends the command it tries to save a checkpoint.
    bool report_or_save();
    void show_progress();
    /// A setting in steps.
    int interval(const char* option) const { return checkpoint_.settings.at(option); }
    /// True where the setting in steps divides this step; 0 is never.
    bool is_due(const char* option) const;
    /// True if a pass with these parameters gives finite numbers: an update too large shows only in the next pass, and
    /// a checkpoint must not hold it.
    bool is_finite_state();
    /// Rolls back instead where the state is not finite.
    void save_checkpoint();
    void save_model(const char* name);
    double elapsed() const;

    Device& device_;
    const TextData& data_;
    const fs::path folder_;
    Checkpoint checkpoint_;  // all of the next checkpoint but position and state
    const Recipe recipe_;
    RunPosition position_;
    std::optional<Trainer> trainer_;
    std::optional<Trainer::State> state_;
    std::optional<double> val_nll_;  // of the last validation in this process
    int val_step_ = 0;
    Progress progress_;
    int saved_step_ = -1;          // of the checkpoint on disk, where this process wrote it
    double elapsed_before_s_ = 0;  // this process
    std::chrono::steady_clock::time_point start_time_;
    double interval_s_ = 0;  // since the last logged step
    std::int64_t interval_characters_ = 0;
    double rate_ = 0;    // characters per second in it
    double step_s_ = 0;  // smoothed
};

}  // namespace folio
