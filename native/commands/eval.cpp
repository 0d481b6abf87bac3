#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/text.h"
#include "core/evaluation/likelihood.h"
#include "core/evaluation/statistics.h"
#include "core/sampling/masked_sampler.h"
#include "native/commands/commands.h"
#include "native/failure.h"
#include "native/files.h"
#include "native/frontier.h"
#include "native/models.h"
#include "native/options.h"
#include "native/progress.h"
#include "native/text_data.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

/// The settings of --plot, tried for every sampler.
constexpr std::array plotted_steps = {8, 16, 32, 64};
constexpr std::array plotted_temperatures = {0.7, 0.8, 0.9, 1.0};

struct EvalCommand {
    std::string weights, data, plot;
    int draws = 16, windows = 0, samples = 0;
    std::vector<std::string> orders;
    SamplingOptions sampling;
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

std::u32string characters(std::span<const int> ids, const Vocabulary& vocabulary) {
    std::u32string text;
    for (const int id : ids) text += vocabulary.character(id);
    return text;
}

int count_characters(const Vocabulary& vocabulary) {
    int count = 0;
    for (int id = 0; id < vocabulary.size(); ++id) count += vocabulary.character(id) != no_character;
    return count;
}

/// The first L characters of each window: real text as long as a sample.
std::vector<std::u32string> real_samples(const Windows& windows, const Vocabulary& vocabulary) {
    std::vector<std::u32string> texts;
    for (int i = 0; i < windows.size(); ++i) texts.push_back(characters(windows.ids(i).first(windows.scored()), vocabulary));
    return texts;
}

/// What came of sampling at one setting; passes and time are means over samples.
struct Drawn {
    TextStatistics statistics;
    double passes = 0, ms = 0;
};

/// Samples of a model, measured beside real text of the same length.
class SampleMeasure {
public:
    SampleMeasure(const MaskedModel& model, const Vocabulary& vocabulary, const TextData& text, int count)
        : model_(model), vocabulary_(vocabulary), count_(count),
          training_(characters(text.train(), vocabulary), count_characters(vocabulary)) {
        const auto windows = [&](int some) { return real_samples(unwrap(Windows::of(text.validation(), length(), some)), vocabulary); };
        real_ = training_.measure(windows(0));
        // The share of different strings depends on the number of texts: as many as there are samples.
        real_.distinct_4 = distinct_4(windows(count));
    }

    int count() const { return count_; }
    int length() const { return model_.config.seq_len; }
    const TextStatistics& real() const { return real_; }

