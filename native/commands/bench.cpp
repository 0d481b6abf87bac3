#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/base/normals.h"
#include "core/model/parameters.h"
#include "core/ops/cpu/make_ops.h"
#include "core/predict/gaussian_predictor.h"
#include "core/predict/kernel_self_test.h"
#include "core/process/masked.h"
#include "core/sampling/sampler.h"
#include "core/training/initialisation.h"
#include "core/training/step.h"
#include "core/weights/quantise.h"
#include "native/commands/commands.h"
#include "native/host/devices.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/models.h"
#include "native/host/options.h"
#include "native/host/progress.h"
#include "native/report/bench_chart.h"
#include "native/version.h"

namespace folio {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr int length = 256;
constexpr int sampling_steps = 16;
constexpr int training_batch = 4;
constexpr int most_repetitions = 200;

struct BenchCommand {
    std::string weights;
    double seconds = 1;
    int threads = 0;
    std::string device = "auto";
    std::vector<std::string> compared;
    std::string svg;
    bool as_json = false;

    void execute() const;
    void compare() const;
};

/// The model to time where no weights are given: `base`, with no tensor left at zero.
ModelFile random_model() {
    ModelFile model;
    model.parameters = initial_parameters(model.config, 1);
    for_each_tensor(model.config, [&](const TensorSpec& tensor) {
        float* values = model.parameters.data() + tensor.offset;
        if (std::any_of(values, values + tensor.count(), [](float value) { return value != 0; })) return;
        for (std::size_t i = 0; i < tensor.count(); ++i) {
            values[i] = static_cast<float>(0.1 * uniform(philox_word(2, i, 0, Purpose::initialise)) - 0.05);
        }
    });
    return model;
}

/// One forward pass; its output stays until the next one.
using Pass = std::function<std::span<const float>()>;

/// A text at half noise, as a model's process has it, and passes over it.
class Subject {
public:
    virtual ~Subject() = default;
    /// True if its process adds noise at all.
    virtual bool noisy() const { return true; }
    virtual void noise() = 0;
    /// A pass over the text as it is now. Subject and denoiser must outlive it.
    virtual Pass pass(Denoiser& denoiser) const = 0;
};

class TextSubject : public Subject {
public:
    TextSubject(const ModelFile& model, std::span<const int> clean)
        : mask_id_(model.process.mask_id), clean_(clean), ids_(clean.begin(), clean.end()) {
        if (model.config.time_rows > 0) time_rows_.push_back(time_row(0.5, model.config.time_rows));
    }
    bool noisy() const override { return mask_id_ >= 0; }
    void noise() override {
        if (!noisy()) return;
        std::copy(clean_.begin(), clean_.end(), ids_.begin());
        mask_positions(ids_, static_cast<int>(ids_.size()) / 2, mask_id_, 1, 0, 0, Purpose::mask_position);
    }
    Pass pass(Denoiser& denoiser) const override {
        const auto vocab_size = static_cast<std::size_t>(denoiser.config().vocab_size);
        return [this, network = std::make_shared<HostForward>(denoiser),
                logits = std::vector<float>(ids_.size() * vocab_size)]() mutable -> std::span<const float> {
            unwrap(network->forward(ids_, time_rows_, 1, static_cast<int>(ids_.size()), logits));
            return logits;
        };
    }

private:
    int mask_id_;
    std::span<const int> clean_;
    std::vector<int> ids_, time_rows_;
};

class NoisySubject : public Subject {
public:
    NoisySubject(const ModelFile& model, std::span<const int> clean)
        : clean_(clean),
          matched_filter_(model.process.gaussian.matched_filter),
          diffusion_(unwrap(GaussianDiffusion::create(model.process.gaussian, model.config.vocab_size))),
          half_(diffusion_.schedule().level(0.5)),
          eps_(static_cast<std::size_t>(model.config.vocab_size)),
          z_(clean.size() * eps_.size()) {}
    void noise() override {
        for (std::size_t position = 0; position < clean_.size(); ++position) {
            normals(eps_, 1, position, 0, Purpose::diffuse);
            diffusion_.noised(half_, clean_[position], eps_,
                              std::span(z_).subspan(position * eps_.size(), eps_.size()));
        }
    }
    Pass pass(Denoiser& denoiser) const override {
        const auto network =
            std::make_shared<GaussianPredictor>(denoiser, diffusion_, matched_filter_, static_cast<int>(clean_.size()));
        network->z() = z_;
        return [this, network] {
            unwrap(network->forward(half_, [](int) { return false; }));
            return network->output();
        };
    }

private:
    std::span<const int> clean_;
    bool matched_filter_;
    GaussianDiffusion diffusion_;
    NoiseLevel half_;
    std::vector<double> eps_;
    std::vector<float> z_;
};

std::unique_ptr<Subject> make_subject(const ModelFile& model, std::span<const int> clean) {
    if (model.process.kind == ProcessKind::gaussian) return std::make_unique<NoisySubject>(model, clean);
    return std::make_unique<TextSubject>(model, clean);
}

/// Milliseconds of each repetition, shortest first: as many as fit into `seconds`, and three even where that takes up
/// to three times as long.
template <class F>
std::vector<double> time(double seconds, F&& body) {
    std::vector<double> times;
    double sum_s = 0;
    const auto once = [&] {
        const Clock::time_point start = Clock::now();
        body();
        times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
        sum_s += times.back() / 1000;
    };
    once();  // warms caches and threads, so it counts only where there is no time for another
    if (sum_s < seconds) {
        times.clear();
        sum_s = 0;
        do once();
        while (times.size() < most_repetitions && sum_s < (times.size() < 3 ? 3 : 1) * seconds);
    }
    std::sort(times.begin(), times.end());
    return times;
}

/// The value below which `share` of the sorted ones lie, between neighbours in proportion.
double quantile(const std::vector<double>& sorted, double share) {
    const double rank = share * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

/// A text of random characters, long enough for training and for a pass.
std::vector<int> random_text(const ModelFile& model) {
    const ModelConfig& config = model.config;
    std::vector<int> text(static_cast<std::size_t>(4 * std::max(length, config.seq_len)));
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] =
            static_cast<int>(philox_word(3, i, 0, Purpose::window) % static_cast<std::uint32_t>(config.vocab_size));
        if (text[i] == model.process.mask_id) text[i] = (text[i] + 1) % config.vocab_size;
    }
    return text;
}

