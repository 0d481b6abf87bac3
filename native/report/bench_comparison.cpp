#include "native/report/bench_comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/text.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

std::string number_text(std::int64_t number) { return number == 0 ? "" : std::to_string(number); }

/// A part of the setting that two reports must share for a ratio between times that depend on it.
struct Condition {
    const char* name;
    std::string (*of)(const BenchReport&);  // empty where a report lacks it
    bool (*matters_for)(const std::string& task);
};

constexpr Condition conditions[] = {
    {"parameters", [](const BenchReport& report) { return number_text(report.parameters); },
     [](const std::string& task) { return task != "noising"; }},
    {"characters", [](const BenchReport& report) { return number_text(report.length); },
     [](const std::string&) { return true; }},
    {"passes of a sample", [](const BenchReport& report) { return number_text(report.sampling_steps); },
     [](const std::string& task) { return task == "sampling"; }},
    {"windows of a training step", [](const BenchReport& report) { return number_text(report.training_batch); },
     [](const std::string& task) { return task == "training"; }},
    {"optimizers", [](const BenchReport& report) { return report.training_optimizer; },
     [](const std::string& task) { return task == "training"; }}};

bool did_the_same(const BenchReport& a, const BenchReport& b, const std::string& task) {
    return std::all_of(std::begin(conditions), std::end(conditions), [&](const Condition& condition) {
        const std::string of_a = condition.of(a), of_b = condition.of(b);
        return !condition.matters_for(task) || of_a.empty() || of_b.empty() || of_a == of_b;
    });
}

/// Characters of a text.
std::size_t width_of(std::string_view text) {
    std::size_t width = 0;
    char32_t code;
    for (std::size_t position = 0; position < text.size(); ++width) decode_utf8(text, position, code);
    return width;
}

/// Columns of as many cells each, as lines of text.
std::string grid(const std::vector<std::vector<std::string>>& columns) {
    std::vector<std::size_t> widths;
    for (const auto& column : columns) {
        std::size_t width = 0;
        for (const std::string& cell : column) width = std::max(width, width_of(cell));
        widths.push_back(width);
    }
    std::string text;
    for (std::size_t line = 0; line < columns.front().size(); ++line) {
        std::string written;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            written += columns[i][line] + std::string(widths[i] - width_of(columns[i][line]) + 2, ' ');
        }
        text += written.substr(0, written.find_last_not_of(' ') + 1) + "\n";
    }
    return text;
}

std::string or_dash(const std::string& name) { return name.empty() ? "-" : name; }

}  // namespace

std::string shortened(const std::string& text, std::size_t longest) {
    return width_of(text) <= longest ? text : fmt::format("{:.{}}...", text, longest - 3);
}

std::string milliseconds(double ms) {
    return fmt::format("{:.{}f}", ms, ms >= 1000 ? 0 : ms >= 100 ? 1 : ms >= 10 ? 2 : ms >= 0.01 ? 3 : 5);
}

BenchComparison::BenchComparison(std::vector<BenchReport> reports) : reports_(std::move(reports)) {
    std::vector<std::string> tasks;
    for (std::size_t i = 0; i < size(); ++i) {
        names_.push_back(name_of_report(i));
        add_timings(i);
        for (const Timing& timing : reports_[i].timings) {
            if (std::find(tasks.begin(), tasks.end(), timing.work.task) == tasks.end())
                tasks.push_back(timing.work.task);
        }
    }
    std::erase_if(fastest_, [](const Row& row) {
        return std::count_if(row.timings.begin(), row.timings.end(),
                             [](const auto& timing) { return timing.has_value(); }) < 2;
    });
    const auto rank = [&](const Row& row) { return std::find(tasks.begin(), tasks.end(), row.work.task); };
    for (std::vector<Row>* rows : {&rows_, &fastest_}) {
        std::stable_sort(rows->begin(), rows->end(), [&](const Row& a, const Row& b) { return rank(a) < rank(b); });
    }
}

std::string BenchComparison::name_of_report(std::size_t report) const {
    const BenchReport& named = reports_[report];
    if (named.machine.empty()) return named.file;
    const auto namesakes = std::count_if(reports_.begin(), reports_.end(),
                                         [&](const auto& other) { return other.machine == named.machine; });
    return namesakes == 1 ? named.machine : fmt::format("{} {}", named.machine, named.file);
}

void BenchComparison::add_timings(std::size_t report) {
    for (const Timing& timing : reports_[report].timings) {
        row_of(rows_, timing.work).timings[report] = timing;
        if (timing.work.kernels.empty()) continue;
        const Work any_set{timing.work.task, "", timing.work.products, timing.work.threads};
        std::optional<Timing>& fastest = row_of(fastest_, any_set).timings[report];
        if (!fastest || timing.median_ms < fastest->median_ms) fastest = timing;
    }
}

BenchComparison::Row& BenchComparison::row_of(std::vector<Row>& rows, const Work& work) const {
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.work == work; });
    if (found != rows.end()) return *found;
    return rows.emplace_back(work, std::vector<std::optional<Timing>>(size()));
}

std::optional<double> BenchComparison::ratio(const Row& row, std::size_t report) const {
    const auto &first = row.timings.front(), &other = row.timings[report];
    if (report == 0 || !first || !other || !did_the_same(reports_.front(), reports_[report], row.work.task)) return {};
    return first->median_ms / other->median_ms;
}

