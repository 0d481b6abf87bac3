#include "core/sampling/defaults.h"

#include <cmath>

namespace folio {

namespace {

/// Limits are whole numbers.
std::string range(const SamplingOption& option) {
    return "from " + std::to_string(static_cast<long>(option.least)) + " to " +
           std::to_string(static_cast<long>(option.most));
}

}  // namespace

Result<void> set_option(SamplingOptions& options, const SamplingOption& option, double value) {
    const auto* whole = std::get_if<int SamplingOptions::*>(&option.member);
    const bool fits = value >= option.least && value <= option.most && (!whole || value == std::floor(value));
    if (!fits) {
        return fail("The option " + std::string(option.name) + " must be a " + (whole ? "whole " : "") + "number " +
                    range(option) + ".");
    }
    if (whole) {
        options.**whole = static_cast<int>(value);
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
