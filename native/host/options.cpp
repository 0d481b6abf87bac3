#include "native/host/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/base/text.h"
#include "native/host/failure.h"

namespace folio {
namespace {

constexpr int most_threads = 1024;

void add(CLI::App& command, const std::string& name, const std::string& type, const std::string& help,
         std::function<void(const std::string&)> set) {
    command.add_option_function<std::string>(name, std::move(set), help)
        ->type_name(type)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

/// All of `text` as a number, or the end of the command.
template <class T>
T parse(const std::string& name, const std::string& text, const std::string& wanted) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        wrong_usage(fmt::format("{} takes {}, not {}", name, wanted, quote(text)));
    }
    return value;
}

}  // namespace

CLI::App& add_command(CLI::App& program, const std::string& name, const std::string& help) {
    return *program.add_subcommand(name, help);
}

void on_call(CLI::App& command, std::function<void()> execute) { command.callback(std::move(execute)); }

bool given(const CLI::App& command, const std::string& name) { return command.count(name) > 0; }

void add_flag(CLI::App& command, const std::string& name, bool& target, const std::string& help) {
    command.add_flag(name, target, help);
}

void add_integer(CLI::App& command, const std::string& name, std::int64_t least, std::int64_t most,
                 std::function<void(std::int64_t)> set, const std::string& help) {
    add(command, name, "N", help, [=](const std::string& text) {
        const std::string wanted = fmt::format("a whole number from {} to {}", least, most);
        const auto value = parse<std::int64_t>(name, text, wanted);
        if (value < least || value > most) wrong_usage(fmt::format("{} takes {}, not {}", name, wanted, value));
        set(value);
    });
}

void add_integer(CLI::App& command, const std::string& name, std::int64_t least, std::int64_t most, int& target,
                 const std::string& help) {
    add_integer(
        command, name, least, most, [&target](std::int64_t value) { target = static_cast<int>(value); }, help);
}

void add_number(CLI::App& command, const std::string& name, double least, double most, std::function<void(double)> set,
                const std::string& help) {
    add(command, name, "X", help, [=](const std::string& text) {
        const std::string wanted = fmt::format("a number from {} to {}", least, most);
        const auto value = parse<double>(name, text, wanted);
        if (!(value >= least && value <= most))
            wrong_usage(fmt::format("{} takes {}, not {}", name, wanted, quote(text)));
        set(value);
    });
}

void add_seed(CLI::App& command, const std::string& name, std::function<void(std::uint64_t)> set,
              const std::string& help) {
    add(command, name, "S", help, [=](const std::string& text) {
        set(parse<std::uint64_t>(
            name, text, fmt::format("a whole number from 0 to {}", std::numeric_limits<std::uint64_t>::max())));
    });
}

void add_choice(CLI::App& command, const std::string& name, std::vector<std::string> choices,
                std::function<void(const std::string&)> set, const std::string& help) {
    const std::string type = fmt::format("{{{}}}", fmt::join(choices, ","));
    add(command, name, type, help, [=](const std::string& text) {
        if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
            wrong_usage(fmt::format("{} takes one of {}, not {}", name, fmt::join(choices, ", "), quote(text)));
        }
        set(text);
    });
}

void add_choice(CLI::App& command, const std::string& name, std::vector<std::string> choices, std::string& target,
                const std::string& help) {
    add_choice(
        command, name, std::move(choices), [&target](const std::string& text) { target = text; }, help);
}

void add_name(CLI::App& command, const std::string& name, std::string& target, const std::string& help) {
    add(command, name, "NAME", help, [&target, name](const std::string& text) {
        if (text.empty())
            wrong_usage(
                fmt::format("{} takes a name, and this one is empty", name.starts_with("--") ? name : "the command"));
        target = text;
    });
}

void add_text(CLI::App& command, const std::string& name, std::string& target, const std::string& help) {
    add(command, name, "TEXT", help, [&target](const std::string& text) { target = text; });
}

void add_texts(CLI::App& command, const std::string& name, const std::string& type, std::vector<std::string>& target,
               bool several, const std::string& help) {
    CLI::Option* option = command.add_option(name, target, help)->type_name(type);
    if (several)
        option->expected(1, CLI::detail::expected_max_vector_size);
    else
        option->allow_extra_args(false);
}

