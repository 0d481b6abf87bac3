#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/base/normals.h"
#include "core/model/parameters.h"
#include "core/model/trial.h"
#include "core/process/masked.h"
#include "core/process/noisy_rows.h"
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
#include "native/report/bench_report.h"
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

/// A text at half noise, as a model's process has it, and one pass over it.
class Subject {
public:
    virtual ~Subject() = default;
    /// True if its process adds noise at all.
    virtual bool noisy() const { return true; }
    virtual void noise() = 0;
    virtual std::span<const float> pass(Denoiser& denoiser) = 0;
};

class TextSubject : public Subject {
public:
    TextSubject(const ModelFile& model, std::span<const int> clean)
        : mask_id_(model.process.mask_id),
          clean_(clean),
          ids_(clean.begin(), clean.end()),
          logits_(clean.size() * static_cast<std::size_t>(model.config.vocab_size)) {
        if (model.config.time_rows > 0) time_rows_.push_back(time_row(0.5, model.config.time_rows));
    }
    bool noisy() const override { return mask_id_ >= 0; }
    void noise() override {
        if (!noisy()) return;
        std::copy(clean_.begin(), clean_.end(), ids_.begin());
        mask_positions(ids_, static_cast<int>(ids_.size()) / 2, mask_id_, 1, 0, 0, Purpose::mask_position);
    }
    std::span<const float> pass(Denoiser& denoiser) override {
        unwrap(denoiser.predict(ids_, time_rows_, 1, static_cast<int>(ids_.size()), logits_));
        return logits_;
    }

private:
    int mask_id_;
    std::span<const int> clean_;
    std::vector<int> ids_, time_rows_;
    std::vector<float> logits_;
};

