#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/text.h"
#include "core/evaluation/likelihood.h"
#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/models.h"
#include "native/host/options.h"
#include "native/host/progress.h"
#include "native/host/text_data.h"
#include "native/report/samples.h"

namespace folio {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

struct EvalCommand {
    std::string weights, data, against, plot, judge, proofread;
    int draws = 16, windows = 0, samples = 0;
    std::vector<std::string> orders;
    GivenSamplingOptions sampling;
    bool as_json = false;
    DeviceOptions device;

    void execute() const;
};

RevealOrder order_named(const std::string& name) {
    for (std::size_t i = 0; i < reveal_order_names.size(); ++i) {
        if (reveal_order_names[i] == name) return static_cast<RevealOrder>(i);
    }
    wrong_usage(fmt::format("--order takes one of {}, not {}", fmt::join(reveal_order_names, ", "), quote(name)));
}

/// The text in a model's characters. Says so where the model was trained on another one: its figures then tell how it
/// generalises.
TextData encode_scored_text(const ModelFile& model, const Text& text, const std::string& name) {
    const json training = json::parse(model.training, nullptr, false);
    const bool other =
        training.is_object() && training.contains("data_sha256") && training["data_sha256"] != text.checksum;
    auto ids = model.vocabulary.encode(text.content);
    if (!ids && other) {
        stop(
            fmt::format("{} was trained on another text than the one to be scored, which has other characters; name "
                        "its own with --data",
                        quote_path(name)));
    }
    TextData data{unwrap(std::move(ids), quote_path(name))};
    if (other)
        notice(fmt::format("{} was trained on another text than the one that is scored here; name its own with --data.",
                           quote_path(name)));
    return data;
}

/// Results of the command; those that were not asked for are empty.
struct Figures {
    Evaluation evaluation;
    Estimate nll;
    std::vector<std::pair<std::string, Estimate>> orders;
    std::optional<Estimate> difference;  // to the model of --against
    std::optional<SampleResults> samples;
    ordered_json frontier;
};

/// A command at work: its models, text and windows. The constructor ends the command for all that can be refused before
/// the long work.
class EvalRun {
public:
    explicit EvalRun(const EvalCommand& command);
    EvalRun(const EvalRun&) = delete;
    EvalRun& operator=(const EvalRun&) = delete;

    Figures measure();
    ordered_json report(const Figures& figures) const;
    void print(const Figures& figures) const;

private:
    void check_orders() const;
    void load_judge();
    void load_other(const Text& text);
    void prepare_samples();
    /// Options of a measurement that shows its progress under this name.
    EvaluationOptions options(std::string name);
    Estimate difference(const Evaluation& evaluation);
    SampleResults draw_samples();

    ProcessKind process() const { return model_.file.process.kind; }
    bool is_noisy() const { return process() != ProcessKind::autoregressive; }
    const Proofreader* proofreader() const { return proofreader_ ? &*proofreader_ : nullptr; }

