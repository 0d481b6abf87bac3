#pragma once

#include <cstring>
#include <string>

#include "core/model/parameters.h"
#include "core/weights/model_file.h"

namespace folio {

/// A safetensors file of any header and data, however broken.
inline std::string file_of(const std::string& header, const std::string& data = "") {
    const std::uint64_t length = header.size();
    std::string file(8, '\0');
    std::memcpy(file.data(), &length, 8);
    return file + header + data;
}

inline std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

/// Appends whatever is written to a string.
inline ByteSink into(std::string& text) {
    return [&text](std::span<const std::byte> piece) -> Result<void> {
        text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        return {};
    };
}

/// A model of some 150 parameters over "ab\n" and a trailing [MASK].
inline ModelFile tiny_model() {
    ModelFile model;
    model.config = {
        .vocab_size = 4, .seq_len = 8, .d_model = 4, .n_layer = 1, .n_head = 1, .d_ff = 6, .norm_eps = 0.0009765625f};
    model.process.mask_id = 3;
    model.vocabulary = *Vocabulary::of_text("ba\nab");
    model.training = R"({"steps":10,"recipe":"test"})";
    for (std::size_t i = 0; i < parameter_count(model.config); ++i) {
        model.parameters.push_back(static_cast<float>(static_cast<int>(i % 17) - 8) / 8.0f);
    }
    return model;
}

inline std::string written(const ModelFile& model, Dtype dtype) {
    std::string text;
    return write_model(model, dtype, into(text)) ? text : "";
}
/// As it is, without rounding.
inline std::string written(const ModelFile& model) { return written(model, model.exact() ? Dtype::i8 : Dtype::f32); }

inline bool same(const ModelFile& a, const ModelFile& b) {
    const ModelConfig &x = a.config, &y = b.config;
    return x.trunk == y.trunk && x.vocab_size == y.vocab_size && x.seq_len == y.seq_len && x.d_model == y.d_model &&
           x.n_layer == y.n_layer && x.n_head == y.n_head && x.d_ff == y.d_ff && x.norm_eps == y.norm_eps &&
           x.causal == y.causal && x.time_rows == y.time_rows && a.process.kind == b.process.kind &&
           a.process.mask_id == b.process.mask_id && a.vocabulary == b.vocabulary && a.training == b.training &&
           a.quantised == b.quantised && a.scales == b.scales && a.parameters.size() == b.parameters.size() &&
           std::memcmp(a.parameters.data(), b.parameters.data(), a.parameters.size() * sizeof(float)) == 0;
}

}  // namespace folio
