#include "native/host/devices.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/base/text.h"
#include "core/ops/cpu/make_ops.h"
#include "core/predict/kernel_choice.h"
#include "native/host/cores.h"
#include "native/host/failure.h"

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
        if (is_trusted(*forced, precision)) return {forced};
        stop(fmt::format("the kernels {} compute wrongly on this machine; unset FOLIO_KERNELS", forced->name));
    }
    const auto best = best_kernels(precision);
    return {best.begin(), best.end()};
}

/// True if the kernels of this machine, or the forced ones, multiply bf16.
bool cpu_has_bf16() {
    const KernelSet* forced = forced_kernels();
    return forced ? forced->bf16 != nullptr : !distinct_kernels(Precision::bf16).empty();
}

/// The GPU, or null where the options leave the choice and there is none, or name CPU kernels or threads.
std::unique_ptr<CudaOps> chosen_gpu(const DeviceOptions& options, Precision precision) {
    if (options.device == "cpu") return nullptr;
    if (options.device == "auto" && (forced_kernels() || options.threads > 0)) return nullptr;
    auto gpu = make_cuda_ops(precision);
    if (gpu) return std::move(*gpu);
    if (options.device == "cuda") stop(gpu.error().sentence);
    // A GPU that is there and cannot be used deserves a notice.
    if (std::error_code unknown; std::filesystem::exists("/dev/nvidiactl", unknown)) notice(gpu.error().sentence);
    return nullptr;
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

std::vector<CpuConfig> available_configs(bool exact) {
    using enum Precision;
    std::vector<CpuConfig> result;
    for (const Precision precision : exact ? std::vector{int8} : std::vector{bf16, f32}) {
        if (const KernelSet* forced = forced_kernels()) {
            if (precision != bf16 || forced->bf16) result.push_back({forced, precision});
        } else {
            for (const KernelSet* set : distinct_kernels(precision)) result.push_back({set, precision});
        }
    }
    return result;
}

std::unique_ptr<ThreadPool> start_threads(int wanted) {
    if (wanted == 0) wanted = physical_cores();
    auto threads = std::make_unique<ThreadPool>(wanted);
    if (threads->width() < wanted)
        notice(fmt::format("The system grants {} of {} threads; going on with those.", threads->width(), wanted));
    return threads;
}

bool Device::has_bf16(const DeviceOptions& options) { return cpu_has_bf16() || chosen_gpu(options, Precision::bf16); }

Device::Device(const DeviceOptions& options, bool exact, bool training) {
    if (exact) {
        if (options.precision != "auto")
            wrong_usage("the weights are integers, which decides what is multiplied; leave --precision out");
        if (options.device == "cuda")
            wrong_usage("the weights are integers, which the CPU alone computes; leave --device out");
    }
    const bool f32 = options.precision == "f32" || (options.precision == "auto" && !training);
    if (!exact) gpu_ = chosen_gpu(options, f32 ? Precision::f32 : Precision::bf16);
    if (!gpu_) parallel_ = start_threads(options.threads);
    precision_ = exact ? Precision::int8 : f32 ? Precision::f32 : Precision::bf16;
    if (gpu_ || precision_ != Precision::bf16 || cpu_has_bf16()) return;
    if (options.precision == "bf16") {
        const KernelSet* forced = forced_kernels();
        wrong_usage(fmt::format("the kernels {} have no bf16 products; use --precision f32",
                                (forced ? forced : available_kernels().front())->name));
    }
    precision_ = Precision::f32;
}

Device::Device(const DeviceOptions& options) : Device(options, false, true) {
    if (!gpu_) cpu_ = std::make_unique<CpuTrainingOps>(*parallel_, *chosen_kernels(precision_).front(), precision_);
}

Device::Device(const DeviceOptions& options, const ModelFile& model) : Device(options, model.exact(), false) {
    if (!gpu_) cpu_ = make_ops(*parallel_, chosen_kernels(precision_), precision_);
}

std::string Device::describe() const {
    if (gpu_) return fmt::format("{}, {} products", gpu_->name(), name_of(precision_));
    const int threads = parallel_->width();
    return fmt::format("{} thread{}, {} kernels, {} products", threads, threads == 1 ? "" : "s", kernels(),
                       name_of(precision_));
}

std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    }
    return "unknown processor";
}

}  // namespace folio
