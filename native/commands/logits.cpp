#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/predict/gaussian_predictor.h"
#include "core/process/masked.h"
#include "core/weights/json.h"
#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/models.h"
#include "native/host/npy.h"
#include "native/host/options.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

/// Input of the model: ids, or noisy rows of a Gaussian one.
struct LogitsInput {
    std::vector<int> ids;      // [batch, length]
    std::vector<float> noisy;  // [batch, length, vocab_size]
    int batch = 0, length = 0;
};

struct LogitsCommand {
    std::string weights, text, ids_file, noisy_file, out;
    double t = -1;  // not given
    bool as_json = false;
    DeviceOptions device;

    void execute() const;

private:
    void check() const;
    void check_input(const ModelConfig& config) const;
    LogitsInput read_input(const ModelFile& model) const;
};

bool all_finite(std::span<const float> values) {
    return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

/// LogitsInput of ids out of a JSON file: [[1, 2], [3, 4]], all of one length.
LogitsInput read_ids(const std::string& path, int vocab_size) {
    const auto parsed = unwrap(parse_json(read_file(path, "the file of ids"), quote_path(path), SIZE_MAX));
    const auto refuse = [&](const std::string& why) { stop(quote_path(path) + " " + why); };
    if (!parsed.is_array() || parsed.empty() || !parsed[0].is_array() || parsed[0].empty()) {
        refuse("holds no rows of ids; write them like [[1, 2, 3], [4, 5, 6]]");
    }
    LogitsInput rows;
    rows.batch = static_cast<int>(parsed.size());
    rows.length = static_cast<int>(parsed[0].size());
    for (const auto& row : parsed) {
        if (!row.is_array() || row.size() != parsed[0].size())
            refuse("has rows of different lengths; fill the shorter ones up or give one file for each length");
        for (const auto& id : row) {
            if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= static_cast<std::uint64_t>(vocab_size)) {
                refuse(fmt::format("holds something that is no id from 0 to {}; ids are whole numbers below vocab_size",
                                   vocab_size - 1));
            }
            rows.ids.push_back(id.get<int>());
        }
    }
    return rows;
}

/// The noisy rows of a Gaussian model out of a file, as wide as the model takes them.
LogitsInput read_soft_rows(const std::string& path, const ModelConfig& config) {
    Npy file = parse_npy(read_file(path, "the file of noisy rows"), quote_path(path));
    if (file.shape[2] != static_cast<std::size_t>(config.vocab_size)) {
        stop(fmt::format("the noisy rows are {} wide, but the model has {} characters", file.shape[2],
                         config.vocab_size));
    }
    if (!all_finite(file.values))
        stop(fmt::format("{} holds numbers that are not finite; write finite ones", quote_path(path)));
    return {{}, std::move(file.values), static_cast<int>(file.shape[0]), static_cast<int>(file.shape[1])};
}

/// One pass a row: the same numbers as all rows at once, and the memory of one.
class RowPass {
public:
    /// `t` is the time of all rows; negative: each row's own share of [MASK].
    RowPass(Denoiser& denoiser, const ModelFile& model, const LogitsInput& rows, double t);

    /// The logits [length, vocab_size] of a row.
    std::span<const float> logits(int row);

private:
    void forward_ids(std::span<const int> ids);
    void forward_noisy(std::span<const float> z);

    HostForward network_;
    const ModelFile& model_;
    const LogitsInput& rows_;
    double t_;
    std::vector<float> logits_;
    std::optional<GaussianDiffusion> diffusion_;
    std::optional<GaussianPredictor> gaussian_;
};

RowPass::RowPass(Denoiser& denoiser, const ModelFile& model, const LogitsInput& rows, double t)
    : network_(denoiser),
      model_(model),
      rows_(rows),
      t_(t),
      logits_(static_cast<std::size_t>(rows.length) * static_cast<std::size_t>(model.config.vocab_size)) {
    if (rows.noisy.empty()) return;
    diffusion_ = unwrap(GaussianDiffusion::create(model.process.gaussian, model.config.vocab_size));
    gaussian_.emplace(denoiser, *diffusion_, model.process.gaussian.matched_filter, rows.length);
}

std::span<const float> RowPass::logits(int row) {
    const auto number = static_cast<std::size_t>(row), length = static_cast<std::size_t>(rows_.length);
    if (gaussian_)
        forward_noisy(std::span(rows_.noisy).subspan(number * logits_.size(), logits_.size()));
    else
        forward_ids(std::span(rows_.ids).subspan(number * length, length));
    if (!all_finite(logits_))
        stop(fmt::format("the model's outputs are not finite; its weights are damaged{}",
                         gaussian_ ? ", or the rows too large" : ""));
    return logits_;
}

