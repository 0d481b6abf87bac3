#include "native/training/run.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <fstream>

#include "core/base/text.h"
#include "core/evaluation/likelihood.h"
#include "core/sampling/request.h"
#include "native/host/failure.h"
#include "native/host/models.h"
#include "native/host/signals.h"
#include "native/host/terminal.h"
#include "native/version.h"

namespace folio {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr int most_rollbacks = 3;
constexpr double rollback_factor = 0.5;
// Validation during training uses few draws, always the same (common random numbers).
constexpr int validation_windows = 64;
constexpr int validation_draws = 4;
constexpr int sample_length = 192;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::string rate(double per_second) {
    return per_second >= 1e6   ? fmt::format("{:.2f} M", per_second / 1e6)
           : per_second >= 1e4 ? fmt::format("{:.1f} k", per_second / 1e3)
                               : fmt::format("{:.0f}", per_second);
}

/// Drops lines of steps after `step` and an incomplete last line; and damaged ones, with a notice.
void truncate_metrics(const fs::path& path, int step) {
    if (std::error_code unknown; !fs::exists(path, unknown)) return;
    const std::string content = read_file(path, "the metrics file");
    std::string kept;
    int damaged = 0;
    for (std::size_t begin = 0; begin < content.size();) {
        const std::size_t end = content.find('\n', begin);
        if (end == content.npos) break;
        const std::string line = content.substr(begin, end + 1 - begin);
        const json entry = json::parse(line, nullptr, false);
        const bool readable = entry.is_object() && entry.contains("step") && entry["step"].is_number_integer();
        if (!readable)
            ++damaged;
        else if (entry["step"] <= step)
            kept += line;
        begin = end + 1;
    }
    if (damaged > 0)
        notice(fmt::format("{} cannot be read in {} of its lines, which are left out from now on.", quote_path(path),
                           damaged));
    if (kept != content) write_file(path, kept);
}

}  // namespace

TrainingRun::TrainingRun(Device& device, const TextData& data, Checkpoint start, fs::path folder)
    : device_(device),
      data_(data),
      folder_(std::move(folder)),
      checkpoint_(std::move(start)),
      recipe_(to_recipe(checkpoint_.settings)),
      position_(checkpoint_.position),
      elapsed_before_s_(position_.elapsed_s),
      start_time_(Clock::now()) {
    start_trainer(checkpoint_.state);
    checkpoint_.state = {};
    truncate_metrics(folder_ / "metrics.jsonl", position_.step);
    // There is a checkpoint to roll back to and to resume from even before the first step.
    if (position_.step == 0) save_checkpoint();
}

void TrainingRun::start_trainer(const Trainer::State& state) {
    Recipe recipe = recipe_;
    recipe.lr *= static_cast<float>(position_.lr_factor);
    recipe.muon_lr *= static_cast<float>(position_.lr_factor);
    trainer_.reset();
    state_.reset();
    trainer_.emplace(unwrap(Trainer::create(device_.ops(), device_.training_ops(), checkpoint_.model.config,
                                            checkpoint_.model.process, recipe, data_.train())));
    if (!state.parameters.empty()) unwrap(trainer_->restore(state));
}

RunEnd TrainingRun::run() {
    const GracefulStop ctrl_c;
    RunEnd end = RunEnd::done;
    const int patience = checkpoint_.settings.at("patience");
    while (position_.step < recipe_.steps || position_.step != saved_step_) {
        if (position_.step == recipe_.steps) {
            save_checkpoint();  // or rolls back, and goes on from there
            continue;
        }
        if (ctrl_c.asked()) end = RunEnd::interrupted;
        if (patience > 0 && position_.validations_since_best >= patience) end = RunEnd::stopped_early;
        if (end != RunEnd::done) {
            if (position_.step != saved_step_) save_checkpoint();
            break;
        }

        const Clock::time_point step_begin = Clock::now();
        const StepReport report = unwrap(trainer_->run(position_.step));
        state_.reset();
        checkpoint_.model.process = trainer_->process();
        if (!report.finite) {
            roll_back();
            continue;
        }
        const double step_s = seconds_since(step_begin);
        ++position_.step;
        position_.loss_sum += report.loss;
        ++position_.loss_count;
        interval_s_ += step_s;
        interval_characters_ += report.characters;
        rate_ = static_cast<double>(interval_characters_) / interval_s_;
        step_s_ = step_s_ == 0 ? step_s : 0.95 * step_s_ + 0.05 * step_s;
        show_progress();
        if (!report_or_save())
            roll_back();
        else if (is_due("checkpoint-every"))
            save_checkpoint();
    }
    return end;
}

