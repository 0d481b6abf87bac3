#include "native/training/checkpoint.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "core/base/text.h"
#include "core/model/parameters.h"
#include "core/weights/json.h"
#include "native/host/failure.h"
#include "native/host/models.h"
#include "native/training/settings.h"

namespace folio {
namespace {

using nlohmann::json;

/// The state's numbers by the names of their tensors: as many as parameters, or as a Gaussian run watches noise levels.
template <class State>
auto arenas(State& state, ProcessKind process) {
    std::vector result{std::pair{"parameters", &state.parameters}, std::pair{"average", &state.average},
                       std::pair{"moment1", &state.moment1}, std::pair{"moment2", &state.moment2}};
    if (process == ProcessKind::gaussian) {
        result.emplace_back("loss_sums", &state.losses.sums);
        result.emplace_back("loss_counts", &state.losses.counts);
    }
    return result;
}

/// SHA-256 of the sums of all the state's numbers, one arena after another.
std::string checksum(const Checkpoint& checkpoint) {
    std::string sums;
    for (const auto& [name, arena] : arenas(checkpoint.state, checkpoint.model.process.kind)) {
        sums += sha256({reinterpret_cast<const char*>(arena->data()), arena->size() * sizeof(*arena->data())});
    }
    return sha256(sums);
}

/// A file name for JSON, which holds UTF-8 alone: one that is not stays unknown.
std::string to_json_name(const fs::path& path) {
    const std::string name = path.string();
    char32_t code = 0;
    for (std::size_t position = 0; position < name.size();) {
        if (!decode_utf8(name, position, code)) return "";
    }
    return name;
}

}  // namespace

void write_checkpoint(const fs::path& path, const Checkpoint& checkpoint) {
    const RunPosition& at = checkpoint.position;
    Metadata metadata = write_metadata(checkpoint.model);
    metadata[checkpoint_key] = json{
        {"version", 2},
        {"settings", checkpoint.settings},
        {"text", checkpoint.text_checksum},
        {"text_file", to_json_name(checkpoint.text_file)},
        {"kernels", checkpoint.kernels},
        {"step", at.step},
        {"loss_sum", at.loss_sum},
        {"loss_count", at.loss_count},
        {"best_nll", at.best_nll},
        {"best_step", at.best_step},
        {"validations_since_best", at.validations_since_best},
        {"lr_factor", at.lr_factor},
        {"rollbacks", at.rollbacks},
        {"elapsed_s", at.elapsed_s},
        {"checksum",
         checksum(checkpoint)}}.dump();
    std::vector<TensorView> tensors;
    for (const auto& [name, arena] : arenas(checkpoint.state, checkpoint.model.process.kind)) {
        tensors.push_back({name, Dtype::f32, {arena->size()}, std::as_bytes(std::span(*arena))});
    }
    write_file(path, [&](const ByteSink& sink) { return write_safetensors(metadata, tensors, sink); });
}

Checkpoint read_checkpoint(const fs::path& path) {
    const auto refuse = [&](const std::string& why) {
        stop(
            fmt::format("the checkpoint {} cannot be used: {}; begin another run, from last.safetensors beside it by "
                        "--init or anew",
                        quote_path(path), why));
    };
    const auto take = [&](auto result) {
        if (!result) refuse(result.error().sentence);
        return std::move(*result);
    };
    const std::string bytes = read_file(path, "the checkpoint", std::size_t{16} << 30);
    const SafetensorsFile file = take(read_safetensors(std::as_bytes(std::span(bytes))));
    if (!is_checkpoint(file)) refuse("it is no checkpoint of a training run");
    const json fields = take(parse_json(file.metadata.at(checkpoint_key), checkpoint_key));

    Checkpoint checkpoint;
    checkpoint.model = take(read_metadata(file.metadata));
    RunPosition& at = checkpoint.position;
    std::string written;
    try {
        if (fields.at("version").get<int>() != 2) refuse("it was written by another version of Folio");
        // Settings that are newer than the checkpoint stand as they were before there was a choice.
        checkpoint.settings = default_settings(preset_of(fields.at("settings")));
        if (checkpoint.settings.contains("conv-radius"))
            checkpoint.settings["conv-radius"] = checkpoint.model.config.conv_radius;
        if (checkpoint.settings.contains("mask-rate")) checkpoint.settings["mask-rate"] = "uniform";
        checkpoint.settings.update(fields.at("settings"));
        if (!is_complete(checkpoint.settings) ||
            preset_of(checkpoint.settings).process != checkpoint.model.process.kind)
            refuse("its settings are incomplete");
        checkpoint.text_checksum = fields.at("text").get<std::string>();
        checkpoint.text_file = fields.value("text_file", std::string());
        checkpoint.kernels = fields.at("kernels").get<std::string>();
        at.step = fields.at("step").get<int>();
        at.loss_sum = fields.at("loss_sum").get<double>();
        at.loss_count = fields.at("loss_count").get<int>();
        at.best_nll = fields.at("best_nll").get<double>();
        at.best_step = fields.at("best_step").get<int>();
        at.validations_since_best = fields.at("validations_since_best").get<int>();
        at.lr_factor = fields.at("lr_factor").get<double>();
        at.rollbacks = fields.at("rollbacks").get<int>();
        at.elapsed_s = fields.at("elapsed_s").get<double>();
        written = fields.at("checksum").get<std::string>();
    } catch (const json::exception&) {
        refuse(fmt::format("its {} is incomplete", checkpoint_key));
    }
    if (at.step < 0 || at.loss_count < 0) refuse("its position is no position");
    for (const auto& [name, arena] : arenas(checkpoint.state, checkpoint.model.process.kind)) {
        const std::size_t count = arena->empty() ? parameter_count(checkpoint.model.config) : arena->size();
        const TensorView* tensor = file.find(name);
        if (!tensor || tensor->dtype != Dtype::f32 || tensor->count() != count || !all_finite(*tensor)) {
            refuse(fmt::format("its {} are missing or do not fit the model", name));
        }
        arena->resize(count);
        to_floats(*tensor, arena->data());
    }
    if (written != checksum(checkpoint)) refuse("its numbers are not those that were written");
    return checkpoint;
}

}  // namespace folio
