#include "native/report/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/base/text.h"
#include "core/weights/json.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/report/svg.h"

namespace folio {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t largest_file = 1 << 20;
constexpr double most_ms = 1e9, most_chars_per_s = 1e15;
constexpr std::int64_t most_count = 1'000'000'000'000;

std::size_t width_of(std::string_view text) {
    std::size_t width = 0;
    char32_t code;
    for (std::size_t position = 0; position < text.size(); ++width) decode_utf8(text, position, code);
    return width;
}

/// At most `longest` characters of a text, the last of them dots where it goes on.
std::string shortened(const std::string& text, std::size_t longest) {
    return width_of(text) <= longest ? text : fmt::format("{:.{}}...", text, longest - 3);
}

/// The fields of one object of a report. The first that is not what it should be ends the command.
class Fields {
public:
    Fields(const json& object, std::string file, std::string place)
        : object_(object), file_(std::move(file)), place_(std::move(place)) {
        if (!object_.is_object()) refuse(fmt::format("{} is no object", place_));
    }

    [[noreturn]] void refuse(const std::string& why) const {
        stop(fmt::format("the report {} cannot be used: {}", file_, why));
    }

    const json* find(const char* key) const {
        const auto found = object_.find(key);
        return found == object_.end() || found->is_null() ? nullptr : &*found;
    }
    Fields object(const char* key) const {
        static const json nothing = json::object();
        const json* value = find(key);
        return {value ? *value : nothing, file_, quote(key)};
    }
    /// Empty where it is not there; what does not show has no place in a name.
    std::string text(const char* key) const {
        const json* value = find(key);
        if (!value) return "";
        const auto* text = value->get_ptr<const std::string*>();
        if (!text) refuse(fmt::format("{} of {} is no text", quote(key), place_));
        bool fits = width_of(*text) <= 120;
        char32_t code;
        for (std::size_t position = 0; fits && position < text->size();)
            fits = decode_utf8(*text, position, code) && shows(code);
        if (!fits) refuse(fmt::format("{} of {} is too long or holds characters that do not show", quote(key), place_));
        return *text;
    }
    /// A whole number from 0; 0 where it is not there.
    std::int64_t count(const char* key) const {
        const json* value = find(key);
        if (!value) return 0;
        if (!value->is_number_unsigned() || value->get<std::uint64_t>() > static_cast<std::uint64_t>(most_count)) {
            refuse(fmt::format("{} of {} is no whole number from 0 to {}", quote(key), place_, most_count));
        }
        return value->get<std::int64_t>();
    }
    std::int64_t needed_count(const char* key, std::int64_t most) const {
        const std::int64_t number = count(key);
        if (number < 1 || number > most) {
            refuse(fmt::format("{} of {} must be a whole number from 1 to {}", quote(key), place_, most));
        }
        return number;
    }
    double needed_measure(const char* key, double most) const {
        const json* value = find(key);
        const double number = value && value->is_number() ? value->get<double>() : 0;
        if (!(number > 0 && number <= most)) {
            refuse(fmt::format("{} of {} must be a number above 0, and at most {}", quote(key), place_, most));
        }
        return number;
    }

private:
    const json& object_;
    std::string file_, place_;
};

std::string describe(const Work& work) {
    std::string text = work.task;
    for (const std::string& part : {work.kernels, work.products}) {
        if (!part.empty()) text += ", " + part;
    }
    return text + fmt::format(", {} thread{}", work.threads, work.threads == 1 ? "" : "s");
}

Timing read_timing(const Fields& row) {
    Timing timing;
    timing.work = {row.text("task"), row.text("kernels"), row.text("products"),
                   static_cast<int>(row.needed_count("threads", 1 << 20))};
    if (timing.work.task.empty()) row.refuse("a row of its results names no task");
    timing.repetitions = row.needed_count("repetitions", most_count);
    timing.median_ms = row.needed_measure("median_ms", most_ms);
    timing.lower_quartile_ms = row.needed_measure("lower_quartile_ms", most_ms);
    timing.upper_quartile_ms = row.needed_measure("upper_quartile_ms", most_ms);
    timing.chars_per_s = row.needed_measure("chars_per_s", most_chars_per_s);
    if (timing.lower_quartile_ms > timing.median_ms || timing.median_ms > timing.upper_quartile_ms) {
        row.refuse(
            fmt::format("the median of {} does not lie between its quartiles", quote(describe(timing.work), 120)));
    }
    return timing;
}

/// Milliseconds, to about four digits whatever their size.
std::string milliseconds(double ms) {
    return fmt::format("{:.{}f}", ms, ms >= 1000 ? 0 : ms >= 100 ? 1 : ms >= 10 ? 2 : ms >= 0.01 ? 3 : 5);
}

/// True if two reports agree in a figure, or one of them lacks it.
bool same(std::int64_t a, std::int64_t b) { return a == 0 || b == 0 || a == b; }

bool did_the_same(const BenchReport& a, const BenchReport& b, const std::string& task) {
    return same(a.length, b.length) && (task == "noising" || same(a.parameters, b.parameters)) &&
           (task != "sampling" || same(a.sampling_steps, b.sampling_steps)) &&
           (task != "training" || same(a.training_batch, b.training_batch));
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

}  // namespace

ordered_json to_json(const Timing& timing) {
    ordered_json row{{"task", timing.work.task}};
    if (!timing.work.kernels.empty()) row["kernels"] = timing.work.kernels;
    if (!timing.work.products.empty()) row["products"] = timing.work.products;
    row.update({{"threads", timing.work.threads},
                {"repetitions", timing.repetitions},
                {"median_ms", timing.median_ms},
                {"lower_quartile_ms", timing.lower_quartile_ms},
                {"upper_quartile_ms", timing.upper_quartile_ms},
                {"chars_per_s", timing.chars_per_s}});
    return row;
}

BenchReport read_bench_report(const fs::path& path) {
    const std::string content = read_file(path, "the report", largest_file);
    BenchReport report;
    report.file = quote(path.filename().string());
    const json parsed = unwrap(parse_json(content, fmt::format("the report {}", report.file)));
    const Fields fields(parsed, report.file, "the report");
    const json* results = fields.find("results");
    if (fields.text("program") != "folio" || !results || !results->is_array() || results->empty()) {
        fields.refuse("it is not what folio bench --json writes");
    }
    const Fields machine = fields.object("machine");
    report.machine = machine.text("processor");
    if (report.machine.empty()) report.machine = machine.text("browser");
    report.cores = machine.count("cores");
    report.date = fields.text("date");
    report.parameters = fields.count("parameters");
    report.length = fields.count("length");
    report.sampling_steps = fields.count("sampling_steps");
    report.training_batch = fields.count("training_batch");
    const json* passed = fields.object("self_check").find("passed");
    if (passed && !passed->is_boolean()) fields.refuse("its self-check neither passed nor failed");
    report.passed = !passed || passed->get<bool>();
    for (const json& row : *results) {
        Timing timing =
            read_timing({row, report.file, fmt::format("row {} of its results", report.timings.size() + 1)});
        const auto is_same_work = [&](const Timing& other) { return other.work == timing.work; };
        if (std::any_of(report.timings.begin(), report.timings.end(), is_same_work)) {
            fields.refuse(fmt::format("it has the row {} twice", quote(describe(timing.work), 120)));
        }
        report.timings.push_back(std::move(timing));
    }
    return report;
}

BenchComparison::BenchComparison(std::vector<BenchReport> reports) : reports_(std::move(reports)) {
    std::vector<std::string> tasks;
    for (std::size_t i = 0; i < reports_.size(); ++i) {
        const BenchReport& report = reports_[i];
        const auto namesakes = std::count_if(reports_.begin(), reports_.end(),
                                             [&](const auto& other) { return other.machine == report.machine; });
        names_.push_back(report.machine.empty() ? report.file
                         : namesakes == 1       ? report.machine
                                                : fmt::format("{} {}", report.machine, report.file));
        for (const Timing& timing : report.timings) {
            if (std::find(tasks.begin(), tasks.end(), timing.work.task) == tasks.end())
                tasks.push_back(timing.work.task);
            row_of(rows_, timing.work).timings[i] = timing;
            if (timing.work.kernels.empty()) continue;
            std::optional<Timing>& fastest =
                row_of(fastest_, {timing.work.task, "", timing.work.products, timing.work.threads}).timings[i];
            if (!fastest || timing.median_ms < fastest->median_ms) fastest = timing;
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

BenchComparison::Row& BenchComparison::row_of(std::vector<Row>& rows, const Work& work) const {
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.work == work; });
    if (found != rows.end()) return *found;
    return rows.emplace_back(work, std::vector<std::optional<Timing>>(reports_.size()));
}

std::optional<double> BenchComparison::ratio(const Row& row, std::size_t report) const {
    const auto &first = row.timings.front(), &other = row.timings[report];
    if (report == 0 || !first || !other || !did_the_same(reports_.front(), reports_[report], row.work.task)) return {};
    return first->median_ms / other->median_ms;
}

std::string BenchComparison::about(std::size_t report) const {
    const BenchReport& told = reports_[report];
    std::string text;
    const auto add = [&](bool is_told, const std::string& part) {
        if (is_told) text += (text.empty() ? "" : ", ") + part;
    };
    add(told.cores > 0, fmt::format("{} core{}", told.cores, told.cores == 1 ? "" : "s"));
    add(!told.date.empty(), told.date.substr(0, told.date.find('T')));
    add(told.parameters > 0, fmt::format("{} parameters", told.parameters));
    add(told.length > 0, fmt::format("{} characters", told.length));
    add(told.sampling_steps > 0, fmt::format("samples in {} passes", told.sampling_steps));
    add(told.training_batch > 0, fmt::format("training on {} windows", told.training_batch));
    add(!told.passed, "SELF-CHECK FAILED");
    return text;
}

std::string BenchComparison::warning() const {
    const std::pair<const char*, std::int64_t BenchReport::*> figures[] = {
        {"parameters", &BenchReport::parameters},
        {"characters", &BenchReport::length},
        {"passes of a sample", &BenchReport::sampling_steps},
        {"windows of a training step", &BenchReport::training_batch}};
    std::string text;
    for (const auto& [name, figure] : figures) {
        std::vector<std::int64_t> told;
        for (const BenchReport& report : reports_) {
            const std::int64_t value = report.*figure;
            if (value > 0 && std::find(told.begin(), told.end(), value) == told.end()) told.push_back(value);
        }
        if (told.size() > 1)
            text +=
                fmt::format("{}{} ({})", text.empty() ? "The reports differ in " : ", ", name, fmt::join(told, ", "));
    }
    return text.empty() ? "" : text + "; where that matters there is no ratio.";
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

std::string BenchComparison::table() const {
    std::string text;
    for (std::size_t i = 0; i < reports_.size(); ++i) {
        const std::string told = about(i);
        const bool named_by_file = names_[i].ends_with(reports_[i].file);
        text += fmt::format("{}  {}{}\n", i + 1, named_by_file ? names_[i] : names_[i] + " " + reports_[i].file,
                            told.empty() ? "" : ": " + told);
    }
    text += "Milliseconds: median (quartiles)";
    text += reports_.size() > 1 ? "; x: times as fast as the first report\n" : "\n";

    const auto add = [&](const std::vector<Row>& rows, bool with_kernels) {
        std::vector<std::vector<std::string>> columns{{"task"}, {"kernels"}, {"products"}, {"threads"}};
        const auto or_dash = [](const std::string& name) { return name.empty() ? "-" : name; };
        for (const Row& row : rows) {
            columns[0].push_back(row.work.task);
            columns[1].push_back(or_dash(row.work.kernels));
            columns[2].push_back(or_dash(row.work.products));
            columns[3].push_back(std::to_string(row.work.threads));
        }
        if (with_kernels) columns.erase(columns.begin() + 1);
        for (std::size_t i = 0; i < reports_.size(); ++i) columns.push_back(column(i, rows, with_kernels));
        text += '\n' + grid(columns);
    };
    add(rows_, false);
    if (!fastest_.empty()) {
        text += "\nThe fastest set of each report:\n";
        add(fastest_, true);
    }
    const std::string warned = warning();
    return warned.empty() ? text : text + "\n" + warned + "\n";
}

ordered_json BenchComparison::json() const {
    ordered_json told = ordered_json::array();
    for (std::size_t i = 0; i < reports_.size(); ++i) {
        const BenchReport& report = reports_[i];
        told.push_back({{"name", names_[i]},
                        {"file", report.file.substr(1, report.file.size() - 2)},
                        {"self_check", report.passed}});
        if (!report.date.empty()) told.back()["date"] = report.date;
        const std::pair<const char*, std::int64_t> figures[] = {{"cores", report.cores},
                                                                {"parameters", report.parameters},
                                                                {"length", report.length},
                                                                {"sampling_steps", report.sampling_steps},
                                                                {"training_batch", report.training_batch}};
        for (const auto& [key, value] : figures) {
            if (value > 0) told.back()[key] = value;
        }
    }
    ordered_json merged{{"program", "folio"}, {"reports", told}};
    if (const std::string warned = warning(); !warned.empty()) merged["warning"] = warned;
    merged["results"] = json(rows_);
    merged["fastest"] = json(fastest_);
    return merged;
}

ordered_json BenchComparison::json(const std::vector<Row>& rows) const {
    ordered_json lines = ordered_json::array();
    for (const Row& row : rows) {
        ordered_json line{{"task", row.work.task}}, cells = ordered_json::array();
        if (!row.work.kernels.empty()) line["kernels"] = row.work.kernels;
        if (!row.work.products.empty()) line["products"] = row.work.products;
        line["threads"] = row.work.threads;
        for (std::size_t i = 0; i < reports_.size(); ++i) {
            if (!row.timings[i]) {
                cells.push_back(nullptr);
                continue;
            }
            ordered_json cell = to_json(*row.timings[i]);
            // What the line says already.
            for (const char* key : {"task", "kernels", "products", "threads"}) {
                if (line.contains(key)) cell.erase(key);
            }
            if (const auto times = ratio(row, i)) cell["ratio"] = *times;
            cells.push_back(std::move(cell));
        }
        line["reports"] = std::move(cells);
        lines.push_back(std::move(line));
    }
    return lines;
}

std::string BenchComparison::svg() const {
    constexpr int width = 760, margin = 24, label_width = 250, bar_left = margin + label_width, bar_width = 300,
                  pitch = 20;
    std::string body;
    int y = margin + 22;
    const auto text = [&](int x, const char* kind, const std::string& words) { body += svg_text(x, y, kind, words); };
    text(margin, "title", "Milliseconds: median, whiskers at the quartiles");
    for (std::size_t i = 0; i < reports_.size(); ++i) {
        y += pitch;
        text(margin, "name", fmt::format("{}  {}", i + 1, shortened(names_[i], 96)));
        if (const std::string told = about(i); !told.empty()) {
            y += pitch - 3;
            text(margin + 18, "soft", shortened(told, 110));
        }
    }
    const auto draw = [&](const std::vector<Row>& rows, const char* title) {
        std::string task;
        double longest = 0;
        for (const Row& row : rows) {
            // Each task has a scale of its own: a training step would leave nothing of the others.
            if (row.work.task != task) {
                task = row.work.task;
                longest = 0;
                for (const Row& other : rows) {
                    if (other.work.task != task) continue;
                    for (const auto& timing : other.timings)
                        longest = std::max(longest, timing ? timing->upper_quartile_ms : 0);
                }
                y += pitch / 2;
                body += fmt::format("<path class=\"rule\" d=\"M{} {}h{}\"/>\n", margin, y, width - 2 * margin);
                y += pitch + 6;
                text(margin, "task", shortened(task, 60) + title);
            }
            y += pitch + 4;
            const auto label = [&](const Work& work) {
                const std::string what = describe(work);
                text(margin, "soft",
                     shortened(what.size() > task.size() + 2 ? what.substr(task.size() + 2) : what, 40));
            };
            bool begun = false;
            for (std::size_t i = 0; i < reports_.size(); ++i) {
                const auto& timing = row.timings[i];
                if (!timing) continue;
                if (begun) y += pitch;
                // Once where all bars are the same set's.
                if (!begun || timing->work != row.work) label(timing->work);
                begun = true;
                const auto place = [&](double ms) { return bar_left + bar_width * ms / longest; };
                const double low = place(timing->lower_quartile_ms), high = place(timing->upper_quartile_ms);
                text(bar_left - 22, "number", std::to_string(i + 1));
                body += fmt::format("<rect class=\"bar b{}\" x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"12\"/>\n",
                                    i % 4, bar_left, y - 11, std::max(1.0, place(timing->median_ms) - bar_left));
                body +=
                    fmt::format("<path class=\"whisker\" d=\"M{0:.1f} {2}H{1:.1f}M{0:.1f} {3}v8M{1:.1f} {3}v8\"/>\n",
                                low, high, y - 5, y - 9);
                text(bar_left + bar_width + 12, "number", milliseconds(timing->median_ms));
                if (const auto times = ratio(row, i))
                    text(bar_left + bar_width + 92, "number", fmt::format("{:.3g}x", *times));
            }
        }
    };
    draw(rows_, "");
    draw(fastest_, ": the fastest set of each report");
    if (const std::string warned = warning(); !warned.empty()) {
        y += pitch + 10;
        text(margin, "soft", warned);
    }
    return svg_document(
        width, y + margin, "Reports of folio bench side by side",
        ".task { font-style: italic; font-size: 17px; }\n"
        ".bar { fill: var(--ink); } .b0 { opacity: .5; } .b1 { opacity: .25; } .b2 { opacity: .38; } .b3 { opacity: "
        ".15; }\n"
        ".whisker { fill: none; stroke: var(--ink); stroke-width: 1.5; } .rule { stroke: var(--line); }\n",
        body);
}

}  // namespace folio