bool TrainingRun::is_due(const char* option) const {
    return interval(option) > 0 && position_.step % interval(option) == 0;
}

bool TrainingRun::report_or_save() {
    try {
        return report_progress();
    } catch (const Failure& failure) {
        // The steps since the last checkpoint must not be lost with what could not be written.
        try {
            save_checkpoint();
        } catch (const Failure&) {
            throw failure;
        }
        throw;
    }
}

bool TrainingRun::report_progress() {
    const bool validating = position_.step == recipe_.steps || is_due("eval-every");
    const bool sampling = is_due("sample-every");
    std::optional<std::string> text;
    if (validating && !validate()) return false;
    if (sampling && !(text = sample())) return false;
    if (validating || sampling || is_due("log-every")) {
        log(validating, text);
        interval_s_ = 0;
        interval_characters_ = 0;
    }
    return true;
}

void TrainingRun::show_progress() {
    std::string line = fmt::format("step {}/{}  loss {:.3f}", position_.step, recipe_.steps,
                                   position_.loss_sum / position_.loss_count);
    if (val_nll_) line += fmt::format("  val {:.3f}", *val_nll_);
    line +=
        fmt::format("  {} characters/s  {} left", rate(rate_), duration(step_s_ * (recipe_.steps - position_.step)));
    progress_.show(static_cast<double>(position_.step) / recipe_.steps, line);
}

void TrainingRun::roll_back() {
    const int failed_at = position_.step + 1;  // the first step that would be taken from here
    const int rollbacks = position_.rollbacks + 1;
    const double factor = position_.lr_factor * rollback_factor;
    if (rollbacks > most_rollbacks) {
        stop(
            fmt::format("training diverges: step {} gave numbers that are not finite after {} returns to the last "
                        "checkpoint; start another run with a lower --lr and --muon-lr",
                        failed_at, most_rollbacks));
    }
    const Checkpoint last = read_checkpoint(folder_ / "checkpoint.safetensors");
    interval_s_ = 0;
    interval_characters_ = 0;
    position_ = last.position;
    position_.rollbacks = rollbacks;
    position_.lr_factor = factor;
    checkpoint_.model.process = last.model.process;
    start_trainer(last.state);
    truncate_metrics(folder_ / "metrics.jsonl", position_.step);
    progress_.say(
        fmt::format("Step {} gave numbers that are not finite; going on from step {} with the learning rate times {}.",
                    failed_at, position_.step, factor));
}

const Trainer::State& TrainingRun::state() {
    if (!state_) state_ = trainer_->save();
    return *state_;
}

Denoiser TrainingRun::averaged() { return make_denoiser(device_.ops(), checkpoint_.model.config, state().average); }

bool TrainingRun::validate() {
    Denoiser denoiser = averaged();
    const Windows windows =
        unwrap(Windows::of(data_.validation(), checkpoint_.model.config.seq_len, validation_windows));
    EvaluationOptions options;
    options.draws = validation_draws;
    auto evaluation = evaluate(denoiser, checkpoint_.model.process, windows, options);
    if (!evaluation && evaluation.error().not_finite) return false;
    val_nll_ = estimate(unwrap(std::move(evaluation)).windows).nats_per_char;
    if (!std::isfinite(*val_nll_)) return false;
    val_step_ = position_.step;
    if (position_.best_step == 0 || *val_nll_ < position_.best_nll) {
        position_.best_nll = *val_nll_;
        position_.best_step = position_.step;
        position_.validations_since_best = 0;
        save_model("best.safetensors");
    } else {
        ++position_.validations_since_best;
    }
    return true;
}

