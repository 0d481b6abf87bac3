#include "native/report/samples.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cmath>

#include "core/sampling/request.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/models.h"
#include "native/report/frontier.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

/// The settings of --plot, tried for every sampler.
constexpr std::array plotted_steps = {8, 16, 32, 64};
constexpr std::array plotted_temperatures = {0.7, 0.8, 0.9, 1.0};

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
    for (int i = 0; i < windows.size(); ++i)
        texts.push_back(characters(windows.ids(i).first(windows.scored()), vocabulary));
    return texts;
}

ordered_json to_json(const TextStatistics& of, const std::optional<Estimate>& judged) {
    ordered_json report{
        {"count", of.count}, {"judge_nll", of.judge.nats_per_char}, {"judge_stderr", of.judge.standard_error}};
    if (judged) report.update({{"model_nll", judged->nats_per_char}, {"model_stderr", judged->standard_error}});
    report.update({{"entropy", of.entropy.nats_per_char},
                   {"entropy_stderr", of.entropy.standard_error},
                   {"pooled_entropy", of.pooled_entropy},
                   {"distinct_4", of.distinct_4},
                   {"word_rate", of.words.share},
                   {"word_stderr", of.words.standard_error},
                   {"word_bigram_rate", of.word_pairs.share},
                   {"word_bigram_stderr", of.word_pairs.standard_error},
                   {"copied_median", of.copied_median},
                   {"copied_p90", of.copied_p90},
                   {"copied_32", of.copied_32}});
    return report;
}

std::string draw_frontier(std::span<const FrontierPoint> points, const TextStatistics& real, int count, int length) {
    return frontier_svg(
        points, real,
        fmt::format("{} samples of {} characters at each setting; the judge is a 5-gram of the training text", count,
                    length));
}

}  // namespace

ordered_json to_json(const Drawn& drawn) {
    ordered_json report = {{"sampler", name_of(*drawn.options.sampler)}};
    for (const SamplingOption& option : sampling_options) {
        const bool used = check_used(option, *drawn.options.sampler, drawn.proofread).has_value();
        if (!used || option.name == "length") continue;
        const double value = value_of(drawn.options, option);
        const bool whole = std::holds_alternative<int SamplingOptions::*>(option.member);
        report[std::string(option.name)] = whole ? ordered_json(std::llround(value)) : ordered_json(value);
    }
    report.update(to_json(drawn.statistics, drawn.judge));
    report.update({{"passes", drawn.passes}, {"ms", drawn.ms}});
    if (drawn.options.stop_stable > 0) report["passes_saved"] = drawn.passes_saved;
    return report;
}

SampleMeasure::SampleMeasure(Denoiser& denoiser, const ModelFile& model, const TextData& text, int count,
                             std::optional<Judge> judge, const Proofreader* proofreader)
    : denoiser_(denoiser),
      model_(model),
      count_(count),
      training_(characters(text.train(), model.vocabulary), count_characters(model.vocabulary)),
      judge_(std::move(judge)),
      proofreader_(proofreader) {
    const Windows all = unwrap(Windows::of(text.validation(), length(), 0));
    for (int i = 0; i < all.size(); ++i) first_ids_.push_back(all.ids(i).front());
    const std::vector<std::u32string> texts = real_samples(all, model_.vocabulary);
    real_ = training_.measure(texts);
    real_judged_ = judged(texts);
    // The share of different strings depends on the number of texts: as many as there are samples.
    real_.distinct_4 =
        distinct_4(real_samples(unwrap(Windows::of(text.validation(), length(), count)), model_.vocabulary));
}

std::optional<Estimate> SampleMeasure::judged(std::span<const std::u32string> texts) const {
    if (!judge_) return std::nullopt;
    std::vector<double> nats;
    for (const std::u32string& text : texts) {
        std::vector<int> ids;
        for (const char32_t character : text) ids.push_back(judge_->vocabulary->encode(character).value());
        nats.push_back(unwrap(exact_nats(judge_->model, ids)));
    }
    return estimate(nats);
}

SamplingRequest SampleMeasure::request(const ModelFile& model, SamplingOptions options, std::uint64_t seed,
                                       int first_id) {
    options.length = model.config.seq_len;
    options.seed = seed;
    RequestWords words;
    words.prompt = opening_prompt(model, first_id);
    return unwrap(read_request(words, options, [&](char32_t c) { return model.vocabulary.encode(c); }));
}

void SampleMeasure::check(Denoiser& denoiser, const ModelFile& model, const SamplingOptions& options,
                          const Proofreader* proofreader) {
    if (const auto sampler = make_sampler(denoiser, model.process, request(model, options, 0, 0), proofreader);
        !sampler)
        wrong_usage(sampler.error().sentence);
}

