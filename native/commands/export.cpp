#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/models.h"
#include "native/host/options.h"

namespace folio {
namespace {

struct ExportCommand {
    std::string weights, dtype, out;
    bool as_json = false;

    void execute() const {
        if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
        if (dtype.empty()) wrong_usage("a dtype is missing; name it with --dtype");
        if (out.empty()) wrong_usage("a file to write is missing; name it with --out");
        refuse_overwrite(out, {weights});
        if (as_json) refuse_stdout(out);
        const ModelFile model = load_model(weights);
        write_file(out, [&](const ByteSink& sink) {
            return write_model(model, dtype == "int8" ? Dtype::i8 : dtype == "f16" ? Dtype::f16 : Dtype::f32, sink);
        });
        if (as_json) {
            const std::string bytes = read_file(out, "the weights file");
            fmt::print("{}\n", to_text(nlohmann::ordered_json{
                                   {"file", out}, {"bytes", bytes.size()}, {"sha256", sha256(bytes)}}));
        }
    }
};

}  // namespace

void add_export(CLI::App& program) {
    CLI::App& command = add_command(program, "export", "Write a weights file in another dtype");
    const auto options = std::make_shared<ExportCommand>();
    add_name(command, "--weights", options->weights, "weights file");
    add_choice(command, "--dtype", {"f32", "f16", "int8"}, options->dtype, "element type");
    add_name(command, "--out", options->out, "file to write");
    add_flag(command, "--json", options->as_json, "what was written as JSON");
    on_call(command, [options] { options->execute(); });
}

}  // namespace folio