namespace {

/// "[64]", or where processes differ "[0.9 masked, 0.8 gaussian]".
template <class Value>
std::string describe_defaults(Value value_of_process) {
    std::vector<std::string> values, named;
    for (const SamplingDefaults& defaults : sampling_defaults) {
        values.push_back(fmt::format("{}", value_of_process(defaults.process)));
        named.push_back(fmt::format("{} {}", values.back(), name_of(defaults.process)));
    }
    const bool same = std::equal(values.begin() + 1, values.end(), values.begin());
    return same ? fmt::format("[{}]", values.front()) : fmt::format("[{}]", fmt::join(named, ", "));
}

}  // namespace

void add_sampling_options(CLI::App& command, GivenSamplingOptions& target, std::string_view without) {
    std::vector<std::string> names;
    std::string meanings;
    for (const SamplerName& sampler : sampler_names) {
        names.emplace_back(sampler.name);
        meanings += fmt::format("\n{}: {}", sampler.name, sampler.meaning);
    }
    add_choice(
        command, "--sampler", names, [&target](const std::string& name) { target.sampler = *sampler_named(name); },
        fmt::format("what a pass does {}{}",
                    describe_defaults([](ProcessKind process) { return name_of(default_sampler(process)); }),
                    meanings));
    for (const SamplingOption& option : sampling_options) {
        if (option.name == without) continue;
        const std::string name = fmt::format("--{}", option.name);
        const auto value = [&option](ProcessKind process) { return value_of(default_options(process), option); };
        const std::string help = fmt::format("{} {}", option.meaning, describe_defaults(value));
        const auto set = [&target, &option](double value) {
            SamplingOptions checked;
            if (const auto done = set_option(checked, option, value); !done) wrong_usage(done.error().sentence);
            target.values.emplace_back(&option, value);
        };
        if (std::holds_alternative<int SamplingOptions::*>(option.member)) {
            add_integer(
                command, name, std::llround(option.least), std::llround(option.most),
                [set](std::int64_t value) { set(static_cast<double>(value)); }, help);
        } else {
            add_number(command, name, option.least, option.most, set, help);
        }
    }
}

void add_proofread_option(CLI::App& command, std::string& target) {
    add_name(command, "--proofread", target,
             "weights of an autoregressive model of the same characters: what it finds least likely in a finished text "
             "is sampled again, "
             "in --rounds rounds [none]");
}

SamplingOptions GivenSamplingOptions::resolve(ProcessKind process, bool proofread, bool check) const {
    SamplingOptions options = unwrap(options_with(process, values));  // each value was checked when it was read
    if (sampler) options.sampler = sampler;
    if (seed) options.seed = *seed;
    for (const auto& [option, value] : values) {
        if (!check) break;
        if (const auto used = check_used(*option, *options.sampler, proofread); !used)
            wrong_usage(used.error().sentence);
    }
    return options;
}

SamplingOptions GivenSamplingOptions::resolve_for_comparison(ProcessKind process) const {
    GivenOptions even = values;
    even.insert(even.begin(), {option_named("temperature"), default_options(process).temperature});
    return unwrap(options_with(process, even));
}

void refuse_backslash(const std::string& text, const std::string& option, const Vocabulary& vocabulary) {
    if (text.find('\\') == text.npos || vocabulary.encode(U'\\')) return;
    wrong_usage(
        fmt::format("the model's vocabulary has no backslash, which {} holds; for a line break write {} $'one\\ntwo' "
                    "in the shell{}",
                    option, option, option == "--prompt" ? ", or name a file with --prompt-file" : ""));
}

void add_device_options(CLI::App& command, DeviceOptions& options) {
    add_choice(command, "--device", {"auto", "cpu", "cuda"}, options.device,
               "where to compute [auto: a GPU where there is one]");
    add_integer(command, "--threads", 1, most_threads, options.threads, "CPU threads [one per physical core]");
    add_choice(command, "--precision", {"auto", "f32", "bf16"}, options.precision,
               "operands of products; bf16 needs AVX-512 BF16, AMX or a GPU [auto]");
}

}  // namespace folio
