#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/model/config.h"

namespace folio {

/// Kind of a tensor.
enum class TensorKind { embedding, filter, matrix, head };

/// One tensor of the denoiser: its name in the weights file, [rows, cols] = [out, in] (row-major), and its first
/// element in the parameter arena, in which all lie one behind another without gaps. A filter has a row for each
/// offset, ascending.
struct TensorSpec {
    std::string name;
    TensorKind kind;
    int rows, cols;
    std::size_t offset;

    std::size_t count() const { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols); }
};

/// The one list of tensors: calls f(const TensorSpec&) for each in arena order. c_q, c_k and c_v are neighbours, so
/// q|k|v is a single product with a [3 d_model, d_model] matrix.
template <class F>
void for_each_tensor(const ModelConfig& config, F&& f) {
    std::size_t offset = 0;
    const auto visit = [&](std::string name, TensorKind kind, int rows, int cols) {
        const TensorSpec tensor{std::move(name), kind, rows, cols, offset};
        f(tensor);
        offset += tensor.count();
    };
    const int d = config.d_model;
    visit("token_emb.weight", TensorKind::embedding, config.vocab_size, d);
    const bool article = config.trunk == Trunk::article;
    if (config.time_rows > 0 && !article) visit("time_emb.weight", TensorKind::embedding, config.time_rows, d);
    if (config.self_conditioning) {
        visit("self_emb.weight", TensorKind::embedding, config.vocab_size, d);
        visit("clean_emb.weight", TensorKind::embedding, 1, d);
    }
    // Filters are trained and kept as embeddings are, so they lie beside them.
    if (config.conv_taps() > 0) {
        for (int layer = 0; layer < config.n_layer; ++layer)
            visit("blocks." + std::to_string(layer) + ".mlp.conv.weight", TensorKind::filter, config.conv_taps(), d);
    }
    for (int layer = 0; layer < config.n_layer; ++layer) {
        const std::string block = "blocks." + std::to_string(layer) + ".";
        if (article) visit(block + "input.weight", TensorKind::matrix, d, d + config.time_rows);
        visit(block + "attn.c_q.weight", TensorKind::matrix, d, d);
        visit(block + "attn.c_k.weight", TensorKind::matrix, d, d);
        visit(block + "attn.c_v.weight", TensorKind::matrix, d, d);
        visit(block + "attn.c_proj.weight", TensorKind::matrix, d, d);
        visit(block + "mlp.c_fc.weight", TensorKind::matrix, config.d_ff, d);
        visit(block + "mlp.c_proj.weight", TensorKind::matrix, d, config.d_ff);
    }
    visit("output_head.weight", TensorKind::head, config.vocab_size, d);
}

/// The length of the parameter arena, in floats.
inline std::size_t parameter_count(const ModelConfig& config) {
    std::size_t count = 0;
    for_each_tensor(config, [&](const TensorSpec& tensor) { count += tensor.count(); });
    return count;
}

/// True for operands of matmuls, which an I8 model quantises; all other tensors stay f32.
inline bool is_multiplied(TensorKind kind) { return kind == TensorKind::matrix || kind == TensorKind::head; }

/// Offset of the filters in the arena, behind the embeddings.
inline std::size_t filter_offset(const ModelConfig& config) {
    const int rows = config.trunk == Trunk::article ? config.vocab_size : config.input_width();
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(config.d_model);
}

/// Floats of the embeddings and filters, the first ones of the arena.
inline std::size_t embedding_count(const ModelConfig& config) {
    const std::size_t taps = static_cast<std::size_t>(config.n_layer) * static_cast<std::size_t>(config.conv_taps());
    return filter_offset(config) + taps * static_cast<std::size_t>(config.d_model);
}

/// Output channels of all matrices and the head together: the scales of an I8 model, in arena order.
inline std::size_t channel_count(const ModelConfig& config) {
    std::size_t count = 0;
    for_each_tensor(config, [&](const TensorSpec& tensor) {
        if (is_multiplied(tensor.kind)) count += static_cast<std::size_t>(tensor.rows);
    });
    return count;
}

/// The values of a model: the whole arena in f32, on the device; or in host memory the embeddings in f32, and of the
/// rest s8 numbers and the scale of each output channel.
struct Parameters {
    const float* f32 = nullptr;
    const std::int8_t* s8 = nullptr;
    const float* scale = nullptr;

    Parameters(const float* f32, const std::int8_t* s8 = nullptr, const float* scale = nullptr)
        : f32(f32), s8(s8), scale(scale) {}
};

}  // namespace folio
