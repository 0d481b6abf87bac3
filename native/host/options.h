#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/sampling/options.h"
#include "native/host/devices.h"

namespace CLI {
class App;
}

/// Commands and their options. Only options.cpp and main.cpp know the parser, whose header takes long to compile; wrong
/// values end the command with one sentence of ours (exit 2) instead of the parser's.
namespace folio {

CLI::App& add_command(CLI::App& program, const std::string& name, const std::string& help);
/// Sets the action of a command, called once its options are read.
void on_call(CLI::App& command, std::function<void()> execute);
/// True if the command line has an option.
bool given(const CLI::App& command, const std::string& name);

void add_flag(CLI::App& command, const std::string& name, bool& target, const std::string& help);
/// A whole number in [least, most].
void add_integer(CLI::App& command, const std::string& name, std::int64_t least, std::int64_t most,
                 std::function<void(std::int64_t)> set, const std::string& help);
void add_integer(CLI::App& command, const std::string& name, std::int64_t least, std::int64_t most, int& target,
                 const std::string& help);
/// A finite number in [least, most].
void add_number(CLI::App& command, const std::string& name, double least, double most, std::function<void(double)> set,
                const std::string& help);
/// A whole number in [0, 2^64).
void add_seed(CLI::App& command, const std::string& name, std::function<void(std::uint64_t)> set,
              const std::string& help);
/// One of a few words.
void add_choice(CLI::App& command, const std::string& name, std::vector<std::string> choices,
                std::function<void(const std::string&)> set, const std::string& help);
void add_choice(CLI::App& command, const std::string& name, std::vector<std::string> choices, std::string& target,
                const std::string& help);
/// The name of a file or a folder, which is never empty.
void add_name(CLI::App& command, const std::string& name, std::string& target, const std::string& help);
/// Any text, taken as it stands.
void add_text(CLI::App& command, const std::string& name, std::string& target, const std::string& help);
/// Texts of an option that may be given again and again, with `several` also one after another.
void add_texts(CLI::App& command, const std::string& name, const std::string& type, std::vector<std::string>& target,
               bool several, const std::string& help);

/// The sampling options that a command line names; the others have the defaults of the model's process.
struct GivenSamplingOptions {
    std::optional<SamplerKind> sampler;
    std::optional<std::uint64_t> seed;
    GivenOptions values;

    /// All options of a sample. With `check` ends the command where one is given that the sampler does not use, or that
    /// needs a proofreader.
    SamplingOptions resolve(ProcessKind process, bool proofread, bool check = true) const;
    /// Those for a comparison of all samplers at several temperatures, each of which holds for all passes unless a fall
    /// is given.
    SamplingOptions resolve_for_comparison(ProcessKind process) const;
};

/// --sampler and the numeric options of sampling, but `without`.
void add_sampling_options(CLI::App& command, GivenSamplingOptions& target, std::string_view without);
/// --proofread.
void add_proofread_option(CLI::App& command, std::string& target);

/// Ends the command where a text of the command line holds a backslash and the vocabulary has none: a shell hands \n on
/// as it stands.
void refuse_backslash(const std::string& text, const std::string& option, const Vocabulary& vocabulary);

/// --device, --threads and --precision.
void add_device_options(CLI::App& command, DeviceOptions& options);

}  // namespace folio
