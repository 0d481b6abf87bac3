#include "native/bench/bench_run.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "core/model/parameters.h"
#include "core/ops/cpu/make_ops.h"
#include "core/predict/kernel_self_test.h"
#include "core/sampling/sampler.h"
#include "core/training/step.h"
#include "core/weights/quantise.h"
#include "native/bench/subject.h"
#include "native/bench/turns.h"
#include "native/host/cores.h"
#include "native/host/devices.h"
#include "native/host/failure.h"
#include "native/host/models.h"
#include "native/host/progress.h"
#include "native/version.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

constexpr int sampling_steps = 16;
constexpr std::array gpu_precisions = {Precision::bf16, Precision::f32};

/// A set of kernels or a GPU: its name in rows of the report, and its operations.
struct Target {
    std::string_view kernels;
    Precision precision;
    int threads;
    Ops* ops;
    TrainingOps* training;  // only of a target to train on
};

class BenchRun {
public:
    explicit BenchRun(const BenchOptions& options);
    BenchRun(const BenchRun&) = delete;
    BenchRun& operator=(const BenchRun&) = delete;

    void measure();
    ordered_json report() const;

private:
    void find_targets();
    bool asked_for(std::string_view task) const { return options_.task.empty() || options_.task == task; }
    bool trains(const CpuConfig& config) const { return !model_.exact() && config.precision != Precision::int8; }
    std::size_t count_rows() const;
    const ModelFile& model_for(Precision precision) const {
        return precision == Precision::int8 ? exact_model_ : model_;
    }
    std::vector<float> baseline_logits(Precision precision);
    void check(const Target& target, std::span<const float> logits);
    void measure_inference(ThreadPool& parallel);
    void measure_training(ThreadPool& parallel);
    void measure_gpu();
    /// Forward passes, and with `checked` their logits beside the baseline's; then samples.
    void time_inference(std::span<const Target> targets, bool checked);
    void time_training(std::span<const Target> targets);
    void time_all(std::vector<TimedWork> pieces);

    const BenchOptions& options_;
    ModelFile model_;
    ModelFile exact_model_;  // an I8 file has one arithmetic; any other is timed as it is and as its I8 form
    std::vector<int> text_;
    std::span<const int> clean_;  // the part that a pass sees
    std::unique_ptr<Subject> subject_;
    std::vector<std::unique_ptr<CudaOps>> gpus_;  // one GPU in each of gpu_precisions
    std::vector<CpuConfig> configs_;
    std::set<int> widths_;
    const KernelSet* baseline_ = available_kernels().back();
    std::vector<float> exact_logits_, logits_;  // of the baseline
    Progress progress_;
    ordered_json results_ = ordered_json::array(), checks_ = ordered_json::array();
};

BenchRun::BenchRun(const BenchOptions& options)
    : options_(options),
      model_(options.weights.empty() ? random_model(options.size, options.conv_radius) : load_model(options.weights)),
      exact_model_(model_.exact() ? model_ : unwrap(quantise(model_))),
      text_(random_text(model_)),
      clean_(text_.data(), static_cast<std::size_t>(std::min(bench_length, model_.config.max_length()))),
      subject_(make_subject(model_, clean_)) {
    if (model_.exact() && options.task == "training")
        wrong_usage("the weights are integers, which are not trained; leave --task out, or name an f32 or f16 file");
    subject_->noise();
    find_targets();
    widths_ = {1, start_threads(options.threads)->width()};
}

void BenchRun::find_targets() {
    const std::string& device = options_.device;
    if (device == "cuda" && model_.exact())
        wrong_usage("the weights are integers, which the CPU alone computes; leave --device out");
    if (device != "cpu" && !model_.exact()) {
        for (const Precision precision : gpu_precisions) {
            auto gpu = make_cuda_ops(precision);
            if (!gpu && device == "cuda") stop(gpu.error().sentence);
            if (!gpu) break;
            gpus_.push_back(std::move(*gpu));
        }
    }
    if (device == "cuda") return;
    if (!model_.exact()) configs_ = available_configs(false);
    for (const CpuConfig& config : available_configs(true)) configs_.push_back(config);
}

