#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

/// The report that `folio bench --json` and the page's bench write alike; bench/report.schema.json says for both what
/// is valid.
namespace folio {

namespace fs = std::filesystem;

/// A timed task: names are open, so that a report may come from a target that this program does not know.
struct Work {
    std::string task;               // noising, forward, sampling, training
    std::string kernels, products;  // empty where the task has none
    int threads = 1;

    bool operator==(const Work&) const = default;
};

/// "forward, avx2, f32, 2 threads".
std::string describe(const Work& work);

struct Timing {
    Work work;
    std::int64_t repetitions = 0;
    double median_ms = 0, lower_quartile_ms = 0, upper_quartile_ms = 0, chars_per_s = 0;
};

/// A row of a report's `results`.
nlohmann::ordered_json to_json(const Timing& timing);

/// Contents of a file; a number is 0 and a text empty where it has none.
struct BenchReport {
    std::string file;     // its name, fit to be shown
    std::string machine;  // its processor or browser
    std::string date;
    std::int64_t cores = 0, parameters = 0, length = 0, sampling_steps = 0, training_batch = 0;
    std::string training_optimizer;
    bool passed = true;  // its self-check
    std::vector<Timing> timings;
};

/// Ends the command with one sentence where the file is no such report.
BenchReport read_bench_report(const fs::path& path);

}  // namespace folio
