#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/result.h"
#include "core/process/process_config.h"

namespace folio {

/// Unmasking rules of masked diffusion (unmasking.h); steps of Gaussian diffusion; the order of an autoregressive
/// model.
enum class SamplerKind {
    spread,
    ancestral,
    confidence,
    margin,
    threshold,
    entropy,
    remask,
    ddpm,
    ddim,
    churn,
    left_to_right
};

/// Options of a sample. default_options() has the defaults of command and page.
struct SamplingOptions {
    std::optional<SamplerKind> sampler;  // none: the process's default
    std::uint64_t seed = 1;
    int length = 256;
    int steps = 64;  // passes per block
    double temperature = 0.8;
    double temperature_fall =
        0;  // the last pass has temperature * (1 - temperature_fall), those before lie on the line to it
    int top_k = 0;
    double top_p = 1;
    double tau = 0.9;
    double gamma = 0.1;
    double eta = 0.03;
    double churn = 0.15;
    int stop_stable = 0;
    int rounds = 4;  // of proofreading
    double proofread_share = 0.05;
};

/// A numeric option under the name that command line, address and request give it, with the range it must lie in.
struct SamplingOption {
    std::string_view name;
    std::variant<int SamplingOptions::*, double SamplingOptions::*> member;
    double least, most;
    std::string_view meaning;
    std::string_view used_by = {};                // for sentences; empty: every sampler uses it
    bool (*uses)(SamplerKind sampler) = nullptr;  // null: every sampler does
    bool proofreading = false;                    // used with a proofreader alone
};

inline constexpr bool is_gaussian_sampler(SamplerKind kind) {
    return kind == SamplerKind::ddpm || kind == SamplerKind::ddim || kind == SamplerKind::churn;
}

inline constexpr std::array<SamplingOption, 13> sampling_options = {{
    {"length", &SamplingOptions::length, 1, 1 << 20, "characters of the text, the prompt among them"},
    {"steps", &SamplingOptions::steps, 1, 1 << 20,
     "passes of the network, per block of a long text; left-to-right takes one a character"},
    {"temperature", &SamplingOptions::temperature, 0, 1e6, "of the draw; 0 takes the most likely character"},
    {"temperature-fall", &SamplingOptions::temperature_fall, 0, 1,
     "share of the temperature that is lost, evenly, by the last pass of a block; where a temperature is given alone 0",
     "samplers of masked and Gaussian models", [](SamplerKind kind) { return kind != SamplerKind::left_to_right; }},
    {"top-k", &SamplingOptions::top_k, 0, 1 << 20, "draw among the K most likely; 0 is off"},
    {"top-p", &SamplingOptions::top_p, 0, 1, "draw among the fewest that have this share of what top-k left; 1 is off"},
    {"tau", &SamplingOptions::tau, 0, 1, "threshold: reveal every position with at least this confidence",
     "the sampler threshold", [](SamplerKind kind) { return kind == SamplerKind::threshold; }},
    {"gamma", &SamplingOptions::gamma, 0, 1e6,
     "entropy: nats that the positions revealed in one pass may have, less the largest", "the sampler entropy",
     [](SamplerKind kind) { return kind == SamplerKind::entropy; }},
    {"eta", &SamplingOptions::eta, 0, 1,
     "remask: largest probability per pass that a revealed position is masked again", "the sampler remask",
     [](SamplerKind kind) { return kind == SamplerKind::remask; }},
    {"churn", &SamplingOptions::churn, 0, 1, "churn: share by which the noise is raised before each step",
     "the sampler churn", [](SamplerKind kind) { return kind == SamplerKind::churn; }},
    {"stop-stable", &SamplingOptions::stop_stable, 0, 1 << 20,
     "Gaussian: end when the most likely characters have not changed for N passes and have a mean probability of at "
     "least 0.95; 0 is off",
     "samplers of Gaussian models", is_gaussian_sampler},
    {"rounds", &SamplingOptions::rounds, 0, 1024, "of proofreading", "", nullptr, true},
    {"proofread-share", &SamplingOptions::proofread_share, 0, 1,
     "share of the characters that the first round of proofreading strikes out, each with the one before it; it falls "
     "evenly to 0",
     "", nullptr, true},
}};

/// Null where no option has the name.
inline constexpr const SamplingOption* option_named(std::string_view name) {
    for (const SamplingOption& option : sampling_options) {
        if (option.name == name) return &option;
    }
    return nullptr;
}

/// A sampler under its name.
struct SamplerName {
    SamplerKind kind;
    std::string_view name;
    std::string_view meaning;
    ProcessKind process = ProcessKind::masked;
};

inline constexpr std::array<SamplerName, 11> sampler_names = {{
    {SamplerKind::spread, "spread",
     "the most confident position of each of equal runs of the open ones, so that none are neighbours"},
    {SamplerKind::ancestral, "ancestral", "each position by chance, as the reverse process has it (MDLM)"},
    {SamplerKind::confidence, "confidence", "the most confident positions first (LLaDA)"},
    {SamplerKind::margin, "margin", "the positions where the most likely character leads the second by most"},
    {SamplerKind::threshold, "threshold", "every position with a confidence of at least tau (Fast-dLLM)"},
    {SamplerKind::entropy, "entropy", "as many positions as an entropy of gamma allows (EB-sampler)"},
    {SamplerKind::remask, "remask", "ancestral, but revealed positions may be noised again (ReMDM)"},
    {SamplerKind::ddpm, "ddpm", "all positions at once, each step with fresh noise (DDPM)", ProcessKind::gaussian},
    {SamplerKind::ddim, "ddim", "the same without noise of its own (DDIM)", ProcessKind::gaussian},
    {SamplerKind::churn, "churn", "ddim with some noise before each step (EDM)", ProcessKind::gaussian},
    {SamplerKind::left_to_right, "left-to-right", "one character a pass, seeing those before it",
     ProcessKind::autoregressive},
}};

inline std::string_view name_of(SamplerKind kind) { return sampler_names[static_cast<std::size_t>(kind)].name; }

/// Nothing where no sampler has the name.
inline std::optional<SamplerKind> sampler_named(std::string_view name) {
    for (const SamplerName& sampler : sampler_names) {
        if (sampler.name == name) return sampler.kind;
    }
    return std::nullopt;
}

/// The defaults that differ between processes, chosen by the sweep in bench/RESULTS.md.
struct SamplingDefaults {
    ProcessKind process;
    SamplerKind sampler;
    int steps;
    double temperature;
    double temperature_fall;  // where the temperature is not given
};

inline constexpr std::array<SamplingDefaults, 3> sampling_defaults = {{
    {ProcessKind::masked, SamplerKind::spread, 64, 1.3, 0.95},
    {ProcessKind::gaussian, SamplerKind::churn, 256, 0.3, 0},
    {ProcessKind::autoregressive, SamplerKind::left_to_right, 64, 1, 0},
}};

inline constexpr const SamplingDefaults& defaults_of(ProcessKind process) {
    for (const SamplingDefaults& defaults : sampling_defaults) {
        if (defaults.process == process) return defaults;
    }
    return sampling_defaults.front();
}

inline SamplerKind default_sampler(ProcessKind process) { return defaults_of(process).sampler; }

/// Default options of a process.
SamplingOptions default_options(ProcessKind process);

/// Numeric options that a command line or a request names, with their values.
using GivenOptions = std::vector<std::pair<const SamplingOption*, double>>;

/// The defaults of a process, and what is given instead. A temperature that is given alone is that of every pass. Fails
/// as set_option.
Result<SamplingOptions> options_with(ProcessKind process, const GivenOptions& given);

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

/// Fails, in a sentence about wrong usage, where a sampler does not use the option, or nothing does without a
/// proofreader.
Result<void> check_used(const SamplingOption& option, SamplerKind sampler, bool proofread);

/// The check of set_option for all options at once.
Result<void> validate(const SamplingOptions& options);

}  // namespace folio
