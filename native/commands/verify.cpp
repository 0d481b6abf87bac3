#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/sampling/json_request.h"
#include "native/commands/commands.h"
#include "native/host/failure.h"
#include "native/host/files.h"
#include "native/host/models.h"
#include "native/host/options.h"
#include "native/report/published.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

struct VerifyCommand {
    std::string weights_dir;
    DeviceOptions device;
    bool as_json = false;

    void execute() const;
};

fs::path file_of(const fs::path& folder, const std::string& weights) { return folder / (weights + ".safetensors"); }

/// Names of the files of the set that are not in a folder.
std::vector<std::string> missing_files(const PublishedSet& set, const fs::path& folder) {
    std::vector<std::string> missing;
    for (const auto& [weights, hash] : set.weights) {
        const fs::path file = file_of(folder, weights);
        if (std::error_code unknown; !fs::exists(file, unknown)) missing.push_back(file.filename().string());
    }
    return missing;
}

/// The folder of the shipped weights: the one that is given, else `weights` here, else the one that is installed with
/// the program. Ends the command where files are missing.
fs::path find_weights(const PublishedSet& set, const std::string& given) {
    std::vector<fs::path> folders{given};
    if (given.empty()) {
        std::error_code unknown;
        const fs::path program = fs::read_symlink("/proc/self/exe", unknown);
        folders = {"weights", (program.parent_path() / FOLIO_INSTALLED_WEIGHTS).lexically_normal()};
    }
    std::vector<std::string> names;
    for (const fs::path& folder : folders) {
        if (missing_files(set, folder).empty()) return folder;
        names.push_back(quote_path(folder));
    }
    stop(fmt::format("weights are missing in {}: {}; name the folder of the shipped weights with --weights-dir",
                     fmt::join(names, " and in "), fmt::join(missing_files(set, folders.front()), ", ")));
}

/// The models of the set, each read when it is first needed.
class Models {
public:
    Models(fs::path folder, DeviceOptions device) : folder_(std::move(folder)), device_(std::move(device)) {}

    LoadedModel& named(const std::string& weights) {
        const std::string file = path(weights);
        LoadedModel& model = loaded_.try_emplace(weights, file, device_).first->second;
        if (!model.file.exact())
            stop(fmt::format("{} is no int8 model, and only those give the same text everywhere", quote_path(file)));
        return model;
    }

    /// True if a file is the one that the published hashes are of.
    bool published(const PublishedSet& set, const std::string& weights) const {
        return short_hash(read_file(path(weights), "the weights file")) == set.weights.at(weights);
    }

    /// What has computed, as Device::describe has it.
    std::set<std::string> devices() const {
        std::set<std::string> names;
        for (const auto& [weights, model] : loaded_) names.insert(model.device.describe());
        return names;
    }

private:
    std::string path(const std::string& weights) const { return file_of(folder_, weights).string(); }

    fs::path folder_;
    DeviceOptions device_;
    std::map<std::string, LoadedModel> loaded_;
};

std::string sample_text(Models& models, const PublishedSample& sample) {
    const std::string about = fmt::format("the sample {} cannot be drawn", quote(sample.name));
    LoadedModel& model = models.named(sample.weights);
    const Vocabulary& vocabulary = model.file.vocabulary;
    std::optional<Proofreader> proofreader;
    if (!sample.proofread.empty()) {
        LoadedModel& reader = models.named(sample.proofread);
        proofreader = Proofreader{unwrap(proofreader_ids(model.file, reader.file), about),
                                  autoregressive_predictor(reader.denoiser)};
    }
    auto request = unwrap(read_request(sample.request, model.file.process.kind,
                                       [&](char32_t character) { return vocabulary.encode(character); }),
                          about);
    const auto sampler = unwrap(
        make_sampler(model.denoiser, model.file.process, std::move(request), proofreader ? &*proofreader : nullptr),
        about);
    while (!sampler->done()) unwrap(sampler->step(), about);
    return vocabulary.decode(sampler->frame().id);
}

/// The sentence about samples that are not the published ones.
std::string difference(const PublishedSet& set, const std::vector<const PublishedSample*>& different,
                       const Models& models) {
    std::set<std::string> other;
    for (const PublishedSample* sample : different) {
        for (const std::string& weights : {sample->weights, sample->proofread})
            if (!weights.empty() && !models.published(set, weights)) other.insert(weights);
    }
    const std::string reason =
        other.empty()
            ? "although the weights are the published ones: this machine computes differently; please report it"
            : fmt::format("because these weights are not the published ones: {}", fmt::join(other, ", "));
    return fmt::format("{} of {} texts {} from what is published, {}", different.size(), set.samples.size(),
                       different.size() == 1 ? "differs" : "differ", reason);
}

void VerifyCommand::execute() const {
    const PublishedSet set = published_set();
    Models models(find_weights(set, weights_dir), device);
    std::vector<std::string> hashes;
    std::vector<const PublishedSample*> different;
    ordered_json rows = ordered_json::array();
    const auto verdict = [](bool same) { return same ? "published" : "DIFFERS"; };
    for (const PublishedSample& sample : set.samples) {
        const std::string text = sample_text(models, sample);
        hashes.push_back(short_hash(text));
        const bool same = hashes.back() == sample.hash;
        if (!same) different.push_back(&sample);
        rows.push_back({{"name", sample.name},
                        {"weights", sample.weights},
                        {"text", text},
                        {"hash", hashes.back()},
                        {"published", sample.hash},
                        {"same", same}});
        if (as_json) continue;
        fmt::print("{:<32} {}  {}\n", sample.name, hashes.back(), verdict(same));
        std::fflush(stdout);
    }
    const std::string all = hash_of_all(set.samples, hashes);
    const auto devices = models.devices();
    if (as_json) {
        ordered_json report{
            {"samples", rows}, {"hash", all}, {"published", set.hash}, {"same", all == set.hash}, {"devices", devices}};
        for (const KernelSet* kernels : available_kernels()) report["kernels"].push_back(kernels->name);
        fmt::print("{}\n", to_text(report));
    } else {
        fmt::print("{:<32} {}  {}\n{}\n", "all", all, verdict(all == set.hash), fmt::join(devices, "; "));
    }
    if (!different.empty()) stop(difference(set, different, models));
}

}  // namespace

void add_verify(CLI::App& program) {
    CLI::App& command =
        add_command(program, "verify",
                    "Sample a fixed set of texts from the shipped int8 models, whose hash is the same on every target");
    const auto options = std::make_shared<VerifyCommand>();
    add_name(command, "--weights-dir", options->weights_dir,
             "folder of the shipped weights [weights, else the one installed with the program]");
    add_integer(command, "--threads", 1, 1024, options->device.threads, "threads [one per physical core]");
    add_flag(command, "--json", options->as_json, "texts and hashes as JSON");
    on_call(command, [options] { options->execute(); });
}

}  // namespace folio
