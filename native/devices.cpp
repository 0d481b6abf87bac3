#include "native/devices.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "native/failure.h"

namespace folio {
namespace {

/// The set of kernels that FOLIO_KERNELS names, null where it names none.
const Microkernels* forced_kernels() {
    const char* name = std::getenv("FOLIO_KERNELS");
    if (!name || !*name) return nullptr;
    const auto kernels = select_microkernels(name);
    if (!kernels) wrong_usage(kernels.error().sentence);
    return *kernels;
}

const Microkernels* chosen_kernels() {
    const Microkernels* forced = forced_kernels();
    return forced ? forced : available_microkernels().front();
}

}  // namespace

std::vector<Way> ways() {
    std::vector<Way> result;
    const Microkernels* forced = forced_kernels();
    for (const Microkernels* set : available_microkernels()) {
        if (forced && set != forced) continue;
        if (set->bf16) result.push_back({set, Precision::bf16});
        if (!set->bf16 || forced) result.push_back({set, Precision::f32});
    }
    return result;
}

bool Device::has_bf16() { return chosen_kernels()->bf16 != nullptr; }

Device::Device(const DeviceOptions& options, bool prefer_bf16) : kernels_(chosen_kernels()) {
    if (options.device == "cuda") {
        wrong_usage("this build has no CUDA; leave --device out to compute on the CPU");
    }
    if (options.precision == "bf16" && !kernels_->bf16) {
        wrong_usage(fmt::format("the kernels {} have no bf16 products; use --precision f32", kernels_->name));
    }
    const bool bf16 = kernels_->bf16 && (options.precision == "bf16" || (options.precision == "auto" && prefer_bf16));
    precision_ = bf16 ? Precision::bf16 : Precision::f32;
    parallel_ = std::make_unique<OpenMpParallel>(options.threads > 0 ? options.threads : physical_cores());
    ops_ = std::make_unique<CpuTrainingOps>(*parallel_, *kernels_, precision_);
}

std::string Device::describe() const {
    return fmt::format("{} thread{}, {} kernels, {} products", threads(), threads() == 1 ? "" : "s", kernels_->name,
                       precision_ == Precision::bf16 ? "bf16" : "f32");
}

std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    }
    return "unknown processor";
}

}  // namespace folio