std::optional<std::string> TrainingRun::sample() {
    Denoiser denoiser = averaged();
    const auto encode = [&](char32_t character) { return checkpoint_.model.vocabulary.encode(character); };
    SamplingOptions options = default_options(checkpoint_.model.process.kind);
    options.seed = recipe_.seed;
    options.length = sample_length;
    RequestWords words;
    words.prompt = opening_prompt(checkpoint_.model, data_.validation().front());
    const SamplingRequest request = unwrap(read_request(words, options, encode));
    const auto sampler = unwrap(make_sampler(denoiser, checkpoint_.model.process, request));
    while (!sampler->done()) {
        auto stepped = sampler->step();
        if (!stepped && stepped.error().not_finite) return std::nullopt;
        unwrap(std::move(stepped));
    }
    const std::string text = checkpoint_.model.vocabulary.decode(sampler->frame().id);
    progress_.say(fmt::format("--- a sample after {} steps\n{}\n---", position_.step, terminal_text(text)));
    return text;
}

void TrainingRun::log(bool validated, const std::optional<std::string>& sample) {
    nlohmann::ordered_json entry{{"step", position_.step}, {"loss", position_.loss_sum / position_.loss_count}};
    if (validated) {
        entry["val_nll"] = *val_nll_;
        entry["val_perplexity"] = std::exp(*val_nll_);
    }
    entry["lr"] =
        checkpoint_.settings["lr"].get<double>() * position_.lr_factor * lr_schedule(recipe_, position_.step - 1);
    entry["chars_per_s"] = std::round(rate_);
    entry["elapsed_s"] = std::round(elapsed() * 1000) / 1000;
    if (sample) entry["sample"] = *sample;
    const fs::path path = folder_ / "metrics.jsonl";
    std::ofstream file(path, std::ios::app);
    file << entry.dump() << '\n' << std::flush;
    if (std::error_code unknown; !file && !fs::is_directory(folder_, unknown)) {
        stop(fmt::format("the run's folder {} is gone; start the run again", quote_path(folder_)));
    }
    if (!file)
        stop(fmt::format("{} cannot be written: {}; go on with --resume afterwards", quote_path(path),
                         system_reason(errno)));
    position_.loss_sum = 0;
    position_.loss_count = 0;
    if (validated) progress_.say(fmt::format("step {}  validation {:.4f} nats/character", position_.step, *val_nll_));
}

bool TrainingRun::is_finite_state() {
    Denoiser denoiser = make_denoiser(device_.ops(), checkpoint_.model.config, state().parameters);
    const Windows windows = unwrap(Windows::of(data_.validation(), checkpoint_.model.config.seq_len, 1));
    EvaluationOptions options;
    options.draws = 1;
    return evaluate(denoiser, checkpoint_.model.process, windows, options).has_value();
}

void TrainingRun::save_checkpoint() {
    if (!is_finite_state()) return roll_back();
    position_.elapsed_s = elapsed();
    checkpoint_.position = position_;
    state();
    std::swap(checkpoint_.state, *state_);
    write_checkpoint(folder_ / "checkpoint.safetensors", checkpoint_);
    std::swap(checkpoint_.state, *state_);
    save_model("last.safetensors");
    saved_step_ = position_.step;
}

void TrainingRun::save_model(const char* name) {
    ModelFile model = checkpoint_.model;
    model.parameters = state().average;
    nlohmann::ordered_json training{{"version", program_version()},
                                    {"data_sha256", checkpoint_.text_checksum},
                                    {"step", position_.step},
                                    {"steps", recipe_.steps},
                                    {"seed", recipe_.seed},
                                    {"recipe", checkpoint_.settings},
                                    {"hardware", fmt::format("{}, {}", processor_name(), device_.describe())},
                                    {"wall_time_s", std::round(elapsed())}};
    if (val_nll_) {
        training["validation"] = {{"step", val_step_}, {"val_nll", *val_nll_}, {"val_perplexity", std::exp(*val_nll_)}};
    }
    model.training = training.dump();
    write_file(folder_ / name, [&](const ByteSink& sink) { return write_model(model, Dtype::f32, sink); });
}

double TrainingRun::elapsed() const { return elapsed_before_s_ + seconds_since(start_time_); }

}  // namespace folio
