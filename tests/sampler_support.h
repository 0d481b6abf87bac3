#pragma once

#include <catch2/catch.hpp>
#include <vector>

#include "core/sampling/edits.h"
#include "core/sampling/masked_sampler.h"
#include "tests/table_model.h"

namespace folio::test {

inline MaskedSampler sampler_of(const MaskedPredictor& model, const SamplingRequest& request) {
    auto sampler = MaskedSampler::create(model, request);
    if (!sampler) FAIL(sampler.error().sentence);
    return std::move(*sampler);
}

inline Frame run(Sampler& sampler, int most = 100000) {
    Frame frame = sampler.frame();
    for (int i = 0; !frame.done; ++i) {
        REQUIRE(i < most);
        frame = next_frame(sampler);
    }
    return frame;
}

inline Frame sample(const MaskedPredictor& model, const SamplingRequest& request) {
    MaskedSampler sampler = sampler_of(model, request);
    return run(sampler);
}

/// The model, which keeps the ids of each of its passes.
inline MaskedPredictor recording(MaskedPredictor model, std::vector<std::vector<int>>& passes) {
    model.predict = [&passes, inner = std::move(model.predict)](std::span<const int> ids, std::span<const int> times,
                                                                int batch, int window, std::span<float> logits) {
        passes.emplace_back(ids.begin(), ids.end());
        return inner(ids, times, batch, window, logits);
    };
    return model;
}

inline Edit edit_of(const char* text, int length) {
    auto edit = parse_edit(text, length, [](char32_t c) -> Result<int> { return static_cast<int>(c - 'a'); });
    if (!edit) FAIL(edit.error().sentence);
    return *edit;
}

inline const std::vector<SamplerKind> all_samplers = {
    SamplerKind::spread,    SamplerKind::ancestral, SamplerKind::confidence, SamplerKind::margin,
    SamplerKind::threshold, SamplerKind::entropy,   SamplerKind::remask};

}  // namespace folio::test