void RowPass::forward_ids(std::span<const int> ids) {
    const double masked = static_cast<double>(std::count(ids.begin(), ids.end(), model_.process.mask_id));
    std::vector<int> time;
    if (model_.config.time_rows > 0)
        time.push_back(time_row(t_ < 0 ? masked / static_cast<double>(ids.size()) : t_, model_.config.time_rows));
    unwrap(network_.forward(ids, time, 1, rows_.length, logits_));
}

void RowPass::forward_noisy(std::span<const float> z) {
    std::copy(z.begin(), z.end(), gaussian_->z().begin());
    unwrap(gaussian_->forward(diffusion_->schedule().level(t_), [](int) { return false; }));
    std::copy(gaussian_->output().begin(), gaussian_->output().end(), logits_.begin());
}

void LogitsCommand::check() const {
    if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
    if (out.empty()) wrong_usage("a file for the logits is missing; name it with --out");
    if (text.empty() + ids_file.empty() + noisy_file.empty() != 2)
        wrong_usage("give the input either by --text, by --ids or by --input");
    refuse_overwrite(out, {weights, ids_file, noisy_file});
    if (as_json) refuse_stdout(out);
}

/// Ends the command where the model does not take the kind of input that is given.
void LogitsCommand::check_input(const ModelConfig& config) const {
    if (config.soft_tokens == noisy_file.empty()) {
        wrong_usage(config.soft_tokens
                        ? "a Gaussian model looks at noisy rows; give them by --input, and their time by --t"
                        : "--input takes the noisy rows of a Gaussian model; give this one --text or --ids");
    }
    if (t >= 0 && config.time_rows == 0) wrong_usage("this model is not told the time; leave --t out");
    if (t < 0 && config.soft_tokens)
        wrong_usage("the time of the noisy rows is missing; give it by --t, 1 being noise");
}

LogitsInput LogitsCommand::read_input(const ModelFile& model) const {
    const ModelConfig& config = model.config;
    LogitsInput rows;
    if (config.soft_tokens) {
        rows = read_soft_rows(noisy_file, config);
    } else if (!ids_file.empty()) {
        rows = read_ids(ids_file, config.vocab_size);
    } else {
        refuse_backslash(text, "--text", model.vocabulary);
        auto ids = model.vocabulary.encode(text);
        if (!ids) wrong_usage("--text: " + ids.error().sentence);
        const int length = static_cast<int>(ids->size());
        rows = {std::move(*ids), {}, 1, length};
    }
    if (rows.length > config.max_length()) {
        stop(fmt::format("a row has {} positions, more than the {} that this model takes", rows.length,
                         config.max_length()));
    }
    return rows;
}

void LogitsCommand::execute() const {
    check();
    const ModelFile model = load_model(weights);
    Device computer(device, model);
    check_input(model.config);
    const LogitsInput rows = read_input(model);
    Denoiser denoiser = make_denoiser(computer.ops(), model);
    RowPass pass(denoiser, model, rows, t);
    const auto size = [](int extent) { return static_cast<std::size_t>(extent); };
    const std::string header = npy_header({size(rows.batch), size(rows.length), size(model.config.vocab_size)});
    write_file(out, [&](const ByteSink& sink) -> Result<void> {
        if (auto written = sink(std::as_bytes(std::span(header))); !written) return written;
        for (int row = 0; row < rows.batch; ++row)
            if (auto written = sink(std::as_bytes(pass.logits(row))); !written) return written;
        return {};
    });
    if (as_json) {
        fmt::print("{}\n",
                   to_text(ordered_json{{"file", out}, {"shape", {rows.batch, rows.length, model.config.vocab_size}}}));
    }
}

}  // namespace

void add_logits(CLI::App& program) {
    CLI::App& command = add_command(program, "logits", "One forward pass, for comparison with other implementations");
    const auto options = std::make_shared<LogitsCommand>();
    add_name(command, "--weights", options->weights, "weights file");
    add_text(command, "--text", options->text, "a text as the input");
    add_name(command, "--ids", options->ids_file, "a file with JSON rows of ids as the input");
    add_name(command, "--input", options->noisy_file,
             "a NumPy file with the noisy rows x_t of a Gaussian model as the input, float32 [batch, positions, "
             "vocab_size]");
    add_number(
        command, "--t", 0, 1, [o = options.get()](double t) { o->t = t; },
        "their time, 1 being noise; or the mask probability, for models with a time embedding [share of [MASK] in a "
        "row]");
    add_name(command, "--out", options->out, "NumPy file for float32 [batch, positions, vocab_size]");
    add_flag(command, "--json", options->as_json, "what was written as JSON");
    add_device_options(command, options->device);
    on_call(command, [options] { options->execute(); });
}

}  // namespace folio
