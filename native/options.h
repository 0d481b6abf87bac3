#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/sampling/defaults.h"
#include "native/devices.h"

/// Options whose wrong values end the command with one sentence of ours (exit 2) instead of the parser's.
namespace folio {

/// A whole number in [least, most].
CLI::Option* add_integer(CLI::App& command, const std::string& name, std::int64_t least, std::int64_t most,
                         std::function<void(std::int64_t)> set, const std::string& help);
CLI::Option* add_integer(CLI::App& command, const std::string& name, std::int64_t least, std::int64_t most, int& target,
                         const std::string& help);
/// A finite number in [least, most].
CLI::Option* add_number(CLI::App& command, const std::string& name, double least, double most,
                        std::function<void(double)> set, const std::string& help);
/// A whole number in [0, 2^64).
CLI::Option* add_seed(CLI::App& command, const std::string& name, std::function<void(std::uint64_t)> set,
                      const std::string& help);
/// One of a few words.
CLI::Option* add_choice(CLI::App& command, const std::string& name, std::vector<std::string> choices,
                        std::function<void(const std::string&)> set, const std::string& help);
CLI::Option* add_choice(CLI::App& command, const std::string& name, std::vector<std::string> choices,
                        std::string& target, const std::string& help);
/// Any text, taken as it stands.
CLI::Option* add_text(CLI::App& command, const std::string& name, std::string& target, const std::string& help);

/// --sampler and the numeric options of sampling, but `without`, whose defaults are what `target` holds.
void add_sampling_options(CLI::App& command, SamplingOptions& target, std::string_view without);

/// --device, --threads and --precision.
void add_device_options(CLI::App& command, DeviceOptions& options);

}  // namespace folio
