#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/ops/cpu_training_ops.h"
#include "native/openmp_parallel.h"

namespace folio {

/// What a command may say about where it computes; the same options everywhere.
struct DeviceOptions {
    std::string device = "auto";     // auto, cpu, cuda
    int threads = 0;                 // 0: one per physical core
    std::string precision = "auto";  // auto, f32, bf16
};

/// One way to compute: a set of kernels and what its products multiply.
struct Way {
    const Microkernels* kernels;
    Precision precision;

    const char* products() const { return precision == Precision::bf16 ? "bf16" : "f32"; }
};

/// All ways of this machine, or those of the set that FOLIO_KERNELS forces; an unknown or unsupported name ends the command.
/// A set with bf16 products is not repeated with its f32 ones, which are those of the set below it.
std::vector<Way> ways();

/// A device ready to compute.
class Device {
public:
    /// `prefer_bf16`: what `auto` means for the precision where the kernels have bf16 products. Ends the command with a
    /// sentence where the options ask for what this machine or build does not have.
    Device(const DeviceOptions& options, bool prefer_bf16);

    CpuTrainingOps& ops() { return *ops_; }
    const Microkernels& kernels() const { return *kernels_; }
    Precision precision() const { return precision_; }
    int threads() const { return parallel_->width(); }
    /// "2 threads, amx kernels, bf16 products".
    std::string describe() const;
    /// Whether the kernels of this machine, or the forced ones, multiply bf16.
    static bool has_bf16();

private:
    const Microkernels* kernels_;
    Precision precision_;
    std::unique_ptr<OpenMpParallel> parallel_;
    std::unique_ptr<CpuTrainingOps> ops_;
};

/// The processor's name as the system gives it.
std::string processor_name();

}  // namespace folio