std::size_t BenchRun::count_rows() const {
    const std::size_t inference = asked_for("forward") + asked_for("sampling"), training = asked_for("training");
    std::size_t rows = (inference + training) * gpus_.size();
    for (const CpuConfig& config : configs_) rows += (inference + trains(config) * training) * widths_.size();
    return rows + (subject_->noisy() && asked_for("noising"));
}

void BenchRun::time_all(std::vector<TimedWork> pieces) {
    const double rows = static_cast<double>(count_rows()), before = static_cast<double>(results_.size()),
                 now = static_cast<double>(pieces.size());
    const auto show = [&](double share, const std::string& line) {
        const double done = (before + now * share) / rows;
        progress_.show(done, fmt::format("{:.0f} % measured; {}", 100 * done, line));
    };
    for (const Timing& timing : time_in_turns(std::move(pieces), options_.seconds, show))
        results_.push_back(to_json(timing));
}

Work work_of(const char* task, const Target& target) {
    return {task, std::string(target.kernels), name_of(target.precision), target.threads};
}

std::vector<float> BenchRun::baseline_logits(Precision precision) {
    Serial serial;
    const auto ops = make_ops(serial, {&baseline_, 1}, precision);
    Denoiser denoiser = make_denoiser(*ops, model_for(precision));
    const Pass pass = subject_->pass(denoiser);
    const std::span<const float> logits = pass();
    return {logits.begin(), logits.end()};
}

void BenchRun::check(const Target& target, std::span<const float> logits) {
    const bool exact = target.precision == Precision::int8;
    const Comparison comparison = compare_logits(logits, exact ? exact_logits_ : logits_, target.precision);
    checks_.push_back({{"kernels", target.kernels},
                       {"products", name_of(target.precision)},
                       {"largest_difference", comparison.largest_difference},
                       {"passed", comparison.good}});
}

/// Passes of a sample: from left to right a pass writes one character.
int passes_of(const ModelFile& model, std::span<const int> text) {
    return model.process.kind == ProcessKind::autoregressive ? static_cast<int>(text.size()) : sampling_steps;
}

void BenchRun::time_inference(std::span<const Target> targets, bool checked) {
    SamplingRequest request;
    request.options = default_options(model_.process.kind);
    request.options.steps = passes_of(model_, clean_);
    request.conditioned.assign(clean_.size(), -1);
    request.before = 0;
    const auto sample = [&](Denoiser& denoiser) {
        const auto sampler = unwrap(make_sampler(denoiser, model_.process, request));
        while (!sampler->done()) unwrap(sampler->step());
    };
    const int characters = static_cast<int>(clean_.size());
    std::deque<Denoiser> denoisers;
    std::deque<Pass> passes;
    std::vector<TimedWork> forward, sampling;
    for (const Target& target : targets) {
        Denoiser& denoiser = denoisers.emplace_back(make_denoiser(*target.ops, model_for(target.precision)));
        const Pass& pass = passes.emplace_back(subject_->pass(denoiser));
        if (checked) check(target, pass());
        forward.push_back({work_of("forward", target), characters, [&pass] { pass(); }});
        sampling.push_back({work_of("sampling", target), characters, [&sample, &denoiser] { sample(denoiser); }});
    }
    if (asked_for("forward")) time_all(std::move(forward));
    if (asked_for("sampling")) time_all(std::move(sampling));
}

void BenchRun::time_training(std::span<const Target> targets) {
    Recipe recipe;
    recipe.steps = 1 << 30;  // more than there is time for
    recipe.batch = options_.batch;
    recipe.muon_lr = options_.muon_lr;
    recipe.seq_len = model_.config.seq_len;
    recipe.short_windows = 0;
    std::deque<Trainer> trainers;
    std::vector<TimedWork> pieces;
    for (const Target& target : targets) {
        Trainer& trainer = trainers.emplace_back(
            unwrap(Trainer::create(*target.ops, *target.training, model_.config, model_.process, recipe, text_)));
        pieces.push_back({work_of("training", target), recipe.batch * recipe.seq_len,
                          [&trainer, step = 0]() mutable { unwrap(trainer.run(step++)); }});
    }
    time_all(std::move(pieces));
}

