#include "core/weights/model_file.h"

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstring>
#include <limits>
#include <optional>

#include "core/base/text.h"
#include "core/model/parameters.h"
#include "core/weights/json.h"
#include "core/weights/process_format.h"
#include "core/weights/quantise.h"

namespace folio {
namespace {

using nlohmann::json;

/// The JSON of one key of the metadata; an object where `object` says so.
Result<json> parse_entry(const Metadata& metadata, const std::string& key, bool object) {
    const auto found = metadata.find(key);
    if (found == metadata.end()) {
        return fail("the weights file has no " + key +
                    " in its metadata, so it is no Folio model; add it as weights/README.md describes");
    }
    auto parsed = parse_json(found->second, "the weights file's " + key);
    if (parsed && object && !parsed->is_object()) return fail("the weights file's " + key + " is no JSON object");
    return parsed;
}

Result<ModelConfig> read_config(const json& object) {
    Fields fields(object, "the weights file's folio.config");
    const int version = fields.integer("version");
    if (fields.error()) return fail(fields.error()->sentence);
    if (version != 1) {
        return fail("the weights file's folio.config is of version " + std::to_string(version) +
                    ", but this program reads version 1; use a newer Folio");
    }
    const std::string trunk = fields.string("trunk");
    ModelConfig config;
    config.vocab_size = fields.integer("vocab_size");
    config.seq_len = fields.integer("seq_len");
    config.d_model = fields.integer("d_model");
    config.n_layer = fields.integer("n_layer");
    config.n_head = fields.integer("n_head");
    config.d_ff = fields.integer("d_ff");
    config.norm_eps = fields.number("norm_eps", config.norm_eps);
    config.causal = fields.boolean("causal");
    config.time_rows = fields.integer("time_rows");
    if (object.contains("conv_radius")) config.conv_radius = fields.integer("conv_radius");
    if (object.contains("input")) {
        const std::string input = fields.string("input");
        if (!fields.error() && input != "mixture")
            return fail("the weights file's model takes " + quote(input) + " as its input, but only mixture is known");
        config.soft_tokens = true;
        config.self_conditioning = fields.boolean("self_conditioning");
    }
    if (fields.error()) return fail(fields.error()->sentence);
    config.trunk = trunk == "article" ? Trunk::article : Trunk::modern;
    if (trunk != "article" && trunk != "modern")
        return fail("the weights file's model has the unknown trunk " + quote(trunk));
    if (const auto valid = validate(config); !valid) {
        return fail("the weights file cannot be used: " + valid.error().sentence);
    }
    return config;
}

/// The vocabulary of folio.vocab, a trailing [MASK] left out.
Result<Vocabulary> read_vocabulary(std::string list, int vocab_size, int mask_id) {
    const std::string last = "\uFFFD";
    auto vocabulary = Vocabulary::of_list(list);
    if (vocabulary && vocabulary->size() == vocab_size && mask_id == vocab_size - 1 && list.ends_with(last)) {
        list.resize(list.size() - last.size());
        vocabulary = Vocabulary::of_list(list);
    }
    if (!vocabulary) return fail("the weights file cannot be used: " + vocabulary.error().sentence);
    if (mask_id >= 0 && vocabulary->character(mask_id) != no_character) {
        return fail("the weights file's folio.vocab gives [MASK], id " + std::to_string(mask_id) + ", the character " +
                    describe_character(vocabulary->character(mask_id)) + " where U+FFFD belongs");
    }
    if (vocabulary->size() != (mask_id >= 0 && mask_id == vocab_size - 1 ? mask_id : vocab_size)) {
        return fail("the weights file's folio.vocab lists " + std::to_string(vocabulary->size()) +
                    " characters, which does not fit its vocab_size of " + std::to_string(vocab_size));
    }
    return vocabulary;
}

/// The same JSON in printable ASCII: beyond ASCII there is nothing outside of strings, controls are but white space.
std::string printable(std::string_view text) {
    std::string result;
    const auto escape = [&](char32_t unit) {
        constexpr char digits[] = "0123456789abcdef";
        result += "\\u";
        for (int shift = 12; shift >= 0; shift -= 4) result += digits[unit >> shift & 0xF];
    };
    for (std::size_t place = 0; place < text.size();) {
        char32_t code;
        decode_utf8(text, place, code);
        if (code < 0x20) {
            result += ' ';
        } else if (code < 0x7F) {
            result += static_cast<char>(code);
        } else if (code < 0x10000) {
            escape(code);
        } else {
            escape(0xD800 + ((code - 0x10000) >> 10));
            escape(0xDC00 + (code & 0x3FF));
        }
    }
    return result;
}

std::string shape_text(std::span<const std::uint64_t> shape) {
    std::string text;
    for (const std::uint64_t extent : shape) text += (text.empty() ? "" : ", ") + std::to_string(extent);
    return "[" + text + "]";
}

using Shape = std::vector<std::uint64_t>;

Shape shape_of(const TensorSpec& tensor) {
    return {static_cast<std::uint64_t>(tensor.rows), static_cast<std::uint64_t>(tensor.cols)};
}

/// One tensor of the file against what the configuration asks for. `exact`: whether the matrices are I8.
Result<void> check_tensor(const std::string& name, TensorKind kind, const Shape& shape, const TensorView* tensor,
                          bool exact) {
    if (tensor == nullptr) return fail("the weights file lacks the tensor " + name);
    if (kind == TensorKind::filter && tensor->dtype != Dtype::f32) {
        return fail("the weights file's tensor " + name + " is " + std::string(name_of(tensor->dtype)) +
                    ", but filters are F32");
    }
    if (kind == TensorKind::embedding && tensor->dtype == Dtype::i8) {
        return fail("the weights file's tensor " + name + " is of I8, but embeddings are not quantised");
    }
    if (is_multiplied(kind) && (tensor->dtype == Dtype::i8) != exact) {
        return fail("the weights file's tensor " + name + " is " + std::string(name_of(tensor->dtype)) +
                    " and its head is " + (exact ? "" : "not ") +
                    "I8; either all matrices and the head are I8 or none; export it again");
    }
    if (tensor->shape != shape) {
        return fail("the weights file's tensor " + name + " has the shape " + shape_text(tensor->shape) +
                    ", but its configuration asks for " + shape_text(shape));
    }
    if (!all_finite(*tensor)) return fail("the weights file's tensor " + name + " holds values that are not finite");
    return {};
}

Result<void> check_scale(const std::string& name, const Shape& shape, const TensorView* tensor) {
    if (tensor == nullptr) return fail("the weights file lacks the tensor " + name);
    if (tensor->dtype != Dtype::f32 || tensor->shape != shape) {
        return fail("the weights file's tensor " + name + " is " + std::string(name_of(tensor->dtype)) + " " +
                    shape_text(tensor->shape) + ", but scales are F32 " + shape_text(shape));
    }
    std::vector<float> values(tensor->count());
    to_floats(*tensor, values.data());
    if (!std::all_of(values.begin(), values.end(),
                     [](float value) { return value > 0 && value <= std::numeric_limits<float>::max(); })) {
        return fail("the weights file's tensor " + name + " holds scales that are not positive and finite");
    }
    return {};
}

}  // namespace

Metadata write_metadata(const ModelFile& model) {
    const ModelConfig& config = model.config;
    char eps[32];
    std::snprintf(eps, sizeof eps, "%.9g", config.norm_eps);  // to_chars of floats is missing in Debian's wasm libc++
    const auto field = [](const char* key, int value) {
        return std::string(",\"") + key + "\":" + std::to_string(value);
    };
    Metadata metadata{
        {"folio.config",
         "{\"version\":1,\"trunk\":\"" + std::string(config.trunk == Trunk::article ? "article" : "modern") + '"' +
             field("vocab_size", config.vocab_size) + field("seq_len", config.seq_len) +
             field("d_model", config.d_model) + field("n_layer", config.n_layer) + field("n_head", config.n_head) +
             field("d_ff", config.d_ff) + ",\"norm_eps\":" + eps + ",\"causal\":" + (config.causal ? "true" : "false") +
             field("time_rows", config.time_rows) +
             (config.conv_radius > 0 ? field("conv_radius", config.conv_radius) : "") +
             (config.soft_tokens ? std::string(",\"input\":\"mixture\",\"self_conditioning\":") +
                                       (config.self_conditioning ? "true" : "false")
                                 : "") +
             "}"},
        {"folio.process", write_process(model.process)},
        {"folio.vocab", json(model.vocabulary.list()).dump()},
    };
    if (!model.training.empty()) metadata["folio.training"] = model.training;
    return metadata;
}

Result<ModelFile> read_metadata(const Metadata& metadata) {
    const auto process_json = parse_entry(metadata, "folio.process", true);
    if (!process_json) return tl::unexpected(process_json.error());
    const auto process = read_process(*process_json);
    if (!process) return tl::unexpected(process.error());

    const auto config_json = parse_entry(metadata, "folio.config", true);
    if (!config_json) return tl::unexpected(config_json.error());
    const auto config = read_config(*config_json);
    if (!config) return tl::unexpected(config.error());
    if (auto checked = check_process(*process, *config); !checked) return tl::unexpected(checked.error());

    const auto list = parse_entry(metadata, "folio.vocab", false);
    if (!list) return tl::unexpected(list.error());
    if (!list->is_string()) return fail("the weights file's folio.vocab is no JSON string");
    auto vocabulary = read_vocabulary(list->get<std::string>(), config->vocab_size, process->mask_id);
    if (!vocabulary) return tl::unexpected(vocabulary.error());

    std::string training;
    if (const auto found = metadata.find("folio.training"); found != metadata.end()) {
        const auto parsed = parse_json(found->second, "the weights file's folio.training");
        if (!parsed) return tl::unexpected(parsed.error());
        training = printable(found->second);
    }
    return ModelFile{*config, *process, std::move(*vocabulary), std::move(training), {}, {}, {}};
}

Result<ModelFile> read_model(std::span<const std::byte> bytes) {
    const auto file = read_safetensors(bytes);
    if (!file) return fail("the weights file is damaged: " + file.error().sentence + "; fetch or export it again");
    auto model = read_metadata(file->metadata);
    if (!model) return model;

    // Sorted by name, so that the search costs nothing however many tensors a file claims.
    std::map<std::string_view, const TensorView*> tensors;
    for (const TensorView& tensor : file->tensors) tensors[tensor.name] = &tensor;
    const auto take = [&](const std::string& name) {
        const auto entry = tensors.find(name);
        const TensorView* tensor = entry == tensors.end() ? nullptr : entry->second;
        if (tensor != nullptr) tensors.erase(entry);
        return tensor;
    };
    const TensorView* head = file->find("output_head.weight");
    const bool exact = head != nullptr && head->dtype == Dtype::i8;
    struct Found {
        const TensorView *values, *scale;
    };
    std::vector<Found> found;
    Result<void> fits;
    for_each_tensor(model->config, [&](const TensorSpec& wanted) {
        if (!fits) return;
        const bool scaled = exact && is_multiplied(wanted.kind);
        const Shape shape = shape_of(wanted);
        found.push_back({take(wanted.name), scaled ? take(wanted.name + ".scale") : nullptr});
        fits = check_tensor(wanted.name, wanted.kind, shape, found.back().values, exact);
        if (fits && scaled) fits = check_scale(wanted.name + ".scale", {shape[0]}, found.back().scale);
    });
    if (!fits) return tl::unexpected(fits.error());
    if (!tensors.empty()) {
        return fail("the weights file holds the tensor " + quote(tensors.begin()->first) +
                    ", which its configuration knows nothing of");
    }

    const std::size_t floats = exact ? embedding_count(model->config) : parameter_count(model->config);
    model->parameters.resize(floats);
    model->quantised.resize(parameter_count(model->config) - floats);
    model->scales.resize(exact ? channel_count(model->config) : 0);
    float *out = model->parameters.data(), *scale = model->scales.data();
    std::int8_t* whole = model->quantised.data();
    for (const auto& [values, its_scale] : found) {
        if (its_scale == nullptr) {
            to_floats(*values, out);
            out += values->count();
            continue;
        }
        std::memcpy(whole, values->data.data(), values->data.size());
        whole += values->count();
        to_floats(*its_scale, scale);
        scale += its_scale->count();
    }
    return model;
}

Result<ProofreaderIds> proofreader_ids(const ModelFile& sampled, const ModelFile& file) {
    if (sampled.process.kind == ProcessKind::autoregressive) {
        return fail(
            "An autoregressive model is not proofread, as it has chosen each character by all before it; sample a "
            "masked or Gaussian one.");
    }
    if (file.process.kind != ProcessKind::autoregressive) {
        return fail("The proofreader must be an autoregressive model, such as weights/gpt-small.safetensors.");
    }
    auto ids = sampled.vocabulary.ids_in(file.vocabulary);
    if (!ids)
        return fail("The proofreader must have the characters of the sampled model; " + ids.error().sentence + ".");
    ids->resize(static_cast<std::size_t>(sampled.config.vocab_size), -1);
    return ProofreaderIds{std::move(*ids), file.vocabulary.id(U'\n')};
}

Result<void> write_model(const ModelFile& model, Dtype dtype, const ByteSink& sink) {
    assert(dtype != Dtype::bf16);
    if (dtype != Dtype::i8 && model.exact()) return write_model(dequantise(model), dtype, sink);
    std::vector<TensorView> tensors;
    Result<void> finite;
    const auto put = [&](const std::string& name, Dtype kind, Shape shape, std::span<const std::byte> data) {
        tensors.push_back({name, kind, std::move(shape), data});
        if (finite && !all_finite(tensors.back())) {
            finite = fail("the tensor " + name + " holds values that are not finite" +
                          (kind == Dtype::f16 ? " or beyond the 65504 that f16 reaches; write f32 instead" : ""));
        }
    };
    const auto put_floats = [&](const TensorSpec& tensor) {
        const auto values = std::span(model.parameters).subspan(tensor.offset, tensor.count());
        put(tensor.name, Dtype::f32, shape_of(tensor), std::as_bytes(values));
    };

    if (dtype == Dtype::i8) {
        if (!model.exact()) {
            for_each_tensor(model.config, put_floats);
            if (!finite) return finite;
            return quantise(model).and_then([&](const ModelFile& exact) { return write_model(exact, dtype, sink); });
        }
        for_each_tensor(model.config, [&](const TensorSpec& tensor) {
            if (!is_multiplied(tensor.kind)) put_floats(tensor);
        });
        std::span<const std::byte> whole = std::as_bytes(std::span(model.quantised)),
                                   scales = std::as_bytes(std::span(model.scales));
        for_each_tensor(model.config, [&](const TensorSpec& tensor) {
            if (!is_multiplied(tensor.kind)) return;
            const auto rows = static_cast<std::uint64_t>(tensor.rows);
            put(tensor.name, Dtype::i8, shape_of(tensor), whole.first(tensor.count()));
            put(tensor.name + ".scale", Dtype::f32, {rows}, scales.first(rows * sizeof(float)));
            whole = whole.subspan(tensor.count());
            scales = scales.subspan(rows * sizeof(float));
        });
        return finite ? write_safetensors(write_metadata(model), tensors, sink) : finite;
    }

    assert(model.parameters.size() == parameter_count(model.config));
    std::vector<std::uint16_t> halves(dtype == Dtype::f16 ? model.parameters.size() : 0);
    for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = to_f16(model.parameters[i]);
    for_each_tensor(model.config, [&](const TensorSpec& tensor) {
        if (dtype == Dtype::f32 || tensor.kind == TensorKind::filter) return put_floats(tensor);
        put(tensor.name, Dtype::f16, shape_of(tensor),
            std::as_bytes(std::span(halves).subspan(tensor.offset, tensor.count())));
    });
    return finite ? write_safetensors(write_metadata(model), tensors, sink) : finite;
}

}  // namespace folio