/// A set of kernels or a GPU, as a row of the report names it.
struct Target {
    std::string_view kernels;
    Precision precision;
    int threads;
};

/// The command at work: measures one target after another, and makes the report of what it measured.
class BenchRun {
public:
    explicit BenchRun(const BenchCommand& command);
    BenchRun(const BenchRun&) = delete;
    BenchRun& operator=(const BenchRun&) = delete;

    void measure();
    ordered_json report() const;
    /// True if every target computes what the baseline computes, but for rounding.
    bool passed() const;

private:
    void find_targets();
    bool trains(const CpuConfig& config) const { return !model_.exact() && config.precision != Precision::int8; }
    std::size_t count_rows() const;
    const ModelFile& model_for(Precision precision) const {
        return precision == Precision::int8 ? exact_model_ : model_;
    }
    std::vector<float> baseline_logits(Precision precision);
    void measure(const CpuConfig& config, int threads);
    void measure(CudaOps& gpu, Precision precision);
    void check(const Target& target, std::span<const float> logits);
    /// A forward pass and a sample, and with `checked` the logits beside the baseline's.
    void time_inference(const Target& target, bool checked, Ops& ops);
    void time_training(const Target& target, Ops& ops, TrainingOps& training);
    void record(const char* task, const Target& target, int characters, const std::vector<double>& times);

