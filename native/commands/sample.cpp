#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/text.h"
#include "core/sampling/gaps.h"
#include "core/sampling/request.h"
#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/models.h"
#include "native/host/options.h"
#include "native/host/progress.h"
#include "native/host/terminal.h"
#include "native/host/text_data.h"
#include "native/report/animation.h"
#include "native/report/trace.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

/// `sample` and `infill`: they differ only in where the given characters come from.
struct SampleCommand {
    bool infill = false;
    std::string weights, proofread, trace;
    std::string prompt, prompt_file;  // sample
    std::string text, mark = "_";     // infill
    std::string from_text;
    std::vector<std::string> edits;
    GivenSamplingOptions sampling;
    int count = 1;
    bool counted = false, sized = false, noised = false, prompted = false;
    bool animate = false, as_json = false;
    DeviceOptions device;

    void check() const;
    void execute() const;
};

/// The prompt in a file or out of a pipe; one newline at its end is the file's.
std::string read_prompt(const std::string& path) {
    constexpr std::size_t longest = 1 << 22;
    std::string prompt = without_byte_order_mark(read_stream(path, "the prompt", longest));
    if (prompt.ends_with('\n')) prompt.pop_back();
    return prompt;
}

/// Prints to stdout; a terminal gets no control characters but line breaks and tabs.
void print_output(const std::string& text) {
    fmt::print("{}", ::isatty(STDOUT_FILENO) == 1 ? terminal_text(text) : text);
    if (std::fflush(stdout) != 0) stop("the output cannot be written");
}

/// A command at work: its models and the requests that it comes to.
class SampleRun {
public:
    explicit SampleRun(const SampleCommand& command);

    /// Sample number `sample`, or where the text has open gaps the best of its choices.
    ordered_json take(std::uint64_t sample);

private:
    SamplingRequest request(const std::string& text_with_gaps, std::uint64_t sample) const;
    Frame run(SamplingRequest request);
    double score(const Frame& frame, const SamplingRequest& request) const;
    std::string text_of(const Frame& frame) const;
    ordered_json report(const Frame& frame, std::uint64_t sample) const;
    ordered_json take_best_choice(std::uint64_t sample);

    const SampleCommand& command_;
    LoadedModel sampled_;
    std::optional<LoadedModel> reader_;
    std::optional<Proofreader> proofreader_;
    SamplingOptions options_;
    std::string prompt_;
    std::vector<GapChoice> choices_;  // of infill
    std::optional<LineFile> trace_;
};

SampleRun::SampleRun(const SampleCommand& command) : command_(command), sampled_(command.weights, command.device) {
    const ModelFile& model = sampled_.file;
    if (!command.proofread.empty()) {
        reader_.emplace(command.proofread, command.device);
        proofreader_ = as_proofreader(*reader_, model);
    }
    options_ = command.sampling.resolve(model.process.kind, proofreader_.has_value());
    refuse_backslash(command.prompt, "--prompt", model.vocabulary);
    if (command.mark != "\\") refuse_backslash(command.text, "--text", model.vocabulary);
    refuse_backslash(command.from_text, "--from-text", model.vocabulary);
    prompt_ = command.prompt_file.empty() ? command.prompt : read_prompt(command.prompt_file);
    if (!command.infill) return;
    auto choices = expand_gaps(command.text, command.mark, model.config.seq_len);
    if (!choices) wrong_usage(choices.error().sentence);
    choices_ = std::move(*choices);
    if (choices_.front().lengths.empty()) return;
    if (model.process.kind == ProcessKind::autoregressive) {
        wrong_usage(
            "an autoregressive model cannot choose the length of a gap, as it does not see what follows; use a masked "
            "or Gaussian one");
    }
    if (!command.edits.empty() || command.noised || !command.trace.empty() || command.animate) {
        wrong_usage(
            "--edit, --from-text, --trace and --animate are about one text; a gap {A-B} makes several, so leave them "
            "out");
    }
}

SamplingRequest SampleRun::request(const std::string& text_with_gaps, std::uint64_t sample) const {
    RequestWords words{prompt_, {}, command_.mark, {}, command_.edits};
    if (command_.infill) words.text = text_with_gaps;
    if (command_.noised) words.from_text = command_.from_text;
    auto request =
        read_request(words, options_, [&](char32_t character) { return sampled_.file.vocabulary.encode(character); });
    if (!request) wrong_usage(request.error().sentence);
    request->sample = sample;
    return std::move(*request);
}

Frame SampleRun::run(SamplingRequest request) {
    const std::uint64_t number = request.sample;
    const auto made = make_sampler(sampled_.denoiser, sampled_.file.process, std::move(request),
                                   proofreader_ ? &*proofreader_ : nullptr);
    if (!made) wrong_usage(made.error().sentence);
    const auto& sampler = *made;
    // Once nothing can be refused any more: a file that is there is emptied.
    if (!command_.trace.empty() && !trace_) trace_.emplace(command_.trace);
    Animation animation;
    const auto show = [&] {
        if (!command_.animate && !trace_) return;
        const Frame frame = sampler->frame();
        if (command_.animate) animation.show(frame, sampled_.file.vocabulary);
        if (trace_) trace_->write(trace_line(frame, sampled_.file.vocabulary, number));
    };
    for (show(); !sampler->done(); show()) unwrap(sampler->step());
    if (command_.animate) animation.finish();
    return sampler->frame();
}

double SampleRun::score(const Frame& frame, const SamplingRequest& request) const {
    return proofreader_ ? unwrap(text_nll(*proofreader_, frame.id)) : filled_nll(frame, request.conditioned);
}

std::string SampleRun::text_of(const Frame& frame) const { return sampled_.file.vocabulary.decode(frame.id); }

