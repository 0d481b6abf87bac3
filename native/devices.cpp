#include "native/devices.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "core/base/text.h"
#include "core/model/trial.h"
#include "native/failure.h"

namespace folio {
namespace {

/// The set of kernels that FOLIO_KERNELS names, null where it names none.
const KernelSet* forced_kernels() {
    const char* name = std::getenv("FOLIO_KERNELS");
    if (!name || !*name) return nullptr;
    const auto kernels = kernels_named(name);
    if (!kernels) wrong_usage(fmt::format("FOLIO_KERNELS={}: {}", quote(name), kernels.error().sentence));
    return *kernels;
}

std::vector<const KernelSet*> chosen_kernels(Precision precision) {
    if (const KernelSet* forced = forced_kernels()) {
        if (trustworthy(*forced, precision)) return {forced};
        stop(fmt::format("the kernels {} compute wrongly on this machine; unset FOLIO_KERNELS", forced->name));
    }
    const auto best = best_kernels(precision);
    return {best.begin(), best.end()};
}

Precision chosen_precision(const DeviceOptions& options, Precision preferred) {
    if (options.precision == "auto") return preferred;
    if (preferred == Precision::int8)
        wrong_usage("the weights are integers, which decides what is multiplied; leave --precision out");
    if (options.precision == "f32") return Precision::f32;
    if (!Device::has_bf16()) {
        const KernelSet* forced = forced_kernels();
        wrong_usage(fmt::format("the kernels {} have no bf16 products; use --precision f32",
                                (forced ? forced : available_kernels().front())->name));
    }
    return Precision::bf16;
}

}  // namespace

const char* name_of(Precision precision) {
    switch (precision) {
        case Precision::f32: return "f32";
        case Precision::bf16: return "bf16";
        case Precision::int8: break;
    }
    return "int8";
}

std::vector<Way> ways(bool exact) {
    std::vector<Way> result;
    const KernelSet* forced = forced_kernels();
    const auto sets = available_kernels();
    for (std::size_t i = 0; i < sets.size(); ++i) {
        const KernelSet* set = sets[i];
        if (forced && set != forced) continue;
        if (exact) {
            result.push_back({set, Precision::int8});
            continue;
        }
        if (set->bf16) result.push_back({set, Precision::bf16});
        const bool repeated = i + 1 < sets.size() && sets[i + 1]->f32 == set->f32;
        if (!repeated || forced) result.push_back({set, Precision::f32});
    }
    return result;
}

bool Device::has_bf16() {
    const KernelSet* forced = forced_kernels();
    return (forced ? forced : available_kernels().front())->bf16 != nullptr;
}

Device::Device(const DeviceOptions& options, Precision preferred) : precision_(chosen_precision(options, preferred)) {
    if (options.device == "cuda") {
        wrong_usage("this build has no CUDA; leave --device out to compute on the CPU");
    }
    parallel_ = std::make_unique<OpenMpParallel>(options.threads > 0 ? options.threads : physical_cores());
}

Device::Device(const DeviceOptions& options) : Device(options, has_bf16() ? Precision::bf16 : Precision::f32) {
    ops_ = std::make_unique<CpuTrainingOps>(*parallel_, *chosen_kernels(precision_).front(), precision_);
}

Device::Device(const DeviceOptions& options, const ModelFile& model)
    : Device(options, model.exact() ? Precision::int8 : Precision::f32) {
    ops_ = make_ops(*parallel_, chosen_kernels(precision_), precision_);
}

std::string Device::describe() const {
    return fmt::format("{} thread{}, {} kernels, {} products", threads(), threads() == 1 ? "" : "s", kernels().name, name_of(precision_));
}

std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    }
    return "unknown processor";
}

}  // namespace folio
