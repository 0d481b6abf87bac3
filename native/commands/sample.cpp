#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "core/sampling/request.h"
#include "native/animation.h"
#include "native/commands/commands.h"
#include "native/failure.h"
#include "native/files.h"
#include "native/models.h"
#include "native/options.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

/// `sample` and `infill`: they differ only in where the given characters come from.
struct SampleCommand {
    bool infill = false;
    std::string weights, trace;
    std::string prompt;                // sample
    std::string text, mark = "_";      // infill
    std::string from_text;
    std::vector<std::string> edits;
    SamplingOptions options;
    int count = 1;
    bool counted = false, sized = false, noised = false;
    bool animate = false, as_json = false;
    DeviceOptions device;

    void execute() const;

private:
    SamplingRequest request(const ModelFile& model) const;
};

SamplingRequest SampleCommand::request(const ModelFile& model) const {
    RequestWords words{prompt, {}, mark, {}, edits};
    if (infill) words.text = text;
    if (noised) {
        if (!infill && (sized || !prompt.empty())) {
            wrong_usage("--from-text brings its own text; leave --prompt and --length out");
        }
        words.from_text = from_text;
    }
    auto request = read_request(words, options, [&](char32_t character) { return model.vocabulary.encode(character); });
    if (!request) wrong_usage(request.error().sentence);
    return std::move(*request);
}

/// A step as a line of JSON, the same that the page saves.
std::string trace_line(const Frame& frame, const Vocabulary& vocabulary, std::uint64_t sample) {
    const auto rounded = [](const std::vector<float>& values) {
        std::vector<double> result;
        for (const float value : values) result.push_back(std::stod(fmt::format("{:.6g}", value)));
        return result;
    };
    const auto in_fours = [](const auto& values) {
        ordered_json rows = ordered_json::array();
        for (std::size_t i = 0; i < values.size(); i += 4) {
            rows.push_back({values[i], values[i + 1], values[i + 2], values[i + 3]});
        }
        return rows;
    };
    std::string text;
    for (const int id : frame.id) append_utf8(text, vocabulary.character(id));
    return ordered_json{{"sample", sample},
                        {"step", frame.step},
                        {"steps", frame.steps},
                        {"length", frame.id.size()},
                        {"text", text},
                        {"ids", frame.id},
                        {"flags", frame.flags},
                        {"probability", rounded(frame.probability)},
                        {"entropy", rounded(frame.entropy)},
                        {"top", in_fours(frame.top_id)},
                        {"top_probability", in_fours(rounded(frame.top_probability))}}
               .dump() +
           "\n";
}

void SampleCommand::execute() const {
    if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
    if (infill && text.empty()) wrong_usage("a text with gaps is missing; give it with --text");
    spare(trace, {weights});
    const ModelFile model = load_model(weights);
    Device computer(device, model);
    SamplingRequest request = this->request(model);
    Denoiser denoiser = make_denoiser(computer.ops(), model);

    std::string traced;
    ordered_json results = ordered_json::array();
    std::string waiting;
    for (int i = 0; i < count; ++i) {
        request.sample = static_cast<std::uint64_t>(i);
        const auto made = make_sampler(denoiser, model.process, request);
        if (!made) wrong_usage(made.error().sentence);
        const auto& sampler = *made;
        Animation animation;
        const auto look = [&](const Frame& frame) {
            if (animate) animation.show(frame, model.vocabulary);
            if (!trace.empty()) traced += trace_line(frame, model.vocabulary, request.sample);
        };
        Frame frame = sampler->frame();
        look(frame);
        while (!sampler->done()) {
            frame = unwrap(sampler->step());
            look(frame);
        }
        if (animate) animation.finish();
        const std::string decoded = model.vocabulary.decode(frame.id);
        // A file tells bytes apart, a terminal obeys them.
        const std::string text = ::isatty(STDOUT_FILENO) == 1 ? tame(decoded) : decoded;
        if (as_json) {
            results.push_back({{"text", text},
                               {"sample", i},
                               {"seed", options.seed},
                               {"sampler", name_of(options.sampler.value_or(default_sampler(model.process.kind)))},
                               {"steps", frame.step},
                               {"length", frame.id.size()}});
        } else {
            std::string printed = (i > 0 ? "---\n" : "") + text + "\n";
            // With a trace to write, the text waits for it: a failure leaves stdout empty.
            if (!trace.empty()) {
                waiting += printed;
                continue;
            }
            fmt::print("{}", printed);
            if (std::fflush(stdout) != 0) stop("the output cannot be written");
        }
    }
    if (!trace.empty()) write_file(trace, traced);
    if (as_json) waiting = (counted ? results : results.front()).dump() + "\n";
    fmt::print("{}", waiting);
}

/// What both commands take. `without`: the sampling option that this one leaves out.
std::shared_ptr<SampleCommand> add_options(CLI::App& command, std::string_view without) {
    const auto options = std::make_shared<SampleCommand>();
    add_text(command, "--weights", options->weights, "weights file");
    SamplingOptions& sampling = options->options;
    add_seed(command, "--seed", [&sampling](std::uint64_t seed) { sampling.seed = seed; },
             fmt::format("the same seed gives the same text [{}]", sampling.seed));
    add_sampling_options(command, sampling, without);
    add_integer(command, "--count", 1, 1'000'000,
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
    add_text(command, "--trace", options->trace, "file for every step as a line of JSON; an open place reads U+FFFD there");
    add_flag(command, "--json", options->as_json, "the result as JSON");
    add_device_options(command, options->device);
    on_call(command, [options, &command] {
        check_sampling_options(command, options->options);
        options->noised = given(command, "--from-text");
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
}

void add_infill(CLI::App& program) {
    CLI::App& command = add_command(program, "infill", "Fill the gaps of a text");
    const auto options = add_options(command, "length");
    options->infill = true;
    add_text(command, "--text", options->text, "a text with gaps");
    add_text(command, "--mark", options->mark, "the character that marks a place to fill [_]");
}

}  // namespace folio
