#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "core/model/parameters.h"
#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/models.h"
#include "native/host/options.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

struct InfoCommand {
    std::string file;
    bool as_json = false;

    void execute() const;
};

void InfoCommand::execute() const {
    if (file.empty()) wrong_usage("a weights file is missing; name it behind the command");
    const std::string bytes = read_file(file, "the weights file");
    const ModelFile model = parse_model(bytes, file);
    const SafetensorsFile tensors = unwrap(read_safetensors(std::as_bytes(std::span(bytes))));

    const Metadata metadata = write_metadata(model);
    ordered_json report;
    for (const char* key : {"config", "process", "vocab", "training"}) {
        const auto entry = metadata.find(std::string("folio.") + key);
        report[key] = entry == metadata.end() ? ordered_json() : ordered_json::parse(entry->second);
    }
    report["parameters"] = parameter_count(model.config);
    report["bytes"] = bytes.size();
    report["sha256"] = sha256(bytes);
    ordered_json& list = report["tensors"] = ordered_json::array();
    for (const TensorView& tensor : tensors.tensors) {
        list.push_back({{"name", tensor.name}, {"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}});
    }
    // Escaped to ASCII: no character out of the file reaches the terminal as it is.
    if (as_json) {
        fmt::print("{}\n", report.dump(-1, ' ', true));
        return;
    }
    for (const auto& [key, value] : report.items()) {
        if (key != "tensors") fmt::print("{:<11} {}\n", key, value.dump(-1, ' ', true));
    }
    for (const auto& tensor : list) {
        fmt::print("{:<6} {:<14} {}\n", tensor["dtype"].get<std::string>(), tensor["shape"].dump(),
                   tensor["name"].get<std::string>());
    }
}

}  // namespace

void add_info(CLI::App& program) {
    CLI::App& command = add_command(program, "info", "Show what a weights file holds");
    const auto options = std::make_shared<InfoCommand>();
    add_name(command, "weights", options->file, "weights file");
    add_flag(command, "--json", options->as_json, "as JSON");
    on_call(command, [options] { options->execute(); });
}

}  // namespace folio
