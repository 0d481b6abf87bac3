#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/process/masked.h"
#include "core/weights/json.h"
#include "native/commands/commands.h"
#include "native/failure.h"
#include "native/files.h"
#include "native/models.h"
#include "native/options.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

struct LogitsCommand {
    std::string weights, text, ids_file, out;
    double t = -1;  // not given
    bool as_json = false;
    DeviceOptions device;

    void execute() const;
};

struct Rows {
    std::vector<int> ids;  // [batch, length]
    int batch = 0, length = 0;
};

/// Rows of ids out of a JSON file: [[1, 2], [3, 4]], all of one length.
Rows read_ids(const std::string& path, int vocab_size) {
    const auto parsed = unwrap(parse_json(read_file(path, "the file of ids"), "the file of ids", SIZE_MAX));
    const auto refuse = [](const std::string& why) { stop("the file of ids " + why); };
    if (!parsed.is_array() || parsed.empty() || !parsed[0].is_array() || parsed[0].empty()) {
        refuse("holds no rows of ids; write them like [[1, 2, 3], [4, 5, 6]]");
    }
    Rows rows;
    rows.batch = static_cast<int>(parsed.size());
    rows.length = static_cast<int>(parsed[0].size());
    for (const auto& row : parsed) {
        if (!row.is_array() || row.size() != parsed[0].size()) refuse("has rows of different lengths");
        for (const auto& id : row) {
            if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= static_cast<std::uint64_t>(vocab_size)) {
                refuse(fmt::format("holds something that is no id from 0 to {}", vocab_size - 1));
            }
            rows.ids.push_back(id.get<int>());
        }
    }
    return rows;
}

/// The header of NumPy's format, version 1.0: magic, length, a Python dictionary padded so that the data is aligned.
std::string npy_header(int batch, int length, int width) {
    std::string dictionary =
        fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}, {}), }}", batch, length, width);
    dictionary.append(63 - (10 + dictionary.size()) % 64, ' ');
    dictionary += '\n';
    std::string header = "\x93NUMPY";
    header += {'\x01', '\x00', static_cast<char>(dictionary.size() & 0xFF), static_cast<char>(dictionary.size() >> 8)};
    return header + dictionary;
}

void LogitsCommand::execute() const {
    if (weights.empty()) wrong_usage("a weights file is missing; name it with --weights");
    if (out.empty()) wrong_usage("a file for the logits is missing; name it with --out");
    if (text.empty() == ids_file.empty()) wrong_usage("give the input either by --text or by --ids");
    const ModelFile model = load_model(weights);
    if (model.config.mixture) wrong_usage("this version does not take the noisy rows of a Gaussian model yet");
    Device computer(device, model);
    const ModelConfig& config = model.config;
    Rows rows;
    if (!ids_file.empty()) {
        rows = read_ids(ids_file, config.vocab_size);
    } else {
        auto ids = model.vocabulary.encode(text);
        if (!ids) wrong_usage("--text: " + ids.error().sentence);
        rows = {std::move(*ids), 1, 0};
        rows.length = static_cast<int>(rows.ids.size());
    }
    if (rows.length > config.max_length()) {
        stop(fmt::format("a row has {} places, more than the {} that this model takes", rows.length, config.max_length()));
    }

    // One row at a time: the same numbers, and the memory of one.
    Denoiser denoiser = make_denoiser(computer.ops(), model);
    const auto length = static_cast<std::size_t>(rows.length);
    std::vector<float> logits(length * static_cast<std::size_t>(config.vocab_size));
    const std::string header = npy_header(rows.batch, rows.length, config.vocab_size);
    write_file(out, [&](const ByteSink& sink) -> Result<void> {
        if (auto written = sink(std::as_bytes(std::span(header))); !written) return written;
        for (int row = 0; row < rows.batch; ++row) {
            const std::span<const int> ids(rows.ids.data() + static_cast<std::size_t>(row) * length, length);
            // Without --t the noise is what the row shows.
            const double masked = static_cast<double>(std::count(ids.begin(), ids.end(), model.process.mask_id));
            std::vector<int> time;
            if (config.time_rows > 0) time.push_back(time_row(t < 0 ? masked / static_cast<double>(length) : t, config.time_rows));
            unwrap(denoiser.predict(ids, time, 1, rows.length, logits));
            if (!std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); }))
                stop("the model answers with numbers that are not finite; its weights are damaged");
            if (auto written = sink(std::as_bytes(std::span(logits))); !written) return written;
        }
        return {};
    });
    if (as_json) fmt::print("{}\n", ordered_json{{"file", out}, {"shape", {rows.batch, rows.length, config.vocab_size}}}.dump());
}

}  // namespace

void add_logits(CLI::App& program) {
    CLI::App& command = *program.add_subcommand("logits", "One forward pass, for comparison with other implementations");
    const auto options = std::make_shared<LogitsCommand>();
    add_text(command, "--weights", options->weights, "weights file");
    add_text(command, "--text", options->text, "a text as the input");
    add_text(command, "--ids", options->ids_file, "a file with JSON rows of ids as the input");
    add_number(command, "--t", 0, 1, [o = options.get()](double t) { o->t = t; },
               "mask probability, for models with a time embedding [share of [MASK] in a row]");
    add_text(command, "--out", options->out, "NumPy file for float32 [batch, positions, vocab_size]");
    command.add_flag("--json", options->as_json, "what was written as JSON");
    add_device_options(command, options->device);
    command.callback([options] { options->execute(); });
}

}  // namespace folio
