#include "core/sampling/options.h"

#include <algorithm>
#include <cmath>

namespace folio {

namespace {

/// Limits are whole numbers.
std::string range(const SamplingOption& option) {
    return "from " + std::to_string(static_cast<long>(option.least)) + " to " +
           std::to_string(static_cast<long>(option.most));
}

}  // namespace

SamplingOptions default_options(ProcessKind process) {
    const SamplingDefaults& defaults = defaults_of(process);
    SamplingOptions options;
    options.sampler = defaults.sampler;
    options.steps = defaults.steps;
    options.temperature = defaults.temperature;
    options.temperature_fall = defaults.temperature_fall;
    return options;
}

Result<SamplingOptions> options_with(ProcessKind process, const GivenOptions& given) {
    SamplingOptions options = default_options(process);
    const bool temperature_given =
        std::any_of(given.begin(), given.end(), [](const auto& entry) { return entry.first->name == "temperature"; });
    if (temperature_given) options.temperature_fall = 0;
    for (const auto& [option, value] : given) {
        if (auto ok = set_option(options, *option, value); !ok) return tl::unexpected<Error>(ok.error());
    }
    return options;
}

Result<void> check_used(const SamplingOption& option, SamplerKind sampler, bool proofread) {
    const std::string name(option.name);
    if (option.uses && !option.uses(sampler)) {
        return fail("Only " + std::string(option.used_by) + " use" +
                    (option.used_by.starts_with("the sampler") ? "s" : "") + " the option " + name +
                    ", and this sample is drawn by " + std::string(name_of(sampler)) + "; leave it out.");
    }
    if (option.proofreading && !proofread)
        return fail("The option " + name + " needs a proofreader; name its weights with --proofread.");
    return {};
}

Result<void> set_option(SamplingOptions& options, const SamplingOption& option, double value) {
    const auto* whole = std::get_if<int SamplingOptions::*>(&option.member);
    const bool fits = value >= option.least && value <= option.most && (!whole || value == std::floor(value));
    if (!fits) {
        return fail("The option " + std::string(option.name) + " must be a " + (whole ? "whole " : "") + "number " +
                    range(option) + ".");
    }
    if (whole) {
        options.** whole = static_cast<int>(value);
    } else {
        options.**std::get_if<double SamplingOptions::*>(&option.member) = value;
    }
    return {};
}

Result<void> validate(const SamplingOptions& options) {
    SamplingOptions copy = options;
    for (const SamplingOption& option : sampling_options) {
        if (auto ok = set_option(copy, option, value_of(options, option)); !ok) return ok;
    }
    return {};
}

}  // namespace folio