    const EvalCommand& command_;
    LoadedModel model_;
    std::optional<LoadedModel> other_, judge_, reader_;
    std::optional<Proofreader> proofreader_;
    SamplingOptions drawing_;
    TextData text_, other_text_;
    Windows windows_;
    std::optional<SampleMeasure> sample_measure_;
    Progress progress_;
};

EvalRun::EvalRun(const EvalCommand& command) : command_(command), model_(command.weights, command.device) {
    check_orders();
    if (!command.judge.empty()) load_judge();
    if (!command.proofread.empty()) {
        reader_.emplace(command.proofread, command.device);
        proofreader_ = as_proofreader(*reader_, model_.file);
    }
    // With --plot every sampler is drawn from, and each uses what it can.
    drawing_ = command.sampling.resolve(process(), proofreader_.has_value(), command.plot.empty());
    const Text content = load_text(command.data);
    text_ = encode_scored_text(model_.file, content, command.weights);
    require_windows(text_, model_.file.config.seq_len, false);
    windows_ = unwrap(Windows::of(text_.validation(), model_.file.config.seq_len, command.windows));
    if (!command.against.empty()) load_other(content);
    if (command.samples > 0) prepare_samples();
}

void EvalRun::check_orders() const {
    if (command_.orders.empty() || process() == ProcessKind::masked) return;
    wrong_usage(process() == ProcessKind::gaussian
                    ? "a Gaussian model reveals no positions one by one; leave --order out"
                    : "an autoregressive model has but one order; leave --order out");
}

void EvalRun::load_judge() {
    judge_.emplace(command_.judge, command_.device);
    const ModelFile &judge = judge_->file, &model = model_.file;
    if (judge.process.kind != ProcessKind::autoregressive)
        wrong_usage("--judge takes an autoregressive model, as weights/gpt-small.safetensors is one");
    if (model.config.seq_len < 2)
        wrong_usage(
            "samples of this model have one character, which leaves a judge nothing to rate; leave --judge out");
    if (judge.config.max_length() < model.config.seq_len)
        wrong_usage("the judge does not see as many characters as a sample has");
    for (int id = 0; id < model.vocabulary.size(); ++id) {
        const char32_t character = model.vocabulary.character(id);
        if (character != no_character && !judge.vocabulary.encode(character))
            wrong_usage("the judge does not know all characters of the model; choose a judge of the same text");
    }
}

void EvalRun::load_other(const Text& text) {
    other_.emplace(command_.against, command_.device);
    const int seq_len = model_.file.config.seq_len, other_seq_len = other_->file.config.seq_len;
    if (other_seq_len != seq_len) {
        wrong_usage(fmt::format("{} sees windows of {} characters and {} of {}, so their windows cannot be paired",
                                quote_path(command_.weights), seq_len, quote_path(command_.against), other_seq_len));
    }
    other_text_ = encode_scored_text(other_->file, text, command_.against);
}

void EvalRun::prepare_samples() {
    SampleMeasure::check(model_.denoiser, model_.file, drawing_, proofreader());
    std::optional<SampleMeasure::Judge> judge;
    if (judge_) judge = {autoregressive_predictor(judge_->denoiser), &judge_->file.vocabulary};
    sample_measure_.emplace(model_.denoiser, model_.file, text_, command_.samples, std::move(judge), proofreader());
    if (!command_.plot.empty()) sample_measure_->begin_plot(command_.plot);
}

EvaluationOptions EvalRun::options(std::string name) {
    EvaluationOptions options;
    options.draws = command_.draws;
    options.progress = [this, name = std::move(name)](std::int64_t done, std::int64_t total) {
        progress_.show(static_cast<double>(done) / static_cast<double>(total),
                       fmt::format("{}: {} of {} passes over a window", name, done, total));
    };
    return options;
}

Figures EvalRun::measure() {
    const ProcessConfig& process = model_.file.process;
    Figures figures;
    figures.evaluation = unwrap(evaluate(model_.denoiser, process, windows_, options("likelihood")));
    figures.nll = estimate(figures.evaluation.windows);
    for (const std::string& name : command_.orders) {
        const MaskedPredictor masked = masked_predictor(model_.denoiser, process);
        const std::vector<double> nats = unwrap(ordered_likelihood(masked, windows_, order_named(name), options(name)));
        figures.orders.emplace_back(name, estimate(nats));
    }
    if (other_) figures.difference = difference(figures.evaluation);
    if (sample_measure_) figures.samples = draw_samples();
    if (!command_.plot.empty()) {
        figures.frontier =
            sample_measure_->plot(command_.plot, command_.sampling.resolve_for_comparison(process.kind), progress_);
    }
    return figures;
}

/// Mean difference to the other model, window by window.
Estimate EvalRun::difference(const Evaluation& evaluation) {
    const Windows paired = unwrap(Windows::of(other_text_.validation(), other_->file.config.seq_len, command_.windows));
    const Evaluation other =
        unwrap(evaluate(other_->denoiser, other_->file.process, paired, options("likelihood of the other")));
    std::vector<double> differences = evaluation.windows;
    for (std::size_t i = 0; i < differences.size(); ++i) differences[i] -= other.windows[i];
    return estimate(differences);
}

SampleResults EvalRun::draw_samples() {
    const int count = command_.samples;
    return sample_measure_->draw(drawing_, [&](int done) {
        progress_.show(static_cast<double>(done) / count, fmt::format("samples: {} of {}", done, count));
    });
}

ordered_json levels_report(const Evaluation& evaluation) {
    ordered_json report = ordered_json::array();
    const std::size_t count = evaluation.levels.size();
    for (std::size_t i = 0; i < count; ++i) {
        const auto& level = evaluation.levels[i];
        const bool measured = level.draws > 0;
        report.push_back({{"t", static_cast<double>(i + 1) / static_cast<double>(count)},
                          {"loss", measured ? ordered_json(level.loss) : ordered_json()},
                          {"accuracy", measured ? ordered_json(level.accuracy) : ordered_json()},
                          {"draws", level.draws}});
    }
    return report;
}

ordered_json EvalRun::report(const Figures& figures) const {
    const double nats = figures.nll.nats_per_char;
    ordered_json report{{"process", name_of(process())},
                        {"windows", windows_.size()},
                        {"characters", static_cast<std::int64_t>(windows_.size()) * windows_.scored()},
                        {"nats_per_char", nats},
                        {"stderr", figures.nll.standard_error},
                        {"bits_per_char", nats / std::log(2.0)},
                        {"perplexity", std::exp(nats)}};
    if (process() == ProcessKind::gaussian) {
        const BoundParts& parts = figures.evaluation.parts;
        report["parts"] = {
            {"prior", parts.prior}, {"reconstruction", parts.reconstruction}, {"diffusion", parts.diffusion}};
    }
    if (is_noisy()) {
        report["draws"] = command_.draws;
        report["levels"] = levels_report(figures.evaluation);
    }
    for (const auto& [name, exact] : figures.orders)
        report["orders"][name] = {{"nats_per_char", exact.nats_per_char}, {"stderr", exact.standard_error}};
    if (const auto& difference = figures.difference)
        report["against"] = {{"difference", difference->nats_per_char}, {"stderr", difference->standard_error}};
    if (figures.samples) {
        report["samples"] = to_json(*figures.samples);
        report["real"] = sample_measure_->real();
    }
    if (!command_.plot.empty()) report["frontier"] = figures.frontier;
    return report;
}

std::string shown(const Estimate& estimate) {
    const std::string error =
        std::isnan(estimate.standard_error) ? "" : fmt::format(" ± {:.4f}", estimate.standard_error);
    return fmt::format("{:.4f}{} nats/character", estimate.nats_per_char, error);
}

void print_levels(const Evaluation& evaluation, ProcessKind process) {
    fmt::print("{}", process == ProcessKind::masked ? "hidden   loss per hidden character   right\n"
                                                    : "time     squared error of a character    right\n");
    for (std::size_t i = 0; i < evaluation.levels.size(); ++i) {
        const auto& level = evaluation.levels[i];
        if (level.draws == 0) continue;
        fmt::print("{:5.0f} %   {:25.4f}   {:4.1f} %\n", 5.0 * static_cast<double>(i + 1), level.loss,
                   100 * level.accuracy);
    }
}

void EvalRun::print(const Figures& figures) const {
    const char* kind = process() == ProcessKind::masked     ? "masked"
                       : process() == ProcessKind::gaussian ? "Gaussian"
                                                            : "autoregressive";
    fmt::print("{} model, {} windows, {} characters{}\n", kind, windows_.size(),
               static_cast<std::int64_t>(windows_.size()) * windows_.scored(),
               is_noisy() ? fmt::format(", {} draws a window", command_.draws) : "");
    const double nats = figures.nll.nats_per_char;
    fmt::print("{}  {}  {:.4f} bits/character  perplexity {:.4g}\n", is_noisy() ? "NELBO" : "exact NLL",
               shown(figures.nll), nats / std::log(2.0), std::exp(nats));
    if (process() == ProcessKind::gaussian) {
        const BoundParts& parts = figures.evaluation.parts;
        fmt::print("of which prior {:.4f}, reconstruction {:.4f}, diffusion {:.4f}\n", parts.prior,
                   parts.reconstruction, parts.diffusion);
    }
    for (const auto& [name, exact] : figures.orders) fmt::print("{}, exact  {}\n", name, shown(exact));
    if (figures.difference) fmt::print("against {}  {}\n", quote_path(command_.against), shown(*figures.difference));
    if (figures.samples) sample_measure_->print(*figures.samples);
    if (is_noisy()) print_levels(figures.evaluation, process());
}

void EvalCommand::execute() const {
    if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
    for (const std::string& name : orders) order_named(name);
    refuse_overwrite(plot, {weights, text_source(data), against, judge, proofread});
    refuse_stdout(plot);
    EvalRun run(*this);
    const Figures figures = run.measure();
    if (as_json)
        fmt::print("{}\n", to_text(run.report(figures)));
    else
        run.print(figures);
}

/// Ends the command where an option is given that samples alone use.
void refuse_without_samples(const CLI::App& command) {
    std::vector<std::string> names = {"--plot", "--judge", "--sampler", "--proofread"};
    for (const SamplingOption& option : sampling_options) {
        if (option.name != "length") names.push_back(fmt::format("--{}", option.name));
    }
    for (const std::string& name : names) {
        if (given(command, name)) wrong_usage(fmt::format("{} is about samples; say how many with --samples", name));
    }
}

}  // namespace

