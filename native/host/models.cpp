#include "native/host/models.h"

#include <fmt/format.h>

#include "core/base/text.h"
#include "native/host/failure.h"
#include "native/host/files.h"

namespace folio {

ModelFile load_model(const std::string& path) { return parse_model(read_file(path, "the weights file"), path); }

ModelFile parse_model(std::string_view bytes, const std::string& path) {
    auto model = read_model(std::as_bytes(std::span(bytes)));
    if (!model) {
        const auto file = read_safetensors(std::as_bytes(std::span(bytes)));
        if (file && is_checkpoint(*file)) {
            stop(fmt::format(
                "{} is the checkpoint of a training run, to go on from; its weights are beside it, in last.safetensors",
                quote_path(path)));
        }
    }
    return unwrap(std::move(model), quote_path(path));
}

bool is_checkpoint(const SafetensorsFile& file) { return file.metadata.contains(checkpoint_key); }

Denoiser make_denoiser(Ops& ops, const ModelConfig& config, std::span<const float> parameters) {
    const Storage storage = unwrap(ops.allocate(parameters.size_bytes()));
    ops.upload(storage.as<float>(), parameters.data(), parameters.size_bytes());
    return unwrap(Denoiser::create(ops, config, storage.as<float>(), false));
}

Denoiser make_denoiser(Ops& ops, const ModelFile& model) {
    if (model.exact()) return unwrap(Denoiser::create(ops, model.config, model.values(), false));
    return make_denoiser(ops, model.config, model.parameters);
}

LoadedModel::LoadedModel(const std::string& path, const DeviceOptions& options)
    : file(load_model(path)), device(options, file), denoiser(make_denoiser(device.ops(), file)) {}

std::string opening_prompt(const ModelFile& model, int id) {
    if (!model.config.causal || model.vocabulary.encode(U'\n')) return "";
    return model.vocabulary.decode({&id, 1});
}

Proofreader as_proofreader(LoadedModel& model, const ModelFile& sampled) {
    auto ids = proofreader_ids(sampled, model.file);
    if (!ids) wrong_usage(ids.error().sentence);
    return {std::move(*ids), autoregressive_predictor(model.denoiser)};
}

}  // namespace folio
