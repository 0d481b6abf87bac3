#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/process/masked.h"
#include "core/process/noisy_rows.h"
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

struct LogitsCommand {
    std::string weights, text, ids_file, noisy_file, out;
    double t = -1;  // not given
    bool as_json = false;
    DeviceOptions device;

    void execute() const;
};

bool all_finite(std::span<const float> values) {
    return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

struct Rows {
    std::vector<int> ids;  // [batch, length]
    int batch = 0, length = 0;
};

/// Rows of ids out of a JSON file: [[1, 2], [3, 4]], all of one length.
Rows read_ids(const std::string& path, int vocab_size) {
    const auto parsed = unwrap(parse_json(read_file(path, "the file of ids"), quote_path(path), SIZE_MAX));
    const auto refuse = [&](const std::string& why) { stop(quote_path(path) + " " + why); };
    if (!parsed.is_array() || parsed.empty() || !parsed[0].is_array() || parsed[0].empty()) {
        refuse("holds no rows of ids; write them like [[1, 2, 3], [4, 5, 6]]");
    }
    Rows rows;
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

/// The noisy rows of a Gaussian model out of a file, as many and as wide as the model takes.
Npy read_rows(const std::string& path, const ModelConfig& config) {
    Npy rows = parse_npy(read_file(path, "the file of noisy rows"), quote_path(path));
    if (rows.shape[2] != static_cast<std::size_t>(config.vocab_size)) {
        stop(fmt::format("the noisy rows are {} wide, but the model has {} characters", rows.shape[2],
                         config.vocab_size));
    }
    if (!all_finite(rows.values))
        stop(fmt::format("{} holds numbers that are not finite; write finite ones", quote_path(path)));
    return rows;
}

void LogitsCommand::execute() const {
    if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
    if (out.empty()) wrong_usage("a file for the logits is missing; name it with --out");
    if (text.empty() + ids_file.empty() + noisy_file.empty() != 2)
        wrong_usage("give the input either by --text, by --ids or by --input");
    refuse_overwrite(out, {weights, ids_file, noisy_file});
    if (as_json) refuse_stdout(out);
    const ModelFile model = load_model(weights);
    Device computer(device, model);
    const ModelConfig& config = model.config;
    if (config.soft_tokens == noisy_file.empty()) {
        wrong_usage(config.soft_tokens
                        ? "a Gaussian model looks at noisy rows; give them by --input, and their time by --t"
                        : "--input takes the noisy rows of a Gaussian model; give this one --text or --ids");
    }
    if (t >= 0 && config.time_rows == 0) wrong_usage("this model is not told the time; leave --t out");
    Rows rows;
    Npy noisy;
    if (config.soft_tokens) {
        if (t < 0) wrong_usage("the time of the noisy rows is missing; give it by --t, 1 being noise");
        noisy = read_rows(noisy_file, config);
        rows.batch = static_cast<int>(noisy.shape[0]);
        rows.length = static_cast<int>(noisy.shape[1]);
    } else if (!ids_file.empty()) {
        rows = read_ids(ids_file, config.vocab_size);
    } else {
        refuse_backslash(text, "--text", model.vocabulary);
        auto ids = model.vocabulary.encode(text);
        if (!ids) wrong_usage("--text: " + ids.error().sentence);
        rows = {std::move(*ids), 1, 0};
        rows.length = static_cast<int>(rows.ids.size());
    }
    if (rows.length > config.max_length()) {
        stop(fmt::format("a row has {} places, more than the {} that this model takes", rows.length,
                         config.max_length()));
    }

    // One row at a time: the same numbers, and the memory of one.
    Denoiser denoiser = make_denoiser(computer.ops(), model);
    const auto length = static_cast<std::size_t>(rows.length);
    std::vector<float> logits(length * static_cast<std::size_t>(config.vocab_size));
    const auto of_ids = [&](std::size_t row) {
        const std::span<const int> ids(rows.ids.data() + row * length, length);
        // Without --t the noise is what the row shows.
        const double masked = static_cast<double>(std::count(ids.begin(), ids.end(), model.process.mask_id));
        std::vector<int> time;
        if (config.time_rows > 0)
            time.push_back(time_row(t < 0 ? masked / static_cast<double>(length) : t, config.time_rows));
        unwrap(denoiser.predict(ids, time, 1, rows.length, logits));
    };
    std::optional<GaussianDiffusion> diffusion;
    std::optional<NoisyRows> z;
    if (config.soft_tokens) {
        diffusion = unwrap(GaussianDiffusion::create(model.process.gaussian, config.vocab_size));
        z.emplace(*diffusion, model.process.gaussian, config, rows.length);
    }
    const auto of_noise = [&](std::size_t row) {
        std::copy_n(noisy.values.begin() + static_cast<std::ptrdiff_t>(row * logits.size()), logits.size(),
                    z->all().begin());
        unwrap(z->look(denoiser, diffusion->level(t), [](int) { return false; }));
        std::copy(z->answers().begin(), z->answers().end(), logits.begin());
    };
    const std::string header =
        npy_header({static_cast<std::size_t>(rows.batch), length, static_cast<std::size_t>(config.vocab_size)});
    write_file(out, [&](const ByteSink& sink) -> Result<void> {
        if (auto written = sink(std::as_bytes(std::span(header))); !written) return written;
        for (int row = 0; row < rows.batch; ++row) {
            if (config.soft_tokens)
                of_noise(static_cast<std::size_t>(row));
            else
                of_ids(static_cast<std::size_t>(row));
            if (!all_finite(logits))
                stop(noisy_file.empty() ? "the model answers with numbers that are not finite; its weights are damaged"
                                        : "the model answers with numbers that are not finite; its weights are "
                                          "damaged, or the rows too large");
            if (auto written = sink(std::as_bytes(std::span(logits))); !written) return written;
        }
        return {};
    });
    if (as_json)
        fmt::print("{}\n",
                   to_text(ordered_json{{"file", out}, {"shape", {rows.batch, rows.length, config.vocab_size}}}));
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
