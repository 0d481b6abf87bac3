#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/text.h"
#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/signals.h"
#include "native/version.h"

namespace {

/// Prints one sentence on stderr, with a capital and a full stop.
void print_error(std::string sentence) {
    if (sentence.empty()) return;
    sentence[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(sentence[0])));
    if (sentence.back() != '.') sentence += '.';
    folio::notice(sentence);
}

/// The parser's error as a sentence.
std::string usage_sentence(const CLI::App& program, const CLI::ParseError& error) {
    const auto chosen = program.get_subcommands();
    const std::string command = chosen.empty() ? "folio" : "folio " + chosen.front()->get_name();
    const std::string advice = fmt::format("; see {} --help", command);
    const std::string what = error.what();
    const int kind = error.get_exit_code();  // the name is another one for words that nothing takes
    const auto extras = program.remaining(true);
    if (!extras.empty() && (kind == static_cast<int>(CLI::ExitCodes::ExtrasError) ||
                            kind == static_cast<int>(CLI::ExitCodes::RequiredError))) {
        const std::string extra = folio::quote(extras.front());
        if (chosen.empty()) return fmt::format("there is no command {}{}", extra, advice);
        return fmt::format("{} does not take {}{}", command, extra, advice);
    }
    const std::string option = what.substr(0, what.find_first_of(": "));
    if (kind == static_cast<int>(CLI::ExitCodes::RequiredError)) return fmt::format("a command is missing{}", advice);
    if (option.starts_with("--")) return fmt::format("{} is given the wrong way{}", option, advice);
    return fmt::format("the options cannot be understood{}", advice);
}

/// The arguments as the parser wants them, the last one first. `--name=` comes apart, for it would take the next one as
/// its value.
std::vector<std::string> arguments(int argc, char** argv) {
    std::vector<std::string> all;
    for (int i = 1; i < argc; ++i) {
        std::string argument = argv[i];
        const bool empty_value = argument.starts_with("--") && argument.find('=') == argument.size() - 1;
        if (empty_value) argument.pop_back();
        all.push_back(std::move(argument));
        if (empty_value) all.emplace_back();
    }
    std::reverse(all.begin(), all.end());
    return all;
}

int run(int argc, char** argv) {
    CLI::App program("Folio: small text diffusion models, trained and sampled", "folio");
    program.require_subcommand(1);
    program.set_version_flag("--version", std::string("folio ") + folio::program_version());
    folio::add_train(program);
    folio::add_sample(program);
    folio::add_infill(program);
    folio::add_eval(program);
    folio::add_logits(program);
    folio::add_export(program);
    folio::add_info(program);
    folio::add_verify(program);
    folio::add_bench(program);
    try {
        program.parse(arguments(argc, argv));
    } catch (const CLI::CallForHelp&) {
        const auto chosen = program.get_subcommands();
        fmt::print("{}", chosen.empty() ? program.help() : chosen.front()->help(program.get_name()));
    } catch (const CLI::CallForVersion& version) {
        fmt::print("{}\n", version.what());
    } catch (const CLI::ParseError& error) {
        folio::wrong_usage(usage_sentence(program, error));
    }
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) folio::stop("the output cannot be written");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    folio::handle_signals();
    try {
        return run(argc, argv);
    } catch (const folio::Failure& failure) {
        print_error(failure.sentence);
        std::fflush(stdout);
        return failure.exit_code;
    } catch (const std::bad_alloc&) {
        print_error("there is not enough memory for this");
    } catch (const std::filesystem::filesystem_error& error) {
        print_error(fmt::format("{} cannot be used: {}", folio::quote_path(error.path1()),
                                folio::system_reason(error.code().value())));
    } catch (const std::system_error&) {
        print_error("the output cannot be written");  // all else that the library reports so
    } catch (const std::exception&) {
        print_error("something went wrong that should not have; please report how it came about");
    }
    return 1;
}