void BenchRun::measure_inference(ThreadPool& parallel) {
    if (!asked_for("forward") && !asked_for("sampling")) return;
    std::vector<std::unique_ptr<CpuOps>> ops;
    std::vector<Target> targets;
    for (const CpuConfig& config : configs_) {
        ops.push_back(make_ops(parallel, {&config.kernels, 1}, config.precision));
        targets.push_back({config.kernels->name, config.precision, parallel.width(), ops.back().get(), nullptr});
    }
    time_inference(targets, parallel.width() == *widths_.rbegin());
}

void BenchRun::measure_training(ThreadPool& parallel) {
    if (!asked_for("training")) return;
    std::deque<CpuTrainingOps> ops;
    std::vector<Target> targets;
    for (const CpuConfig& config : configs_) {
        if (!trains(config)) continue;
        CpuTrainingOps& training = ops.emplace_back(parallel, *config.kernels, config.precision);
        targets.push_back({config.kernels->name, config.precision, parallel.width(), &training, &training});
    }
    time_training(targets);
}

void BenchRun::measure_gpu() {
    std::vector<Target> targets;
    for (std::size_t i = 0; i < gpus_.size(); ++i)
        targets.push_back({"cuda", gpu_precisions[i], 1, gpus_[i].get(), gpus_[i].get()});
    if (asked_for("forward") || asked_for("sampling")) time_inference(targets, true);
    if (asked_for("training")) time_training(targets);
}

void BenchRun::measure() {
    if (options_.task != "training") {
        exact_logits_ = baseline_logits(Precision::int8);
        logits_ = model_.exact() ? exact_logits_ : baseline_logits(Precision::f32);
    }
    if (subject_->noisy() && asked_for("noising"))
        time_all({{{"noising", "", "", 1}, static_cast<int>(clean_.size()), [&] { subject_->noise(); }}});
    for (const int threads : widths_) {
        ThreadPool parallel(threads);
        measure_inference(parallel);
        measure_training(parallel);
    }
    measure_gpu();
}

ordered_json BenchRun::report() const {
    std::vector<std::string_view> names;
    for (const KernelSet* set : available_kernels()) names.push_back(set->name);
    if (!gpus_.empty()) names.push_back("cuda");
    ordered_json machine{{"processor", processor_name()},
                         {"cores", physical_cores()},
                         {"memory_mib", (sysconf(_SC_PHYS_PAGES) >> 10) * (sysconf(_SC_PAGE_SIZE) >> 10)}};
    if (!gpus_.empty()) machine["gpu"] = gpus_.front()->name();
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    ordered_json report{{"program", "folio"},
                        {"version", program_version()},
                        {"machine", machine},
                        {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))},
                        {"kernels", names},
                        {"threads", *widths_.rbegin()},
                        {"parameters", parameter_count(model_.config)},
                        {"length", clean_.size()},
                        {"sampling_steps", passes_of(model_, clean_)},
                        {"training_batch", options_.batch},
                        {"training_optimizer", options_.muon_lr > 0 ? "muon" : "adamw"},
                        {"results", results_},
                        {"memory_mib", usage.ru_maxrss >> 10}};
    // Training alone computes no logits to compare.
    if (checks_.empty()) return report;
    const bool passed = std::all_of(checks_.begin(), checks_.end(),
                                    [](const ordered_json& check) { return check["passed"].get<bool>(); });
    report["self_check"] = {{"passed", passed}, {"against", baseline_->name}, {"kernels", checks_}};
    return report;
}

}  // namespace

ordered_json run_bench(const BenchOptions& options) {
    BenchRun run(options);
    run.measure();
    return run.report();
}

}  // namespace folio
