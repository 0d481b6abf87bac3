#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/model/denoiser.h"
#include "core/predict/autoregressive_predictor.h"
#include "core/weights/model_file.h"
#include "native/host/devices.h"

namespace folio {

/// A weights file, read and checked; the end of the command where it is none.
ModelFile load_model(const std::string& path);
/// The same from a file's bytes; `path` names it in the sentence.
ModelFile parse_model(std::string_view bytes, const std::string& path);

/// Metadata key of a training run's checkpoint, which is a safetensors file too.
inline constexpr const char* checkpoint_key = "folio.checkpoint";
/// True if a safetensors file declares itself a checkpoint.
bool is_checkpoint(const SafetensorsFile& file);

/// A denoiser for inference out of parameters in host memory.
Denoiser make_denoiser(Ops& ops, const ModelConfig& config, std::span<const float> parameters);
Denoiser make_denoiser(Ops& ops, const ModelFile& model);

/// A model read from a file, on the device that the options choose.
struct LoadedModel {
    ModelFile file;
    Device device;
    Denoiser denoiser;

    LoadedModel(const std::string& path, const DeviceOptions& options);
};

/// The model as a proofreader of samples of another; the end of the command where it cannot be one.
Proofreader as_proofreader(LoadedModel& model, const ModelFile& sampled);

/// The prompt of a sample that is to begin as a text does: none where the model begins by itself, else `id`, a
/// character of the text. An autoregressive model whose vocabulary has no newline cannot begin by itself.
std::string opening_prompt(const ModelFile& model, int id);

}  // namespace folio
