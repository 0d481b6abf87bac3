#include "native/report/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "core/weights/json.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/report/bench_schema.h"
#include "native/report/json_schema.h"

namespace folio {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t largest_file = 1 << 20;

/// The value of a key; null where it is not there.
json find(const json& object, const char* key) { return object.is_object() ? object.value(key, json()) : json(); }

std::string text_of(const json& object, const char* key) {
    const json value = find(object, key);
    return value.is_null() ? "" : value.get<std::string>();
}

std::int64_t count_of(const json& object, const char* key) {
    const json value = find(object, key);
    return value.is_null() ? 0 : value.get<std::int64_t>();
}

Timing to_timing(const json& row) {
    return {{text_of(row, "task"), text_of(row, "kernels"), text_of(row, "products"), row.at("threads")},
            row.at("repetitions"),
            row.at("median_ms"),
            row.at("lower_quartile_ms"),
            row.at("upper_quartile_ms"),
            row.at("chars_per_s")};
}

BenchReport to_report(const json& fields, std::string file) {
    BenchReport report;
    report.file = std::move(file);
    const json machine = find(fields, "machine"), passed = find(find(fields, "self_check"), "passed");
    report.machine = text_of(machine, "processor");
    if (report.machine.empty()) report.machine = text_of(machine, "browser");
    report.cores = count_of(machine, "cores");
    report.date = text_of(fields, "date");
    report.parameters = count_of(fields, "parameters");
    report.length = count_of(fields, "length");
    report.sampling_steps = count_of(fields, "sampling_steps");
    report.training_batch = count_of(fields, "training_batch");
    report.training_optimizer = text_of(fields, "training_optimizer");
    report.passed = passed.is_null() || passed.get<bool>();
    for (const json& row : fields.at("results")) report.timings.push_back(to_timing(row));
    return report;
}

/// A contradiction that no schema can tell, as a clause; empty where there is none.
std::string contradiction(const std::vector<Timing>& timings) {
    for (auto timing = timings.begin(); timing != timings.end(); ++timing) {
        const std::string name = quote(describe(timing->work), 120);
        if (timing->lower_quartile_ms > timing->median_ms || timing->median_ms > timing->upper_quartile_ms)
            return fmt::format("the median of {} does not lie between its quartiles", name);
        if (std::any_of(timings.begin(), timing, [&](const Timing& other) { return other.work == timing->work; }))
            return fmt::format("it has the row {} twice", name);
    }
    return "";
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
    static const json schema = json::parse(bench_report_schema);
    const std::string file = quote(path.filename().string());
    const json fields =
        unwrap(parse_json(read_file(path, "the report", largest_file), fmt::format("the report {}", file)));
    if (const auto violation = schema_violation(fields, schema))
        stop(fmt::format("the report {} is not what folio bench --json writes: {}", file, *violation));
    BenchReport report = to_report(fields, file);
    if (const std::string why = contradiction(report.timings); !why.empty())
        stop(fmt::format("the report {} cannot be used: {}", file, why));
    return report;
}

}  // namespace folio
