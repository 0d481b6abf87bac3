#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "native/report/bench_report.h"

namespace folio {

/// Any number of reports side by side: a row for each work that one of them timed, a column for each report; then,
/// since targets have no kernel set in common, the fastest set of each in a row.
class BenchComparison {
public:
    struct Row {
        Work work;
        std::vector<std::optional<Timing>> timings;  // one a report
    };

    explicit BenchComparison(std::vector<BenchReport> reports);

    std::size_t size() const { return reports_.size(); }
    const std::vector<Row>& rows() const { return rows_; }
    /// By task, products and threads; only what at least two reports timed.
    const std::vector<Row>& fastest() const { return fastest_; }
    /// A report's machine, with its file where several have the same machine.
    const std::string& name(std::size_t report) const { return names_[report]; }
    /// Description of a report beside its name: "2 cores, 2026-11-23, 10657536 parameters, 256 characters".
    std::string about(std::size_t report) const;
    /// Speed of a later report over that of the first; none where they did not do the same work.
    std::optional<double> ratio(const Row& row, std::size_t report) const;
    /// A sentence where reports timed different models or lengths, else empty.
    std::string warning() const;

    /// For a terminal.
    std::string table() const;
    nlohmann::ordered_json json() const;

private:
    /// The row of this work, a new one where there is none.
    Row& row_of(std::vector<Row>& rows, const Work& work) const;
    void add_timings(std::size_t report);
    std::string name_of_report(std::size_t report) const;
    std::string table(const std::vector<Row>& rows, bool with_kernels) const;
    /// A report's column of the table, a cell for each row.
    std::vector<std::string> column(std::size_t report, const std::vector<Row>& rows, bool with_kernels) const;
    nlohmann::ordered_json json_of_report(std::size_t report) const;
    nlohmann::ordered_json json_of_row(const Row& row) const;

    std::vector<BenchReport> reports_;
    std::vector<std::string> names_;
    std::vector<Row> rows_;
    std::vector<Row> fastest_;
};

/// At most `longest` characters of a text, the last of them dots where it goes on.
std::string shortened(const std::string& text, std::size_t longest);
/// Milliseconds, to about four digits.
std::string milliseconds(double ms);

}  // namespace folio
