#include "native/report/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "core/weights/json.h"
#include "native/host/failure.h"
#include "native/host/files.h"

namespace folio {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t largest_file = 1 << 20;
constexpr int longest_text = 120;
constexpr double most_ms = 1e9, most_chars_per_s = 1e15;
constexpr std::int64_t most_count = 1'000'000'000'000;

/// True if a text has at most `longest` characters, all of them visible.
bool is_valid_name(std::string_view text, int longest) {
    int count = 0;
    char32_t code;
    for (std::size_t position = 0; position < text.size(); ++count)
        if (!decode_utf8(text, position, code) || !shows(code)) return false;
    return count <= longest;
}

/// The fields of one object of a report. The first that is not what it should be ends the command.
class Fields {
public:
    Fields(const json& object, std::string file, std::string name)
        : object_(object), file_(std::move(file)), name_(std::move(name)) {
        if (!object_.is_object()) refuse(fmt::format("{} is no object", name_));
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
    /// Empty where it is not there; a name with invisible characters is refused.
    std::string text(const char* key) const {
        const json* value = find(key);
        if (!value) return "";
        const auto* text = value->get_ptr<const std::string*>();
        if (!text) refuse(fmt::format("{} of {} is no text", quote(key), name_));
        if (!is_valid_name(*text, longest_text))
            refuse(fmt::format("{} of {} is too long or holds characters that do not show", quote(key), name_));
        return *text;
    }
    /// A whole number from 0; 0 where it is not there.
    std::int64_t count(const char* key) const {
        const json* value = find(key);
        if (!value) return 0;
        if (!value->is_number_unsigned() || value->get<std::uint64_t>() > static_cast<std::uint64_t>(most_count)) {
            refuse(fmt::format("{} of {} is no whole number from 0 to {}", quote(key), name_, most_count));
        }
        return value->get<std::int64_t>();
    }
    std::int64_t needed_count(const char* key, std::int64_t most) const {
        const std::int64_t number = count(key);
        if (number < 1 || number > most) {
            refuse(fmt::format("{} of {} must be a whole number from 1 to {}", quote(key), name_, most));
        }
        return number;
    }
    double needed_measure(const char* key, double most) const {
        const json* value = find(key);
        const double number = value && value->is_number() ? value->get<double>() : 0;
        if (!(number > 0 && number <= most)) {
            refuse(fmt::format("{} of {} must be a number above 0, and at most {}", quote(key), name_, most));
        }
        return number;
    }

private:
    const json& object_;
    std::string file_, name_;
};

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

}  // namespace

std::string describe(const Work& work) {
    std::string text = work.task;
    for (const std::string& part : {work.kernels, work.products}) {
        if (!part.empty()) text += ", " + part;
    }
    return text + fmt::format(", {} thread{}", work.threads, work.threads == 1 ? "" : "s");
}

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

}  // namespace folio
