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

/// The setting of samples for people.
std::string setting(const SampleResults& results) {
    const SamplingOptions& options = results.options;
    std::string text = fmt::format("{}, temperature {}", name_of(*options.sampler), options.temperature);
    if (options.temperature_fall > 0)
        text += fmt::format(" falling to {:.3g}", options.temperature * (1 - options.temperature_fall));
    if (results.proofread)
        text += fmt::format(", proofread in {} rounds from a share of {}", options.rounds, options.proofread_share);
    return text;
}

std::string with_error(double value, double error) {
    return std::isnan(error) ? fmt::format("{:.3f}", value) : fmt::format("{:.3f} ± {:.3f}", value, error);
}

}  // namespace

ordered_json to_json(const SampleResults& results) {
    ordered_json report = {{"sampler", name_of(*results.options.sampler)}};
    for (const SamplingOption& option : sampling_options) {
        const bool used = check_used(option, *results.options.sampler, results.proofread).has_value();
        if (!used || option.name == "length") continue;
        const double value = value_of(results.options, option);
        const bool whole = std::holds_alternative<int SamplingOptions::*>(option.member);
        report[std::string(option.name)] = whole ? ordered_json(std::llround(value)) : ordered_json(value);
    }
    report.update(to_json(results.statistics, results.judge));
    report.update({{"passes", results.passes}, {"ms", results.ms}});
    if (results.options.stop_stable > 0) report["passes_saved"] = results.passes_saved;
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

SampleResults SampleMeasure::draw(SamplingOptions options, const std::function<void(int)>& progress) const {
    SampleResults results;
    results.options = options;
    results.proofread = proofreader_ != nullptr;
    std::vector<std::u32string> texts;
    for (int i = 0; i < count_; ++i) {
        progress(i);
        const auto number = static_cast<std::size_t>(i);
        const SamplingRequest wanted = request(model_, options, number, first_ids_[number % first_ids_.size()]);
        const auto begin = std::chrono::steady_clock::now();
        const auto sampler = unwrap(make_sampler(denoiser_, model_.process, wanted, proofreader_));
        while (!sampler->done()) unwrap(sampler->step());
        results.ms +=
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count() / count_;
        const Frame frame = sampler->frame();
        results.passes += static_cast<double>(frame.step) / count_;
        results.passes_saved += static_cast<double>(frame.passes_saved) / count_;
        texts.push_back(characters(frame.id, model_.vocabulary));
    }
    progress(count_);
    results.statistics = training_.measure(texts);
    results.judge = judged(texts);
    return results;
}

void SampleMeasure::draw_frontier(const std::string& file, std::span<const SampleResults> results) const {
    const std::string caption = fmt::format(
        "{} samples of {} characters at each setting; the judge is a 5-gram of the training text", count_, length());
    write_file(file, frontier_svg(results, real_, caption));
}

void SampleMeasure::begin_plot(const std::string& file) const { draw_frontier(file, {}); }

std::vector<SamplingOptions> SampleMeasure::plotted_settings(const SamplingOptions& options) const {
    std::vector<SamplingOptions> settings;
    for (const SamplerName& sampler : sampler_names) {
        if (sampler.process != model_.process.kind) continue;
        // From left to right every character is a pass.
        const bool in_order = sampler.kind == SamplerKind::left_to_right;
        for (const int steps : plotted_steps) {
            if (in_order && steps != plotted_steps.front()) continue;
            for (const double temperature : plotted_temperatures) {
                SamplingOptions& setting = settings.emplace_back(options);
                setting.sampler = sampler.kind;
                setting.steps = in_order ? length() : steps;
                setting.temperature = temperature;
            }
        }
    }
    return settings;
}

ordered_json SampleMeasure::plot(const std::string& file, const SamplingOptions& wanted, Progress& progress) const {
    const std::vector<SamplingOptions> settings = plotted_settings(wanted);
    std::vector<SampleResults> results;
    ordered_json report = ordered_json::array();
    for (const SamplingOptions& options : settings) {
        const auto show = [&](int done) {
            const double all = static_cast<double>(results.size()) + static_cast<double>(done) / count_;
            progress.show(all / static_cast<double>(settings.size()),
                          fmt::format("setting {} of {}, {}, {} passes, temperature {}: {} of {} samples",
                                      results.size() + 1, settings.size(), name_of(*options.sampler), options.steps,
                                      options.temperature, done, count_));
        };
        results.push_back(draw(options, show));
        report.push_back(to_json(results.back()));
        draw_frontier(file, results);
    }
    return report;
}

ordered_json SampleMeasure::real() const { return to_json(real_, real_judged_); }

void SampleMeasure::print(const SampleResults& results) const {
    const TextStatistics &ours = results.statistics, &real = real_;
    fmt::print("{} samples of {} characters, {}: {:.1f} steps and {:.1f} ms each\n", ours.count, length(),
               setting(results), results.passes, results.ms);
    fmt::print("{:44}{:>18}{:>18}\n", "", "samples", "real text");
    const auto line = [](const char* name, const std::string& a, const std::string& b) {
        fmt::print("{:44}{:>18}{:>18}\n", name, a, b);
    };
    const auto mean = [&](const char* name, const Estimate& a, const Estimate& b) {
        line(name, with_error(a.nats_per_char, a.standard_error), with_error(b.nats_per_char, b.standard_error));
    };
    const auto rate = [&](const char* name, const Rate& a, const Rate& b) {
        line(name, with_error(a.share, a.standard_error), with_error(b.share, b.standard_error));
    };
    mean("5-gram judge, nats/character", ours.judge, real.judge);
    if (results.judge) mean("the other model as judge", *results.judge, *real_judged_);
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