    const BenchCommand& command_;
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

constexpr std::array gpu_precisions = {Precision::bf16, Precision::f32};

BenchRun::BenchRun(const BenchCommand& command)
    : command_(command),
      model_(command.weights.empty() ? random_model() : load_model(command.weights)),
      exact_model_(model_.exact() ? model_ : unwrap(quantise(model_))),
      text_(random_text(model_)),
      clean_(text_.data(), static_cast<std::size_t>(std::min(length, model_.config.max_length()))),
      subject_(make_subject(model_, clean_)) {
    subject_->noise();
    find_targets();
    widths_ = {1, start_threads(command.threads)->width()};
}

void BenchRun::find_targets() {
    const std::string& device = command_.device;
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
    std::size_t tasks = 0;
    for (const CpuConfig& config : configs_) tasks += trains(config) ? 3 : 2;
    return subject_->noisy() + tasks * widths_.size() + 3 * gpus_.size();
}

void BenchRun::record(const char* task, const Target& target, int characters, const std::vector<double>& times) {
    const double median = quantile(times, 0.5);
    const bool computes = !target.kernels.empty();
    const Work work{task, std::string(target.kernels), computes ? name_of(target.precision) : "", target.threads};
    results_.push_back(to_json(Timing{work, static_cast<std::int64_t>(times.size()), median, quantile(times, 0.25),
                                      quantile(times, 0.75), characters / median * 1000}));
    const std::size_t rows = count_rows();
    progress_.show(static_cast<double>(results_.size()) / static_cast<double>(rows),
                   fmt::format("{} of {} measured: {} {:.2f} ms", results_.size(), rows, work.task, median));
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

void BenchRun::time_inference(const Target& target, bool checked, Ops& ops) {
    const int characters = static_cast<int>(clean_.size());
    Denoiser denoiser = make_denoiser(ops, model_for(target.precision));
    const Pass pass = subject_->pass(denoiser);
    if (checked) check(target, pass());
    record("forward", target, characters, time(command_.seconds, pass));
    SamplingRequest request;
    request.options = default_options(model_.process.kind);
    request.options.steps = passes_of(model_, clean_);
    request.conditioned.assign(clean_.size(), -1);
    request.before = 0;
    record("sampling", target, characters, time(command_.seconds, [&] {
               const auto sampler = unwrap(make_sampler(denoiser, model_.process, request));
               while (!sampler->done()) unwrap(sampler->step());
           }));
}

void BenchRun::time_training(const Target& target, Ops& ops, TrainingOps& training) {
    Recipe recipe;
    recipe.batch = training_batch;
    recipe.seq_len = model_.config.seq_len;
    recipe.short_windows = 0;
    Trainer trainer = unwrap(Trainer::create(ops, training, model_.config, model_.process, recipe, text_));
    int step = 0;
    record("training", target, training_batch * recipe.seq_len,
           time(command_.seconds, [&] { unwrap(trainer.run(step++)); }));
}

void BenchRun::measure(const CpuConfig& config, int threads) {
    ThreadPool parallel(threads);
    const Target target{config.kernels->name, config.precision, threads};
    const auto ops = make_ops(parallel, {&config.kernels, 1}, config.precision);
    time_inference(target, threads == *widths_.rbegin(), *ops);
    if (!trains(config)) return;
    CpuTrainingOps training(parallel, *config.kernels, config.precision);
    time_training(target, training, training);
}

void BenchRun::measure(CudaOps& gpu, Precision precision) {
    const Target target{"cuda", precision, 1};
    time_inference(target, true, gpu);
    time_training(target, gpu, gpu);
}

void BenchRun::measure() {
    if (subject_->noisy())
        record("noising", {"", {}, 1}, static_cast<int>(clean_.size()),
               time(command_.seconds, [&] { subject_->noise(); }));
    exact_logits_ = baseline_logits(Precision::int8);
    logits_ = model_.exact() ? exact_logits_ : baseline_logits(Precision::f32);
    for (const CpuConfig& config : configs_) {
        for (const int threads : widths_) measure(config, threads);
    }
    for (std::size_t i = 0; i < gpus_.size(); ++i) measure(*gpus_[i], gpu_precisions[i]);
}

bool BenchRun::passed() const {
    return std::all_of(checks_.begin(), checks_.end(),
                       [](const ordered_json& check) { return check["passed"].get<bool>(); });
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
    return {{"program", "folio"},
            {"version", program_version()},
            {"machine", machine},
            {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))},
            {"kernels", names},
            {"threads", *widths_.rbegin()},
            {"parameters", parameter_count(model_.config)},
            {"length", clean_.size()},
            {"sampling_steps", passes_of(model_, clean_)},
            {"training_batch", training_batch},
            {"results", results_},
            {"memory_mib", usage.ru_maxrss >> 10},
            {"self_check", {{"passed", passed()}, {"against", baseline_->name}, {"kernels", checks_}}}};
}

