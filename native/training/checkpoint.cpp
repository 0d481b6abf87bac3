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

constexpr int format_version = 2;

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

/// Calls f(name, member) for each member, by its name in the file.
template <class Position, class F>
void for_each_member(Position& position, F&& f) {
    f("step", position.step);
    f("loss_sum", position.loss_sum);
    f("loss_count", position.loss_count);
    f("best_nll", position.best_nll);
    f("best_step", position.best_step);
    f("validations_since_best", position.validations_since_best);
    f("lr_factor", position.lr_factor);
    f("rollbacks", position.rollbacks);
    f("elapsed_s", position.elapsed_s);
}

/// Reads one file; whatever it lacks ends the command with a sentence that names the file.
class Reader {
public:
    explicit Reader(const fs::path& path) : path_(path) {}

    Checkpoint read() const;

private:
    [[noreturn]] void refuse(const std::string& why) const;
    template <class T>
    T take(Result<T> result) const {
        if (!result) refuse(result.error().sentence);
        return std::move(*result);
    }
    /// Reads all but model and state; throws where `fields` lacks something.
    void read_fields(Checkpoint& checkpoint, const json& fields) const;
    void read_arenas(Checkpoint& checkpoint, const SafetensorsFile& file) const;

    const fs::path& path_;
};

void Reader::refuse(const std::string& why) const {
    stop(
        fmt::format("the checkpoint {} cannot be used: {}; begin another run, from last.safetensors beside it by "
                    "--init or anew",
                    quote_path(path_), why));
}

Checkpoint Reader::read() const {
    const std::string bytes = read_file(path_, "the checkpoint", std::size_t{16} << 30);
    const SafetensorsFile file = take(read_safetensors(std::as_bytes(std::span(bytes))));
    if (!is_checkpoint(file)) refuse("it is no checkpoint of a training run");
    const json fields = take(parse_json(file.metadata.at(checkpoint_key), checkpoint_key));
    Checkpoint checkpoint;
    checkpoint.model = take(read_metadata(file.metadata));
    std::string written;
    try {
        read_fields(checkpoint, fields);
        written = fields.at("checksum").get<std::string>();
    } catch (const json::exception&) {
        refuse(fmt::format("its {} is incomplete", checkpoint_key));
    }
    read_arenas(checkpoint, file);
    if (written != checksum(checkpoint)) refuse("its numbers are not those that were written");
    return checkpoint;
}

void Reader::read_fields(Checkpoint& checkpoint, const json& fields) const {
    if (fields.at("version").get<int>() != format_version) refuse("it was written by another version of Folio");
    // Settings that are newer than the checkpoint stand as they were before there was a choice.
    json& settings = checkpoint.settings;
    settings = default_settings(preset_of(fields.at("settings")));
    if (settings.contains("conv-radius")) settings["conv-radius"] = checkpoint.model.config.conv_radius;
    if (settings.contains("mask-rate")) settings["mask-rate"] = "uniform";
    settings.update(fields.at("settings"));
    if (!is_complete(settings) || preset_of(settings).process != checkpoint.model.process.kind)
        refuse("its settings are incomplete");
    checkpoint.text_checksum = fields.at("text").get<std::string>();
    checkpoint.text_file = fields.value("text_file", std::string());
    checkpoint.kernels = fields.at("kernels").get<std::string>();
    for_each_member(checkpoint.position, [&](const char* name, auto& member) { fields.at(name).get_to(member); });
    if (checkpoint.position.step < 0 || checkpoint.position.loss_count < 0) refuse("its position is no position");
}

void Reader::read_arenas(Checkpoint& checkpoint, const SafetensorsFile& file) const {
    for (const auto& [name, arena] : arenas(checkpoint.state, checkpoint.model.process.kind)) {
        const std::size_t count = arena->empty() ? parameter_count(checkpoint.model.config) : arena->size();
        const TensorView* tensor = file.find(name);
        if (!tensor || tensor->dtype != Dtype::f32 || tensor->count() != count || !all_finite(*tensor)) {
            refuse(fmt::format("its {} are missing or do not fit the model", name));
        }
        arena->resize(count);
        to_floats(*tensor, arena->data());
    }
}

}  // namespace

void write_checkpoint(const fs::path& path, const Checkpoint& checkpoint) {
    json fields{{"version", format_version},        {"settings", checkpoint.settings},
                {"text", checkpoint.text_checksum}, {"text_file", to_json_name(checkpoint.text_file)},
                {"kernels", checkpoint.kernels},    {"checksum", checksum(checkpoint)}};
    for_each_member(checkpoint.position, [&](const char* name, auto value) { fields[name] = value; });
    Metadata metadata = write_metadata(checkpoint.model);
    metadata[checkpoint_key] = fields.dump();
    std::vector<TensorView> tensors;
    for (const auto& [name, arena] : arenas(checkpoint.state, checkpoint.model.process.kind)) {
        tensors.push_back({name, Dtype::f32, {arena->size()}, std::as_bytes(std::span(*arena))});
    }
    write_file(path, [&](const ByteSink& sink) { return write_safetensors(metadata, tensors, sink); });
}

Checkpoint read_checkpoint(const fs::path& path) { return Reader(path).read(); }

}  // namespace folio