ordered_json SampleRun::report(const Frame& frame, std::uint64_t sample) const {
    ordered_json result{{"text", text_of(frame)}, {"sample", sample},
                        {"seed", options_.seed},  {"sampler", name_of(*options_.sampler)},
                        {"steps", frame.step},    {"length", frame.id.size()}};
    if (options_.stop_stable > 0) result["passes_saved"] = frame.passes_saved;
    return result;
}

ordered_json SampleRun::take(std::uint64_t sample) {
    if (command_.infill && !choices_.front().lengths.empty()) return take_best_choice(sample);
    return report(run(request(command_.infill ? choices_.front().text : "", sample)), sample);
}

ordered_json SampleRun::take_best_choice(std::uint64_t sample) {
    std::vector<Frame> frames;
    std::vector<double> nats;
    ordered_json candidates = ordered_json::array();
    Progress progress;
    const bool watched = can_redraw();
    for (const GapChoice& choice : choices_) {
        if (watched)
            progress.show(static_cast<double>(nats.size()) / static_cast<double>(choices_.size()),
                          fmt::format("choice {} of {}", nats.size() + 1, choices_.size()));
        const SamplingRequest wanted = request(choice.text, sample);
        frames.push_back(run(wanted));
        nats.push_back(score(frames.back(), wanted));
        candidates.push_back(
            {{"lengths", choice.lengths}, {"text", text_of(frames.back())}, {"nats_per_char", nats.back()}});
    }
    ordered_json result = report(frames[static_cast<std::size_t>(best_choice(choices_, nats))], sample);
    result["candidates"] = std::move(candidates);
    return result;
}

void SampleCommand::check() const {
    if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
    if (infill && text.empty()) wrong_usage("a text with gaps is missing; give it with --text");
    if (prompted && !prompt_file.empty())
        wrong_usage("the prompt is given by --prompt or by --prompt-file; leave one of them out");
    if (noised && !infill && (sized || !prompt.empty() || !prompt_file.empty()))
        wrong_usage("--from-text brings its own text; leave --prompt, --prompt-file and --length out");
    refuse_overwrite(trace, {weights, proofread, prompt_file});
}

void SampleCommand::execute() const {
    check();
    SampleRun run(*this);
    ordered_json results = ordered_json::array();
    std::string waiting;
    for (int i = 0; i < count; ++i) {
        ordered_json result = run.take(static_cast<std::uint64_t>(i));
        if (const int saved = result.value("passes_saved", 0); saved > 0 && !as_json)
            notice(fmt::format("Stopped early: {} passes saved.", saved));
        const std::string printed = (i > 0 ? "---\n" : "") + result["text"].get<std::string>() + "\n";
        if (as_json) {
            results.push_back(std::move(result));
        } else if (!trace.empty()) {
            // The text waits for the trace to be whole: a failure leaves stdout empty.
            waiting += printed;
        } else {
            print_output(printed);
        }
    }
    if (as_json) waiting = to_text(counted ? results : results.front()) + "\n";
    print_output(waiting);
}

/// Options of both commands. `without`: the sampling option that this one leaves out.
std::shared_ptr<SampleCommand> add_options(CLI::App& command, std::string_view without) {
    const auto options = std::make_shared<SampleCommand>();
    add_name(command, "--weights", options->weights, "weights file");
    GivenSamplingOptions& sampling = options->sampling;
    add_seed(
        command, "--seed", [&sampling](std::uint64_t seed) { sampling.seed = seed; },
        fmt::format("the same seed gives the same text [{}]", SamplingOptions().seed));
    add_sampling_options(command, sampling, without);
    add_proofread_option(command, options->proofread);
    add_integer(
        command, "--count", 1, 1'000'000,
        [o = options.get()](std::int64_t value) {
            o->count = static_cast<int>(value);
            o->counted = true;
        },
        "samples, parted by a line --- [1]");
    add_texts(command, "--edit", "EDIT", options->edits, false,
              "STEP:noise:FROM-TO[:PERCENT], STEP:keep:FROM-TO, STEP:open:FROM-TO or STEP:put:POSITION:CHARACTER, "
              "done after that step; may be given again and again");
    add_text(command, "--from-text", options->from_text, "a text that goes into noise first and comes back");
    add_flag(command, "--animate", options->animate, "show every step in the terminal");
    add_name(command, "--trace", options->trace,
             "file for every step as a line of JSON; an unrevealed position reads U+FFFD there");
    add_flag(command, "--json", options->as_json, "the result as JSON");
    add_device_options(command, options->device);
    on_call(command, [options, &command] {
        options->noised = given(command, "--from-text");
        options->prompted = !options->infill && given(command, "--prompt");
        options->sized = !options->infill && given(command, "--length");
        options->execute();
    });
    return options;
}

}  // namespace

void add_sample(CLI::App& program) {
    CLI::App& command = add_command(program, "sample", "Sample a text");
    const auto options = add_options(command, "");
    add_text(command, "--prompt", options->prompt, "how the text begins");
    add_name(command, "--prompt-file", options->prompt_file,
             "a file or a pipe with the prompt, less one newline at its end");
}

void add_infill(CLI::App& program) {
    CLI::App& command = add_command(program, "infill", "Fill the gaps of a text");
    const auto options = add_options(command, "length");
    options->infill = true;
    add_text(command, "--text", options->text,
             "a text with gaps: _ is one character to fill, {A-B} a gap of A to B characters, {{ a brace; kept is the "
             "length with the highest mean log-probability of what fills the gaps, or with --proofread of the whole "
             "text by that model");
    add_text(command, "--mark", options->mark, "the character that marks a position to fill [_]");
}

}  // namespace folio