/// A report for people.
void print(const ordered_json& report) {
    const auto& machine = report["machine"];
    fmt::print("{}, {} cores; {} parameters, {} characters; sampling in {} passes, training on {} windows\n",
               machine["processor"].get<std::string>(), machine["cores"].get<int>(),
               report["parameters"].get<std::size_t>(), report["length"].get<int>(),
               report["sampling_steps"].get<int>(), training_batch);
    fmt::print("{:<9} {:<9} {:<8} {:>7} {:>12} {:>21} {:>14}\n", "task", "kernels", "products", "threads", "median ms",
               "quartiles ms", "characters/s");
    for (const auto& row : report["results"]) {
        fmt::print("{:<9} {:<9} {:<8} {:>7} {:>12.3f} {:>10.3f} {:>10.3f} {:>14.0f}\n", row["task"].get<std::string>(),
                   row.value("kernels", "-"), row.value("products", "-"), row["threads"].get<int>(),
                   row["median_ms"].get<double>(), row["lower_quartile_ms"].get<double>(),
                   row["upper_quartile_ms"].get<double>(), row["chars_per_s"].get<double>());
    }
    const auto& self_check = report["self_check"];
    for (const auto& check : self_check["kernels"]) {
        fmt::print("{} {} against {}: largest difference of a logit {:.2e}: {}\n", check["kernels"].get<std::string>(),
                   check["products"].get<std::string>(), self_check["against"].get<std::string>(),
                   check["largest_difference"].get<double>(), check["passed"].get<bool>() ? "good" : "TOO LARGE");
    }
    fmt::print("memory {} MiB\n", report["memory_mib"].get<long>());
}

void BenchCommand::execute() const {
    BenchRun run(*this);
    run.measure();
    const ordered_json report = run.report();
    if (as_json)
        fmt::print("{}\n", to_text(report));
    else
        print(report);
    if (!run.passed()) stop("a set of kernels computes wrongly on this machine; the report says which");
}

void BenchCommand::compare() const {
    std::vector<BenchReport> reports;
    refuse_stdout(svg);
    for (const std::string& file : compared) {
        if (file.empty()) wrong_usage("--compare takes names, and one of these is empty");
        reports.push_back(read_bench_report(file));
        refuse_overwrite(svg, {file});
    }
    const BenchComparison comparison(std::move(reports));
    if (!svg.empty()) write_file(svg, bench_chart(comparison));
    if (as_json)
        fmt::print("{}\n", to_text(comparison.json()));
    else
        fmt::print("{}", comparison.table());
}

}  // namespace

void add_bench(CLI::App& program) {
    CLI::App& command = add_command(program, "bench", "Time the model on this machine");
    const auto options = std::make_shared<BenchCommand>();
    add_name(command, "--weights", options->weights, "weights file [random weights of size base]");
    add_number(
        command, "--seconds", 0, 3600, [o = options.get()](double seconds) { o->seconds = seconds; },
        "time per figure; at least three repetitions [1]");
    add_integer(command, "--threads", 1, 1024, options->threads, "most threads [one per physical core]");
    add_choice(command, "--device", {"auto", "cpu", "cuda"}, options->device, "what to time [auto: all that there is]");
    add_texts(command, "--compare", "FILE", options->compared, true,
              "measure nothing; lay these reports of --json, or of the page's Bench, side by side as a table");
    add_name(command, "--svg", options->svg,
             "with --compare: also draw them into this file, which is replaced if it is there [no picture]");
    add_flag(command, "--json", options->as_json, "the report, or with --compare the merged table, as JSON");
    on_call(command, [options, &command] {
        if (!given(command, "--compare")) {
            if (given(command, "--svg")) wrong_usage("--svg draws what --compare names; give both");
            return options->execute();
        }
        for (const char* name : {"--weights", "--seconds", "--threads", "--device"}) {
            if (given(command, name))
                wrong_usage(fmt::format("--compare measures nothing, so it does not take {}", name));
        }
        options->compare();
    });
}

}  // namespace folio