void add_eval(CLI::App& program) {
    CLI::App& command =
        add_command(program, "eval", "Measure the likelihood of the validation text, and samples beside it");
    const auto options = std::make_shared<EvalCommand>();
    add_name(command, "--weights", options->weights, "weights file");
    add_name(command, "--data", options->data, "text, whose last 10 % is scored [FOLIO_DATA, else Tiny Shakespeare]");
    add_integer(command, "--draws", 1, 1'000'000, options->draws, fmt::format("draws per window [{}]", options->draws));
    add_integer(command, "--windows", 1, 1'000'000'000, options->windows,
                "an evenly spaced subset of the windows [all]");
    add_texts(command, "--order", fmt::format("{{{}}}", fmt::join(reveal_order_names, ",")), options->orders, false,
              "add the exact likelihood of revealing in this order; may be given again");
    add_name(command, "--against", options->against, "another model: adds the difference to it, window by window");
    add_integer(
        command, "--samples", 1, 1'000'000, options->samples,
        "also draw so many samples, of seeds 0, 1, 2, ..., and lay their statistics beside those of the text [none]");
    add_name(command, "--plot", options->plot,
             "with --samples: try every sampler at several numbers of passes and temperatures, and draw what the judge "
             "says of "
             "them against their entropy into this SVG file, which is replaced if it is there [no picture]");
    add_name(command, "--judge", options->judge,
             "with --samples: an autoregressive model that judges them too, as weights/gpt-small.safetensors [none]");
    add_sampling_options(command, options->sampling, "length");
    add_proofread_option(command, options->proofread);
    add_flag(command, "--json", options->as_json, "the figures as JSON");
    add_device_options(command, options->device);
    on_call(command, [options, &command] {
        if (options->samples == 0) refuse_without_samples(command);
        options->execute();
    });
}

}  // namespace folio
