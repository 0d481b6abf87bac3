#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "core/evaluation/likelihood.h"
#include "native/commands/commands.h"
#include "native/failure.h"
#include "native/models.h"
#include "native/options.h"
#include "native/progress.h"
#include "native/text_data.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

struct EvalCommand {
    std::string weights, data;
    int draws = 16, windows = 0;
    std::vector<std::string> orders;
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

void EvalCommand::execute() const {
    if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
    for (const std::string& name : orders) order_named(name);
    const ModelFile model = load_model(weights);
    Device computer(device, model);
    const TextData text = encode_text(load_text(data), model.vocabulary);
    const Windows chosen = unwrap(Windows::of(text.validation(), model.config.seq_len, windows));
    Denoiser denoiser = make_denoiser(computer.ops(), model);
    const MaskedModel masked = masked_model(denoiser, model.process);

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
}

}  // namespace

void add_eval(CLI::App& program) {
    CLI::App& command = *program.add_subcommand("eval", "Measure the likelihood of the validation text");
    const auto options = std::make_shared<EvalCommand>();
    add_text(command, "--weights", options->weights, "weights file");
    add_text(command, "--data", options->data, "text, whose last 10 % is scored [FOLIO_DATA, else Tiny Shakespeare]");
    add_integer(command, "--draws", 1, 1'000'000, options->draws, fmt::format("draws per window [{}]", options->draws));
    add_integer(command, "--windows", 1, 1'000'000'000, options->windows, "an evenly spaced subset of the windows [all]");
    command
        .add_option("--order", options->orders, "add the exact likelihood of revealing in this order; may be given again")
        ->type_name(fmt::format("{{{}}}", fmt::join(reveal_order_names, ",")))
        ->allow_extra_args(false);
    command.add_flag("--json", options->as_json, "the figures as JSON");
    add_device_options(command, options->device);
    command.callback([options] { options->execute(); });
}

}  // namespace folio
