#include "core/weights/process_format.h"

#include <iterator>

#include "core/base/text.h"

namespace folio {

namespace {

#define FOLIO_FORMAT(kind, name) &kind##_format,
constexpr const ProcessFormat* formats[] = {FOLIO_FOR_EACH_PROCESS(FOLIO_FORMAT)};
#undef FOLIO_FORMAT

const ProcessFormat& format_of(ProcessKind kind) { return *formats[static_cast<int>(kind)]; }

/// "a, b and c".
std::string list_of_processes() {
    std::string list;
    const auto count = std::size(process_names);
    for (std::size_t i = 0; i < count; ++i)
        list += (i == 0 ? "" : i + 1 == count ? " and " : ", ") + std::string(process_names[i]);
    return list;
}

}  // namespace

Result<ProcessConfig> read_process(const nlohmann::json& object) {
    Fields fields(object, "the weights file's folio.process");
    const std::string kind = fields.string("kind");
    if (fields.error()) return fail(fields.error()->sentence);
    for (std::size_t i = 0; i < std::size(process_names); ++i)
        if (kind == process_names[i]) return formats[i]->read(fields);
    return fail("the weights file holds a model of the unknown kind " + quote(kind) + "; known are " +
                list_of_processes());
}

std::string write_process(const ProcessConfig& process) {
    nlohmann::ordered_json object{{"kind", name_of(process.kind)}};
    format_of(process.kind).write(process, object);
    return object.dump();
}

Result<void> check_process(const ProcessConfig& process, const ModelConfig& config) {
    return format_of(process.kind).check(process, config);
}

}  // namespace folio