class NoisySubject : public Subject {
public:
    NoisySubject(const ModelFile& model, std::span<const int> clean)
        : clean_(clean),
          diffusion_(unwrap(GaussianDiffusion::create(model.process.gaussian, model.config.vocab_size))),
          half_(diffusion_.level(0.5)),
          eps_(static_cast<std::size_t>(model.config.vocab_size)),
          rows_(diffusion_, model.process.gaussian, model.config, static_cast<int>(clean.size())) {}
    void noise() override {
        for (std::size_t place = 0; place < clean_.size(); ++place) {
            normals(eps_, 1, place, 0, Purpose::diffuse);
            diffusion_.noised(half_, clean_[place], eps_, rows_.z(static_cast<int>(place)));
        }
    }
    std::span<const float> pass(Denoiser& denoiser) override {
        unwrap(rows_.look(denoiser, half_, [](int) { return false; }));
        return rows_.answers();
    }

private:
    std::span<const int> clean_;
    GaussianDiffusion diffusion_;
    Level half_;
    std::vector<double> eps_;
    NoisyRows rows_;
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
    const double place = share * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
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
    const ModelFile model = weights.empty() ? random_model() : load_model(weights);
    // An I8 file has one arithmetic; any other is timed as it is and as its I8 form.
    const ModelFile exact_model = model.exact() ? model : unwrap(quantise(model));
    const ModelConfig& config = model.config;
    const int passed_length = std::min(length, config.max_length());
    std::vector<int> text(static_cast<std::size_t>(4 * std::max(length, config.seq_len)));
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] =
            static_cast<int>(philox_word(3, i, 0, Purpose::window) % static_cast<std::uint32_t>(config.vocab_size));
        if (text[i] == model.process.mask_id) text[i] = (text[i] + 1) % config.vocab_size;
    }
    const std::span<const int> clean(text.data(), static_cast<std::size_t>(passed_length));
    // From left to right a pass writes one character.
    const int passes = model.process.kind == ProcessKind::autoregressive ? passed_length : sampling_steps;
    const auto subject = make_subject(model, clean);
    subject->noise();

    std::vector<std::unique_ptr<CudaOps>> gpus;  // one GPU in each precision
    if (device != "cpu" && !model.exact()) {
        for (const Precision precision : {Precision::bf16, Precision::f32}) {
            auto gpu = make_cuda_ops(precision);
            if (!gpu && device == "cuda") stop(gpu.error().sentence);
            if (!gpu) break;
            gpus.push_back(std::move(*gpu));
        }
    } else if (device == "cuda") {
        wrong_usage("the weights are integers, which the CPU alone computes; leave --device out");
    }
    std::vector<Way> all;
    if (device != "cuda") all = ways(true);
    if (device != "cuda" && !model.exact()) {
        const std::vector<Way> others = ways(false);
        all.insert(all.begin(), others.begin(), others.end());
    }
    const auto trains = [&](const Way& way) { return !model.exact() && way.precision != Precision::int8; };
    const auto tasks = [&] {
        std::size_t count = 0;
        for (const Way& way : all) count += trains(way) ? 3 : 2;
        return count;
    }();
    const int most_threads = start_threads(threads)->width();
    const std::set<int> widths{1, most_threads};

    Progress progress;
    ordered_json results = ordered_json::array(), checks = ordered_json::array();
    const std::size_t rows = subject->noisy() + tasks * widths.size() + 3 * gpus.size();
    const auto record = [&](const Work& work, int characters, const std::vector<double>& times) {
        const double median = quantile(times, 0.5);
        const Timing timing{work,
                            static_cast<std::int64_t>(times.size()),
                            median,
                            quantile(times, 0.25),
                            quantile(times, 0.75),
                            characters / median * 1000};
        results.push_back(to_json(timing));
        progress.show(static_cast<double>(results.size()) / static_cast<double>(rows),
                      fmt::format("{} of {} measured: {} {:.2f} ms", results.size(), rows, work.task, median));
    };

    if (subject->noisy()) record({"noising", "", "", 1}, passed_length, time(seconds, [&] { subject->noise(); }));

    const auto logits_of = [&](const Way& way, Parallel& parallel) {
        const auto ops = make_ops(parallel, {&way.kernels, 1}, way.precision);
        Denoiser denoiser = make_denoiser(*ops, way.precision == Precision::int8 ? exact_model : model);
        const std::span<const float> logits = subject->pass(denoiser);
        return std::vector<float>(logits.begin(), logits.end());
    };
    Serial serial;
    const KernelSet* baseline = available_kernels().back();
    const std::vector<float> exact_reference = logits_of({baseline, Precision::int8}, serial);
    const std::vector<float> reference =
        model.exact() ? exact_reference : logits_of({baseline, Precision::f32}, serial);
    /// Both interfaces of what trains.
    struct Training {
        Ops& ops;
        TrainingOps& training;
    };
    const auto measure = [&](std::string_view kernels, Precision precision, int width, bool checked, Ops& ops,
                             std::optional<Training> trains) {
        const bool exact = precision == Precision::int8;
        {
            Denoiser denoiser = make_denoiser(ops, exact ? exact_model : model);
            if (checked) {
                const Agreement agreement =
                    compare_logits(subject->pass(denoiser), exact ? exact_reference : reference, precision);
                checks.push_back({{"kernels", kernels},
                                  {"products", name_of(precision)},
                                  {"largest_difference", agreement.largest_difference},
                                  {"passed", agreement.good}});
            }
            record({"forward", std::string(kernels), name_of(precision), width}, passed_length,
                   time(seconds, [&] { subject->pass(denoiser); }));
            SamplingRequest request;
            request.options = default_options(model.process.kind);
            request.options.steps = passes;
            request.given.assign(static_cast<std::size_t>(passed_length), -1);
            request.before = 0;
            record({"sampling", std::string(kernels), name_of(precision), width}, passed_length, time(seconds, [&] {
                       const auto sampler = unwrap(make_sampler(denoiser, model.process, request));
                       while (!sampler->done()) unwrap(sampler->step());
                   }));
        }
        if (!trains) return;
        Recipe recipe;
        recipe.batch = training_batch;
        recipe.seq_len = config.seq_len;
        recipe.short_windows = 0;
        Trainer trainer = unwrap(Trainer::create(trains->ops, trains->training, config, model.process, recipe, text));
        int step = 0;
        record({"training", std::string(kernels), name_of(precision), width}, training_batch * config.seq_len,
               time(seconds, [&] { unwrap(trainer.run(step++)); }));
    };
    for (const Way& way : all) {
        for (const int width : widths) {
            ThreadPool parallel(width);
            const auto ops = make_ops(parallel, {&way.kernels, 1}, way.precision);
            std::optional<CpuTrainingOps> training;
            if (trains(way)) training.emplace(parallel, *way.kernels, way.precision);
            measure(way.kernels->name, way.precision, width, width == most_threads, *ops,
                    training ? std::optional<Training>({*training, *training}) : std::nullopt);
        }
    }
    for (std::size_t i = 0; i < gpus.size(); ++i)
        measure("cuda", i == 0 ? Precision::bf16 : Precision::f32, 1, true, *gpus[i], Training{*gpus[i], *gpus[i]});

    std::vector<std::string_view> names;
    for (const KernelSet* set : available_kernels()) names.push_back(set->name);
    if (!gpus.empty()) names.push_back("cuda");
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const bool passed = std::all_of(checks.begin(), checks.end(),
                                    [](const ordered_json& check) { return check["passed"].get<bool>(); });
    ordered_json report{{"program", "folio"},
                        {"version", program_version()},
                        {"machine",
                         {{"processor", processor_name()},
                          {"cores", physical_cores()},
                          {"memory_mib", (sysconf(_SC_PHYS_PAGES) >> 10) * (sysconf(_SC_PAGE_SIZE) >> 10)}}},
                        {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))},
                        {"kernels", names},
                        {"threads", most_threads},
                        {"parameters", parameter_count(config)},
                        {"length", passed_length},
                        {"sampling_steps", passes},
                        {"training_batch", training_batch},
                        {"results", results},
                        {"memory_mib", usage.ru_maxrss >> 10},
                        {"self_check", {{"passed", passed}, {"against", baseline->name}, {"kernels", checks}}}};
    if (!gpus.empty()) report["machine"]["gpu"] = gpus.front()->name();
    if (as_json)
        fmt::print("{}\n", to_text(report));
    else
        print(report);
    if (!passed) stop("a set of kernels computes wrongly on this machine; the report says which");
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
    if (!svg.empty()) write_file(svg, comparison.svg());
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
