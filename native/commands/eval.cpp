#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

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

std::string figure(double nats_per_char, double standard_error) {
    const std::string error = std::isnan(standard_error) ? "" : fmt::format(" ± {:.4f}", standard_error);
    return fmt::format("{:.4f}{} nats/character", nats_per_char, error);
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

void EvalCommand::execute() const {
    if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
    for (const std::string& name : orders) order_named(name);
    refuse_overwrite(plot, {weights, text_source(data), against, judge, proofread});
    refuse_stdout(plot);
    LoadedModel judged(weights, device);
    const ModelFile& model = judged.file;
    const bool masked = model.process.kind == ProcessKind::masked;
    const bool gaussian = model.process.kind == ProcessKind::gaussian, noisy = masked || gaussian;
    if (!masked && !orders.empty()) {
        wrong_usage(gaussian ? "a Gaussian model reveals no places one by one; leave --order out"
                             : "an autoregressive model has but one order; leave --order out");
    }
    std::optional<LoadedModel> judging;
    std::optional<SampleMeasure::Judge> second_judge;
    if (!judge.empty()) {
        judging.emplace(judge, device);
        if (judging->file.process.kind != ProcessKind::autoregressive)
            wrong_usage("--judge takes an autoregressive model, as weights/gpt-small.safetensors is one");
        if (model.config.seq_len < 2)
            wrong_usage(
                "samples of this model have one character, which leaves a judge nothing to rate; leave --judge out");
        if (judging->file.config.max_length() < model.config.seq_len)
            wrong_usage("the judge does not see as many characters as a sample has");
        for (int id = 0; id < model.vocabulary.size(); ++id) {
            const char32_t character = model.vocabulary.character(id);
            if (character != no_character && !judging->file.vocabulary.encode(character))
                wrong_usage("the judge does not know all characters of the model; choose a judge of the same text");
        }
        second_judge = {autoregressive_model(judging->denoiser), &judging->file.vocabulary};
    }
    std::optional<LoadedModel> reader;
    std::optional<Proofreader> proofreader;
    if (!proofread.empty()) {
        reader.emplace(proofread, device);
        proofreader = as_proofreader(*reader, model);
    }
    // With --plot every sampler is drawn from, and each uses what it can.
    const SamplingOptions drawing = sampling.resolve(model.process.kind, proofreader.has_value(), plot.empty());
    const Text content = load_text(data);
    const TextData text = encode_scored_text(model, content, weights);
    require_windows(text, model.config.seq_len, false);
    const Windows chosen = unwrap(Windows::of(text.validation(), model.config.seq_len, windows));

    // What can be refused is refused before the long work.
    std::optional<LoadedModel> other;
    TextData same_text;
    if (!against.empty()) {
        other.emplace(against, device);
        if (other->file.config.seq_len != model.config.seq_len) {
            wrong_usage(fmt::format("{} sees windows of {} characters and {} of {}, so their windows cannot be paired",
                                    quote_path(weights), model.config.seq_len, quote_path(against),
                                    other->file.config.seq_len));
        }
        same_text = encode_scored_text(other->file, content, against);
    }
    if (samples > 0) SampleMeasure::check(judged.denoiser, model, drawing, proofreader ? &*proofreader : nullptr);
    std::optional<SampleMeasure> sampled;
    if (samples > 0)
        sampled.emplace(judged.denoiser, model, text, samples, std::move(second_judge),
                        proofreader ? &*proofreader : nullptr);
    if (!plot.empty()) sampled->begin_plot(plot);

    Progress progress;
    EvaluationOptions options;
    options.draws = draws;
    const auto measure = [&](std::string what) {
        options.progress = [&progress, what = std::move(what)](std::int64_t done, std::int64_t total) {
            progress.show(static_cast<double>(done) / static_cast<double>(total),
                          fmt::format("{}: {} of {} passes over a window", what, done, total));
        };
    };
    measure("likelihood");
    const Evaluation evaluation = unwrap(evaluate(judged.denoiser, model.process, chosen, options));
    const Estimate nats = estimate(evaluation.windows);
    ordered_json report{{"process", name_of(model.process.kind)},
                        {"windows", chosen.size()},
                        {"characters", static_cast<std::int64_t>(chosen.size()) * chosen.scored()},
                        {"nats_per_char", nats.nats_per_char},
                        {"stderr", nats.standard_error},
                        {"bits_per_char", nats.nats_per_char / std::log(2.0)},
                        {"perplexity", std::exp(nats.nats_per_char)}};
    if (gaussian) {
        const BoundParts& parts = evaluation.parts;
        report["parts"] = {
            {"prior", parts.prior}, {"reconstruction", parts.reconstruction}, {"diffusion", parts.diffusion}};
    }
    if (noisy) {
        report["draws"] = draws;
        ordered_json& levels = report["levels"] = ordered_json::array();
        for (std::size_t i = 0; i < evaluation.levels.size(); ++i) {
            const NoiseLevel& level = evaluation.levels[i];
            const bool known = level.draws > 0;
            levels.push_back({{"t", static_cast<double>(i + 1) / static_cast<double>(evaluation.levels.size())},
                              {"loss", known ? ordered_json(level.loss) : ordered_json()},
                              {"accuracy", known ? ordered_json(level.accuracy) : ordered_json()},
                              {"draws", level.draws}});
        }
    }
    for (const std::string& name : orders) {
        measure(name);
        const MaskedModel looked_at = masked_model(judged.denoiser, model.process);
        const Estimate exact = estimate(unwrap(ordered_likelihood(looked_at, chosen, order_named(name), options)));
        report["orders"][name] = {{"nats_per_char", exact.nats_per_char}, {"stderr", exact.standard_error}};
    }
    if (!against.empty()) {
        const Windows paired = unwrap(Windows::of(same_text.validation(), other->file.config.seq_len, windows));
        measure("likelihood of the other");
        std::vector<double> differences = evaluation.windows;
        const Evaluation second = unwrap(evaluate(other->denoiser, other->file.process, paired, options));
        for (std::size_t i = 0; i < differences.size(); ++i) differences[i] -= second.windows[i];
        const Estimate difference = estimate(differences);
        report["against"] = {{"difference", difference.nats_per_char}, {"stderr", difference.standard_error}};
    }

    Drawn drawn;
    if (sampled) {
        drawn = sampled->draw(drawing, [&](int done) {
            progress.show(static_cast<double>(done) / samples, fmt::format("samples: {} of {}", done, samples));
        });
        report["samples"] = to_json(drawn);
        report["real"] = sampled->real();
    }
    if (!plot.empty())
        report["frontier"] = sampled->plot(plot, sampling.resolve_for_comparison(model.process.kind), progress);

    if (as_json) {
        fmt::print("{}\n", to_text(report));
        return;
    }
    fmt::print("{} model, {} windows, {} characters{}\n",
               masked     ? "masked"
               : gaussian ? "Gaussian"
                          : "autoregressive",
               chosen.size(), report["characters"].get<std::int64_t>(),
               noisy ? fmt::format(", {} draws a window", draws) : "");
    fmt::print("{}  {}  {:.4f} bits/character  perplexity {:.4g}\n", noisy ? "NELBO" : "exact NLL",
               figure(nats.nats_per_char, nats.standard_error), report["bits_per_char"].get<double>(),
               report["perplexity"].get<double>());
    if (gaussian) {
        fmt::print("of which prior {:.4f}, reconstruction {:.4f}, diffusion {:.4f}\n", evaluation.parts.prior,
                   evaluation.parts.reconstruction, evaluation.parts.diffusion);
    }
    for (const std::string& name : orders) {
        const auto& exact = report["orders"][name];
        fmt::print("{}, exact  {}\n", name,
                   figure(exact["nats_per_char"].get<double>(), exact["stderr"].get<double>()));
    }
    if (report.contains("against")) {
        const auto& difference = report["against"];
        fmt::print("against {}  {}\n", quote_path(against),
                   figure(difference["difference"].get<double>(), difference["stderr"].get<double>()));
    }
    if (sampled) sampled->print(drawn);
    if (!noisy) return;
    fmt::print("{}", masked ? "hidden   loss per hidden character   right\n"
                            : "time     squared error of a character    right\n");
    for (std::size_t i = 0; i < evaluation.levels.size(); ++i) {
        const NoiseLevel& level = evaluation.levels[i];
        if (level.draws == 0) continue;
        fmt::print("{:5.0f} %   {:25.4f}   {:4.1f} %\n", 5.0 * static_cast<double>(i + 1), level.loss,
                   100 * level.accuracy);
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
        const auto needs_samples = [&](const std::string& name) {
            if (options->samples == 0 && given(command, name)) {
                wrong_usage(fmt::format("{} is about samples; say how many with --samples", name));
            }
        };
        needs_samples("--plot");
        needs_samples("--judge");
        needs_samples("--sampler");
        needs_samples("--proofread");
        for (const SamplingOption& option : sampling_options) {
            if (option.name != "length") needs_samples(fmt::format("--{}", option.name));
        }
        options->execute();
    });
}

}  // namespace folio
