#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/weights/json.h"
#include "native/bench/bench_run.h"
#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/options.h"
#include "native/report/bench_chart.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

struct BenchCommand {
    BenchOptions measured;
    std::vector<std::string> compared;
    std::string svg;
    bool as_json = false;

    void execute() const;
    void compare() const;
};

/// A report for people.
void print(const ordered_json& report) {
    const auto& machine = report["machine"];
    fmt::print("{}, {} cores; {} parameters, {} characters; sampling in {} passes, training on {} windows by {}\n",
               machine["processor"].get<std::string>(), machine["cores"].get<int>(),
               report["parameters"].get<std::size_t>(), report["length"].get<int>(),
               report["sampling_steps"].get<int>(), report["training_batch"].get<int>(),
               report["training_optimizer"].get<std::string>());
    fmt::print("{:<9} {:<10} {:<8} {:>7} {:>11} {:>12} {:>21} {:>14}\n", "task", "kernels", "products", "threads",
               "repetitions", "median ms", "quartiles ms", "characters/s");
    for (const auto& row : report["results"]) {
        fmt::print("{:<9} {:<10} {:<8} {:>7} {:>11} {:>12.3f} {:>10.3f} {:>10.3f} {:>14.0f}\n",
                   row["task"].get<std::string>(), row.value("kernels", "-"), row.value("products", "-"),
                   row["threads"].get<int>(), row["repetitions"].get<std::int64_t>(), row["median_ms"].get<double>(),
                   row["lower_quartile_ms"].get<double>(), row["upper_quartile_ms"].get<double>(),
                   row["chars_per_s"].get<double>());
    }
    if (report.contains("self_check")) {
        const auto& self_check = report["self_check"];
        for (const auto& check : self_check["kernels"]) {
            fmt::print("{} {} against {}: largest difference of a logit {:.2e}: {}\n",
                       check["kernels"].get<std::string>(), check["products"].get<std::string>(),
                       self_check["against"].get<std::string>(), check["largest_difference"].get<double>(),
                       check["passed"].get<bool>() ? "good" : "TOO LARGE");
        }
    }
    fmt::print("memory {} MiB\n", report["memory_mib"].get<long>());
}

void BenchCommand::execute() const {
    const ordered_json report = run_bench(measured);
    if (as_json)
        fmt::print("{}\n", to_text(report));
    else
        print(report);
    if (report.contains("self_check") && !report["self_check"]["passed"].get<bool>())
        stop("a set of kernels computes wrongly on this machine; the report says which");
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

/// Ends the command where one of the options is given, with the clause `why` behind its name.
void refuse_given(const CLI::App& command, const std::vector<std::string>& names, const char* why) {
    for (const std::string& name : names) {
        if (given(command, name)) wrong_usage(name + " " + why);
    }
}

void check_usage(const CLI::App& command, const BenchOptions& measured) {
    if (given(command, "--compare")) {
        return refuse_given(command,
                            {"--weights", "--size", "--conv-radius", "--task", "--batch", "--muon-lr", "--seconds",
                             "--threads", "--device"},
                            "is for measuring, and --compare measures nothing; leave one of them out");
    }
    if (given(command, "--svg")) wrong_usage("--svg draws what --compare names; give both");
    if (!measured.weights.empty())
        refuse_given(command, {"--size", "--conv-radius"}, "is for random weights; leave it or --weights out");
    if (!measured.task.empty() && measured.task != "training")
        refuse_given(command, {"--batch", "--muon-lr"}, "is for a training step, which --task leaves out");
}

void add_measured(CLI::App& command, BenchOptions& options) {
    add_name(command, "--weights", options.weights, "weights file [random weights of --size]");
    std::vector<std::string> sizes;
    for (const ModelSize& size : model_sizes) sizes.emplace_back(size.name);
    add_choice(
        command, "--size", sizes,
        [&options](const std::string& name) {
            options.size = *std::find_if(model_sizes.begin(), model_sizes.end(),
                                         [&](const ModelSize& size) { return name == size.name; });
        },
        "2 x 128, 4 x 256 or 6 x 384 (layers x d_model) [base]");
    const auto range = [](const char* option) { return training_option(option)->range(); };
    const auto add_whole = [&](const std::string& name, Range limits, int& target, const std::string& help) {
        add_integer(command, name, std::llround(limits.least), std::llround(limits.most), target, help);
    };
    add_whole("--conv-radius", range("conv-radius"), options.conv_radius,
              "reach of the convolution before each MLP, in characters; 0: none [0]");
    add_choice(command, "--task", {"forward", "sampling", "training"}, options.task, "the only task to time [all]");
    add_whole("--batch", range("batch"), options.batch, fmt::format("windows of a training step [{}]", options.batch));
    add_number(
        command, "--muon-lr", range("muon-lr").least, range("muon-lr").most,
        [&options](double rate) { options.muon_lr = static_cast<float>(rate); },
        fmt::format("learning rate of Muon in a training step; 0: AdamW for all [{}]", options.muon_lr));
    add_number(
        command, "--seconds", 0, 3600, [&options](double seconds) { options.seconds = seconds; },
        "time per figure, in turns with the others [1]");
    add_integer(command, "--threads", 1, 1024, options.threads, "most threads [one per physical core]");
    add_choice(command, "--device", {"auto", "cpu", "cuda"}, options.device, "what to time [auto: all that there is]");
}

}  // namespace

void add_bench(CLI::App& program) {
    CLI::App& command = add_command(program, "bench", "Time the model on this machine");
    const auto options = std::make_shared<BenchCommand>();
    add_measured(command, options->measured);
    add_texts(command, "--compare", "FILE", options->compared, true,
              "measure nothing; lay these reports of --json, or of the page's Bench, side by side as a table");
    add_name(command, "--svg", options->svg,
             "with --compare: also draw them into this file, which is replaced if it is there [no picture]");
    add_flag(command, "--json", options->as_json, "the report, or with --compare the merged table, as JSON");
    on_call(command, [options, &command] {
        check_usage(command, options->measured);
        if (given(command, "--compare"))
            options->compare();
        else
            options->execute();
    });
}

}  // namespace folio