    /// Seeds 0, 1, 2, ...; `progress` is told of the samples done.
    Drawn draw(SamplingOptions options, const std::function<void(int)>& progress) const {
        std::vector<std::u32string> texts;
        Drawn drawn;
        for (int i = 0; i < count_; ++i) {
            progress(i);
            options.seed = static_cast<std::uint64_t>(i);
            SamplingRequest request;
            request.options = options;
            request.given.assign(length(), -1);
            const auto begin = std::chrono::steady_clock::now();
            MaskedSampler sampler = unwrap(MaskedSampler::create(model_, request));
            while (!sampler.done()) unwrap(sampler.step());
            drawn.ms += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count() / count_;
            const Frame frame = sampler.frame();
            drawn.passes += static_cast<double>(frame.step) / count_;
            texts.push_back(characters(frame.id, vocabulary_));
        }
        progress(count_);
        drawn.statistics = training_.measure(texts);
        return drawn;
    }

private:
    const MaskedModel& model_;
    const Vocabulary& vocabulary_;
    int count_;
    TrainingText training_;
    TextStatistics real_;
};

ordered_json to_json(const TextStatistics& of) {
    return {{"count", of.count},
            {"judge_nll", of.judge.nats_per_char},
            {"judge_stderr", of.judge.standard_error},
            {"entropy", of.entropy.nats_per_char},
            {"entropy_stderr", of.entropy.standard_error},
            {"pooled_entropy", of.pooled_entropy},
            {"distinct_4", of.distinct_4},
            {"word_rate", of.words.share},
            {"word_stderr", of.words.standard_error},
            {"word_bigram_rate", of.word_pairs.share},
            {"word_bigram_stderr", of.word_pairs.standard_error},
            {"copied_median", of.copied_median},
            {"copied_p90", of.copied_p90},
            {"copied_32", of.copied_32}};
}

/// The setting and what came of it.
ordered_json to_json(const SamplingOptions& options, const Drawn& drawn) {
    ordered_json report = {{"sampler", name_of(options.sampler)}, {"steps", options.steps}, {"temperature", options.temperature}};
    report.update(to_json(drawn.statistics));
    report.update({{"passes", drawn.passes}, {"ms", drawn.ms}});
    return report;
}

void print_samples(const SamplingOptions& options, const Drawn& drawn, const SampleMeasure& measure) {
    const TextStatistics &ours = drawn.statistics, &real = measure.real();
    fmt::print("{} samples of {} characters, {}, temperature {}: {:.1f} passes and {:.1f} ms each\n", ours.count, measure.length(),
               name_of(options.sampler), options.temperature, drawn.passes, drawn.ms);
    fmt::print("{:44}{:>18}{:>18}\n", "", "samples", "real text");
    const auto line = [](const char* what, const std::string& a, const std::string& b) { fmt::print("{:44}{:>18}{:>18}\n", what, a, b); };
    const auto with_error = [](double value, double error) {
        return std::isnan(error) ? fmt::format("{:.3f}", value) : fmt::format("{:.3f} ± {:.3f}", value, error);
    };
    const auto mean = [&](const char* what, const Estimate& a, const Estimate& b) {
        line(what, with_error(a.nats_per_char, a.standard_error), with_error(b.nats_per_char, b.standard_error));
    };
    const auto rate = [&](const char* what, const Rate& a, const Rate& b) {
        line(what, with_error(a.share, a.standard_error), with_error(b.share, b.standard_error));
    };
    mean("5-gram judge, nats/character", ours.judge, real.judge);
    mean("entropy of a sample, nats/character", ours.entropy, real.entropy);
    line("different 4-grams/characters, pooled", fmt::format("{:.3f}", ours.distinct_4), fmt::format("{:.3f}", real.distinct_4));
    rate("words that the training text has", ours.words, real.words);
    rate("pairs of words that it has", ours.word_pairs, real.word_pairs);
    const auto runs = [](const TextStatistics& of) { return fmt::format("{} / {}", of.copied_median, of.copied_p90); };
    line("longest run copied from it, median / 90 %", runs(ours), runs(real));
    line("samples with a run of 32 or more", fmt::format("{:.1f} %", 100 * ours.copied_32), fmt::format("{:.1f} %", 100 * real.copied_32));
}

std::string draw_frontier(std::span<const FrontierPoint> points, const SampleMeasure& measure) {
    return frontier_svg(points, measure.real(),
                        fmt::format("{} samples of {} characters at each setting; the judge is a 5-gram of the training text",
                                    measure.count(), measure.length()));
}

/// Tries every sampler at every setting, and draws the picture anew after each.
ordered_json try_settings(const std::string& plot, const SampleMeasure& measure, SamplingOptions options, Progress& progress) {
    constexpr std::size_t settings = sampler_names.size() * plotted_steps.size() * plotted_temperatures.size();
    std::vector<FrontierPoint> points;
    ordered_json report = ordered_json::array();
    for (const SamplerName& sampler : sampler_names) {
        for (const int steps : plotted_steps) {
            for (const double temperature : plotted_temperatures) {
                options.sampler = sampler.kind;
                options.steps = steps;
                options.temperature = temperature;
                const Drawn drawn = measure.draw(options, [&](int done) {
                    const double all = static_cast<double>(points.size()) + static_cast<double>(done) / measure.count();
                    progress.show(all / settings, fmt::format("setting {} of {}, {}, {} passes, temperature {}: {} of {} samples",
                                                              points.size() + 1, settings, sampler.name, steps, temperature, done,
                                                              measure.count()));
                });
                points.push_back({std::string(sampler.name), steps, temperature, drawn.statistics});
                report.push_back(to_json(options, drawn));
                write_file(plot, draw_frontier(points, measure));
            }
        }
    }
    return report;
}

void EvalCommand::execute() const {
    if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
    for (const std::string& name : orders) order_named(name);
    for (const std::string& file : {weights, data}) {
        std::error_code unknown;
        if (!plot.empty() && fs::equivalent(file, plot, unknown)) stop("the picture would take the place of a file that it is made from");
    }
    const ModelFile model = load_model(weights);
    Device computer(device, model);
    const TextData text = encode_text(load_text(data), model.vocabulary);
    const Windows chosen = unwrap(Windows::of(text.validation(), model.config.seq_len, windows));
    Denoiser denoiser = make_denoiser(computer.ops(), model);
    const MaskedModel masked = masked_model(denoiser, model.process);
    std::optional<SampleMeasure> measured;
    if (samples > 0) measured.emplace(masked, model.vocabulary, text, samples);
    // A picture that cannot be written ends the command before its long work.
    if (!plot.empty()) write_file(plot, draw_frontier({}, *measured));

    Progress progress;
    EvaluationOptions options;
    options.draws = draws;
    const auto measure = [&](std::string what) {
        options.progress = [&progress, what = std::move(what)](std::int64_t done, std::int64_t total) {
            progress.show(static_cast<double>(done) / static_cast<double>(total),
                          fmt::format("{}: {} of {} passes over a window", what, done, total));
        };
    };
    measure("bound");
    const MaskedBound bound = unwrap(masked_bound(masked, chosen, options));
    const Estimate nelbo = estimate(bound.windows);
    ordered_json report{{"process", "masked"},
                        {"windows", chosen.size()},
                        {"characters", static_cast<std::int64_t>(chosen.size()) * chosen.scored()},
                        {"nats_per_char", nelbo.nats_per_char},
                        {"stderr", nelbo.standard_error},
                        {"bits_per_char", nelbo.nats_per_char / std::log(2.0)},
                        {"perplexity", std::exp(nelbo.nats_per_char)},
                        {"draws", draws}};
    ordered_json& levels = report["levels"] = ordered_json::array();
    for (std::size_t i = 0; i < bound.levels.size(); ++i) {
        const NoiseLevel& level = bound.levels[i];
        const bool known = level.draws > 0;
        levels.push_back({{"t", static_cast<double>(i + 1) / static_cast<double>(bound.levels.size())},
                          {"loss", known ? ordered_json(level.loss) : ordered_json()},
                          {"accuracy", known ? ordered_json(level.accuracy) : ordered_json()},
                          {"draws", level.draws}});
    }
    for (const std::string& name : orders) {
        measure(name);
        const Estimate exact = estimate(unwrap(ordered_likelihood(masked, chosen, order_named(name), options)));
        report["orders"][name] = {{"nats_per_char", exact.nats_per_char}, {"stderr", exact.standard_error}};
    }
    Drawn drawn;
    if (measured) {
        drawn = measured->draw(sampling, [&](int done) {
            progress.show(static_cast<double>(done) / samples, fmt::format("samples: {} of {}", done, samples));
        });
        report["samples"] = to_json(sampling, drawn);
        report["real"] = to_json(measured->real());
    }
    if (!plot.empty()) report["frontier"] = try_settings(plot, *measured, sampling, progress);

    if (as_json) {
        fmt::print("{}\n", report.dump());
        return;
    }
    fmt::print("masked model, {} windows, {} characters, {} draws a window\n", chosen.size(),
               report["characters"].get<std::int64_t>(), draws);
    fmt::print("NELBO  {}  {:.4f} bits/character  perplexity {:.3f}\n", figure(nelbo.nats_per_char, nelbo.standard_error),
               report["bits_per_char"].get<double>(), report["perplexity"].get<double>());
    for (const std::string& name : orders) {
        const auto& exact = report["orders"][name];
        fmt::print("{}, exact  {}\n", name, figure(exact["nats_per_char"].get<double>(), exact["stderr"].get<double>()));
    }
    fmt::print("hidden   loss per hidden character   right\n");
    for (std::size_t i = 0; i < bound.levels.size(); ++i) {
        if (bound.levels[i].draws == 0) continue;
        fmt::print("{:5.0f} %   {:25.4f}   {:4.1f} %\n", 5.0 * static_cast<double>(i + 1), bound.levels[i].loss,
                   100 * bound.levels[i].accuracy);
    }
    if (measured) print_samples(sampling, drawn, *measured);
}

}  // namespace

