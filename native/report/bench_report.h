#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

/// The report that `folio bench --json` and the page's bench write alike, and reports laid side by side. The page's
/// reader (web/src/report.ts) asks the same of a file.
namespace folio {

namespace fs = std::filesystem;

/// A timed task: names are open, so that a report may come from a target that this program does not know.
struct Work {
    std::string task;               // noising, forward, sampling, training
    std::string kernels, products;  // empty where the task has none
    int threads = 1;

    bool operator==(const Work&) const = default;
};

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
    bool passed = true;  // its self-check
    std::vector<Timing> timings;
};

/// Ends the command with one sentence where the file is no such report.
BenchReport read_bench_report(const fs::path& path);

/// Any number of reports side by side: a row for whatever one of them timed, a column for each; then, since targets
/// have no kernel set in common, the fastest set of each in a row. A ratio says how many times as fast as the first
/// report a later one was, and is there only where both did the same work.
class BenchComparison {
public:
    explicit BenchComparison(std::vector<BenchReport> reports);

    /// For a terminal.
    std::string table() const;
    /// Bars with whiskers at the quartiles; follows the reader's light or dark.
    std::string svg() const;
    nlohmann::ordered_json json() const;

private:
    struct Row {
        Work work;
        std::vector<std::optional<Timing>> timings;  // one a report
    };

    /// The row of this work, a new one where there is none.
    Row& row_of(std::vector<Row>& rows, const Work& work) const;

    std::optional<double> ratio(const Row& row, std::size_t report) const;
    /// Description of a report beside its name: "2 cores, 2026-11-23, 10657536 parameters, 256 characters".
    std::string about(std::size_t report) const;
    /// A sentence where reports timed different models or lengths, else empty.
    std::string warning() const;
    /// A report's column of the table, a cell for each row.
    std::vector<std::string> column(std::size_t report, const std::vector<Row>& rows, bool with_kernels) const;
    nlohmann::ordered_json json(const std::vector<Row>& rows) const;

    std::vector<BenchReport> reports_;
    std::vector<std::string> names_;
    std::vector<Row> rows_;
    std::vector<Row> fastest_;  // by task, products and threads; only what at least two reports timed
};

}  // namespace folio
