#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/base/result.h"
#include "core/process/process_config.h"

namespace folio {

/// How a masked text is unmasked, `unmasking.h` has the rules; the steps of Gaussian diffusion; how an autoregressive model writes.
enum class SamplerKind { ancestral, confidence, margin, threshold, entropy, remask, ddpm, ddim, churn, left_to_right };

/// What a sample depends on besides weights and given characters. Its initial values are the defaults of command and page.
struct SamplingOptions {
    std::optional<SamplerKind> sampler;  // none: the process's default
    std::uint64_t seed = 1;
    int length = 256;
    int steps = 64;  // passes per block
    double temperature = 0.8;
    int top_k = 0;
    double top_p = 1;
    double tau = 0.9;
    double gamma = 0.1;
    double eta = 0.03;
};

/// One numeric option under the name that command line, address and request give it, with the range it must lie in.
struct SamplingOption {
    std::string_view name;
    std::variant<int SamplingOptions::*, double SamplingOptions::*> member;
    double least, most;
    std::string_view meaning;
    std::optional<SamplerKind> of = {};  // the one sampler that reads it; none: all do
};

inline constexpr std::array<SamplingOption, 8> sampling_options = {{
    {"length", &SamplingOptions::length, 1, 1 << 20, "characters of the text, the prompt among them"},
    {"steps", &SamplingOptions::steps, 1, 1 << 20, "passes of the network, per block of a long text; left-to-right takes one a character"},
    {"temperature", &SamplingOptions::temperature, 0, 1e6, "of the draw; 0 takes the likeliest character"},
    {"top-k", &SamplingOptions::top_k, 0, 1 << 20, "draw among the K likeliest; 0 is off"},
    {"top-p", &SamplingOptions::top_p, 0, 1, "draw among the fewest that have this share of what top-k left; 1 is off"},
    {"tau", &SamplingOptions::tau, 0, 1, "threshold: fix every place at least this sure", SamplerKind::threshold},
    {"gamma", &SamplingOptions::gamma, 0, 1e6, "entropy: nats that the places fixed in one pass may have, less the largest",
     SamplerKind::entropy},
    {"eta", &SamplingOptions::eta, 0, 1, "remask: largest chance per pass that a fixed place is noised again", SamplerKind::remask},
}};

/// A sampler under its name.
struct SamplerName {
    SamplerKind kind;
    std::string_view name;
    std::string_view meaning;
    ProcessKind process = ProcessKind::masked;
};

inline constexpr std::array<SamplerName, 10> sampler_names = {{
    {SamplerKind::ancestral, "ancestral", "each place by chance, as the reverse process has it (MDLM)"},
    {SamplerKind::confidence, "confidence", "the surest places first (LLaDA)"},
    {SamplerKind::margin, "margin", "the places where the likeliest leads the second by most"},
    {SamplerKind::threshold, "threshold", "every place at least tau sure (Fast-dLLM)"},
    {SamplerKind::entropy, "entropy", "as many places as an entropy of gamma allows (EB-sampler)"},
    {SamplerKind::remask, "remask", "ancestral, but fixed places may be noised again (ReMDM)"},
    {SamplerKind::ddpm, "ddpm", "all places at once, each step with fresh noise (DDPM)", ProcessKind::gaussian},
    {SamplerKind::ddim, "ddim", "the same without noise of its own (DDIM)", ProcessKind::gaussian},
    {SamplerKind::churn, "churn", "ddim with some noise before each step (EDM)", ProcessKind::gaussian},
    {SamplerKind::left_to_right, "left-to-right", "one character a pass, seeing those before it", ProcessKind::autoregressive},
}};

inline std::string_view name_of(SamplerKind kind) { return sampler_names[static_cast<std::size_t>(kind)].name; }

/// Nothing where no sampler has the name.
inline std::optional<SamplerKind> sampler_named(std::string_view name) {
    for (const SamplerName& sampler : sampler_names) {
        if (sampler.name == name) return sampler.kind;
    }
    return std::nullopt;
}

inline SamplerKind default_sampler(ProcessKind process) {
    switch (process) {
        case ProcessKind::masked: return SamplerKind::confidence;
        case ProcessKind::gaussian: return SamplerKind::ddpm;
        case ProcessKind::autoregressive: break;
    }
    return SamplerKind::left_to_right;
}

/// "ancestral, confidence, ...": for sentences.
inline std::string list_of_samplers(ProcessKind process) {
    std::string list;
    for (const SamplerName& sampler : sampler_names)
        if (sampler.process == process) list += (list.empty() ? "" : ", ") + std::string(sampler.name);
    return list;
}

/// The value of an option as a double, which holds any int.
inline double value_of(const SamplingOptions& options, const SamplingOption& option) {
    if (const auto* whole = std::get_if<int SamplingOptions::*>(&option.member)) return options.**whole;
    return options.**std::get_if<double SamplingOptions::*>(&option.member);
}

/// Sets an option; fails, in a sentence about wrong usage, where the number is no whole one though it should be, is
/// out of range or not finite.
Result<void> set_option(SamplingOptions& options, const SamplingOption& option, double value);

/// The same check for all options at once.
Result<void> validate(const SamplingOptions& options);

}  // namespace folio