void add_eval(CLI::App& program) {
    CLI::App& command = *program.add_subcommand("eval", "Measure the likelihood of the validation text, and samples beside it");
    const auto options = std::make_shared<EvalCommand>();
    add_text(command, "--weights", options->weights, "weights file");
    add_text(command, "--data", options->data, "text, whose last 10 % is scored [FOLIO_DATA, else Tiny Shakespeare]");
    add_integer(command, "--draws", 1, 1'000'000, options->draws, fmt::format("draws per window [{}]", options->draws));
    add_integer(command, "--windows", 1, 1'000'000'000, options->windows, "an evenly spaced subset of the windows [all]");
    command
        .add_option("--order", options->orders, "add the exact likelihood of revealing in this order; may be given again")
        ->type_name(fmt::format("{{{}}}", fmt::join(reveal_order_names, ",")))
        ->allow_extra_args(false);
    add_integer(command, "--samples", 1, 1'000'000, options->samples,
                "also draw so many samples, of seeds 0, 1, 2, ..., and lay their statistics beside those of the text [none]");
    add_text(command, "--plot", options->plot,
             "with --samples: try every sampler at several numbers of passes and temperatures, and draw what the judge says of "
             "them against their entropy into this SVG file, which is replaced if it is there [no picture]");
    add_sampling_options(command, options->sampling, "length");
    command.add_flag("--json", options->as_json, "the figures as JSON");
    add_device_options(command, options->device);
    command.callback([options, &command] {
        const auto needs_samples = [&](const std::string& name) {
            if (options->samples == 0 && command.count(name) > 0) {
                wrong_usage(fmt::format("{} is about samples; say how many with --samples", name));
            }
        };
        needs_samples("--plot");
        needs_samples("--sampler");
        for (const SamplingOption& option : sampling_options) {
            if (option.name != "length") needs_samples(fmt::format("--{}", option.name));
        }
        options->execute();
    });
}

}  // namespace folio