std::string BenchComparison::about(std::size_t report) const {
    const BenchReport& of = reports_[report];
    std::vector<std::string> parts;
    if (of.cores > 0) parts.push_back(fmt::format("{} core{}", of.cores, of.cores == 1 ? "" : "s"));
    if (!of.date.empty()) parts.push_back(of.date.substr(0, of.date.find('T')));
    if (of.parameters > 0) parts.push_back(fmt::format("{} parameters", of.parameters));
    if (of.length > 0) parts.push_back(fmt::format("{} characters", of.length));
    if (of.sampling_steps > 0) parts.push_back(fmt::format("samples in {} passes", of.sampling_steps));
    if (of.training_batch > 0) {
        parts.push_back(fmt::format("training on {} windows{}", of.training_batch,
                                    of.training_optimizer.empty() ? "" : " by " + of.training_optimizer));
    }
    if (!of.passed) parts.emplace_back("SELF-CHECK FAILED");
    return fmt::format("{}", fmt::join(parts, ", "));
}

std::string BenchComparison::warning() const {
    std::vector<std::string> different;
    for (const Condition& condition : conditions) {
        std::vector<std::string> values;
        for (const BenchReport& report : reports_) {
            const std::string value = condition.of(report);
            if (!value.empty() && std::find(values.begin(), values.end(), value) == values.end())
                values.push_back(value);
        }
        if (values.size() > 1) different.push_back(fmt::format("{} ({})", condition.name, fmt::join(values, ", ")));
    }
    if (different.empty()) return "";
    return fmt::format("The reports differ in {}; where that matters there is no ratio.", fmt::join(different, ", "));
}

std::vector<std::string> BenchComparison::column(std::size_t report, const std::vector<Row>& rows,
                                                 bool with_kernels) const {
    constexpr std::size_t narrowest = 24;
    std::vector<std::string> cells;
    std::size_t width = narrowest;
    for (const Row& row : rows) {
        std::string cell = "-";
        if (const auto& timing = row.timings[report]) {
            cell = fmt::format("{} ({} to {})", milliseconds(timing->median_ms),
                               milliseconds(timing->lower_quartile_ms), milliseconds(timing->upper_quartile_ms));
            if (with_kernels) cell += "  " + timing->work.kernels;
        }
        if (const auto times = ratio(row, report)) cell += fmt::format("  {:.3g}x", *times);
        width = std::max(width, cell.size());
        cells.push_back(std::move(cell));
    }
    cells.insert(cells.begin(), shortened(fmt::format("{} {}", report + 1, names_[report]), width));
    return cells;
}

std::string BenchComparison::table(const std::vector<Row>& rows, bool with_kernels) const {
    std::vector<std::vector<std::string>> columns{{"task"}, {"kernels"}, {"products"}, {"threads"}};
    for (const Row& row : rows) {
        columns[0].push_back(row.work.task);
        columns[1].push_back(or_dash(row.work.kernels));
        columns[2].push_back(or_dash(row.work.products));
        columns[3].push_back(std::to_string(row.work.threads));
    }
    if (with_kernels) columns.erase(columns.begin() + 1);
    for (std::size_t i = 0; i < size(); ++i) columns.push_back(column(i, rows, with_kernels));
    return "\n" + grid(columns);
}

std::string BenchComparison::table() const {
    std::string text;
    for (std::size_t i = 0; i < size(); ++i) {
        const std::string description = about(i), &file = reports_[i].file;
        text += fmt::format("{}  {}{}\n", i + 1, names_[i].ends_with(file) ? names_[i] : names_[i] + " " + file,
                            description.empty() ? "" : ": " + description);
    }
    text += "Milliseconds: median (quartiles)";
    text += size() > 1 ? "; x: times as fast as the first report\n" : "\n";
    text += table(rows_, false);
    if (!fastest_.empty()) text += "\nThe fastest set of each report:\n" + table(fastest_, true);
    const std::string warned = warning();
    return warned.empty() ? text : text + "\n" + warned + "\n";
}

ordered_json BenchComparison::json() const {
    ordered_json merged{{"program", "folio"}, {"reports", ordered_json::array()}};
    for (std::size_t i = 0; i < size(); ++i) merged["reports"].push_back(json_of_report(i));
    if (const std::string warned = warning(); !warned.empty()) merged["warning"] = warned;
    for (const auto& [key, rows] : {std::pair{"results", &rows_}, std::pair{"fastest", &fastest_}}) {
        merged[key] = ordered_json::array();
        for (const Row& row : *rows) merged[key].push_back(json_of_row(row));
    }
    return merged;
}

ordered_json BenchComparison::json_of_report(std::size_t report) const {
    const BenchReport& of = reports_[report];
    ordered_json entry{
        {"name", names_[report]}, {"file", of.file.substr(1, of.file.size() - 2)}, {"self_check", of.passed}};
    if (!of.date.empty()) entry["date"] = of.date;
    const std::pair<const char*, std::int64_t> figures[] = {{"cores", of.cores},
                                                            {"parameters", of.parameters},
                                                            {"length", of.length},
                                                            {"sampling_steps", of.sampling_steps},
                                                            {"training_batch", of.training_batch}};
    for (const auto& [key, value] : figures) {
        if (value > 0) entry[key] = value;
    }
    return entry;
}

ordered_json BenchComparison::json_of_row(const Row& row) const {
    ordered_json line{{"task", row.work.task}}, cells = ordered_json::array();
    if (!row.work.kernels.empty()) line["kernels"] = row.work.kernels;
    if (!row.work.products.empty()) line["products"] = row.work.products;
    line["threads"] = row.work.threads;
    for (std::size_t i = 0; i < size(); ++i) {
        ordered_json& cell = cells.emplace_back(nullptr);
        if (!row.timings[i]) continue;
        cell = to_json(*row.timings[i]);
        // The line has these already.
        for (const char* key : {"task", "kernels", "products", "threads"}) {
            if (line.contains(key)) cell.erase(key);
        }
        if (const auto times = ratio(row, i)) cell["ratio"] = *times;
    }
    line["reports"] = std::move(cells);
    return line;
}

}  // namespace folio