Drawn SampleMeasure::draw(SamplingOptions options, const std::function<void(int)>& progress) const {
    Drawn drawn;
    drawn.options = options;
    drawn.proofread = proofreader_ != nullptr;
    std::vector<std::u32string> texts;
    for (int i = 0; i < count_; ++i) {
        progress(i);
        const auto number = static_cast<std::size_t>(i);
        const SamplingRequest wanted = request(model_, options, number, first_ids_[number % first_ids_.size()]);
        const auto begin = std::chrono::steady_clock::now();
        const auto sampler = unwrap(make_sampler(denoiser_, model_.process, wanted, proofreader_));
        while (!sampler->done()) unwrap(sampler->step());
        drawn.ms +=
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count() / count_;
        const Frame frame = sampler->frame();
        drawn.passes += static_cast<double>(frame.step) / count_;
        drawn.passes_saved += static_cast<double>(frame.passes_saved) / count_;
        texts.push_back(characters(frame.id, model_.vocabulary));
    }
    progress(count_);
    drawn.statistics = training_.measure(texts);
    drawn.judge = judged(texts);
    return drawn;
}

void SampleMeasure::begin_plot(const std::string& file) const {
    write_file(file, draw_frontier({}, real_, count_, length()));
}

ordered_json SampleMeasure::plot(const std::string& file, const SamplingOptions& wanted, Progress& progress) const {
    std::vector<SamplingOptions> settings;
    for (const SamplerName& sampler : sampler_names) {
        if (sampler.process != model_.process.kind) continue;
        for (const int steps : plotted_steps) {
            // From left to right every character is a pass.
            if (sampler.kind == SamplerKind::left_to_right && steps != plotted_steps.front()) continue;
            for (const double temperature : plotted_temperatures) {
                settings.push_back(wanted);
                settings.back().sampler = sampler.kind;
                settings.back().steps = sampler.kind == SamplerKind::left_to_right ? length() : steps;
                settings.back().temperature = temperature;
            }
        }
    }
    std::vector<FrontierPoint> points;
    ordered_json report = ordered_json::array();
    for (const SamplingOptions& options : settings) {
        const Drawn drawn = draw(options, [&](int done) {
            const double all = static_cast<double>(points.size()) + static_cast<double>(done) / count_;
            progress.show(all / static_cast<double>(settings.size()),
                          fmt::format("setting {} of {}, {}, {} passes, temperature {}: {} of {} samples",
                                      points.size() + 1, settings.size(), name_of(*options.sampler), options.steps,
                                      options.temperature, done, count_));
        });
        points.push_back(
            {std::string(name_of(*options.sampler)), options.steps, options.temperature, drawn.statistics});
        report.push_back(to_json(drawn));
        write_file(file, draw_frontier(points, real_, count_, length()));
    }
    return report;
}

ordered_json SampleMeasure::real() const { return to_json(real_, real_judged_); }

void SampleMeasure::print(const Drawn& drawn) const {
    const TextStatistics &ours = drawn.statistics, &real = real_;
    const SamplingOptions& options = drawn.options;
    std::string how = fmt::format("{}, temperature {}", name_of(*options.sampler), options.temperature);
    if (options.temperature_fall > 0)
        how += fmt::format(" falling to {:.3g}", options.temperature * (1 - options.temperature_fall));
    if (drawn.proofread)
        how += fmt::format(", proofread in {} rounds from a share of {}", options.rounds, options.proofread_share);
    fmt::print("{} samples of {} characters, {}: {:.1f} steps and {:.1f} ms each\n", ours.count, length(), how,
               drawn.passes, drawn.ms);
    fmt::print("{:44}{:>18}{:>18}\n", "", "samples", "real text");
    const auto line = [](const char* what, const std::string& a, const std::string& b) {
        fmt::print("{:44}{:>18}{:>18}\n", what, a, b);
    };
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
    if (drawn.judge) mean("the other model as judge", *drawn.judge, *real_judged_);
    mean("entropy of a sample, nats/character", ours.entropy, real.entropy);
    line("different 4-grams/characters, pooled", fmt::format("{:.3f}", ours.distinct_4),
         fmt::format("{:.3f}", real.distinct_4));
    rate("words that the training text has", ours.words, real.words);
    rate("pairs of words that it has", ours.word_pairs, real.word_pairs);
    const auto runs = [](const TextStatistics& of) { return fmt::format("{} / {}", of.copied_median, of.copied_p90); };
    line("longest run copied from it, median / 90 %", runs(ours), runs(real));
    line("samples with a run of 32 or more", fmt::format("{:.1f} %", 100 * ours.copied_32),
         fmt::format("{:.1f} %", 100 * real.copied_32));
}

}  // namespace folio
