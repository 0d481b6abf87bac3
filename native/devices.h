#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/ops/cpu_training_ops.h"
#include "core/weights/model_file.h"
#include "native/openmp_parallel.h"

namespace folio {

/// What a command may say about where it computes; the same options everywhere.
struct DeviceOptions {
    std::string device = "auto";     // auto, cpu, cuda
    int threads = 0;                 // 0: one per physical core
    std::string precision = "auto";  // auto, f32, bf16
};

/// The name of what products multiply: f32, bf16 or int8.
const char* name_of(Precision precision);

/// One way to compute: a set of kernels and what its products multiply.
struct Way {
    const KernelSet* kernels;
    Precision precision;
};

/// All ways of this machine to run a model, or those of the set that FOLIO_KERNELS forces; an unknown or unsupported name ends
/// the command. An I8 model has one arithmetic; else a set whose f32 is that of a plainer one is left out, unless it is forced.
std::vector<Way> ways(bool exact);

/// A device ready to compute. What its options ask for in vain ends the command with a sentence.
class Device {
public:
    /// To train: f32, or bf16 where the kernels have it.
    explicit Device(const DeviceOptions& options);
    /// To run a model: an I8 one on the exact path, any other in f32 unless the options say bf16.
    Device(const DeviceOptions& options, const ModelFile& model);

    CpuOps& ops() { return *ops_; }
    /// Only of a device to train.
    CpuTrainingOps& training_ops() { return static_cast<CpuTrainingOps&>(*ops_); }
    const KernelSet& kernels() const { return ops_->kernels(); }
    Precision precision() const { return precision_; }
    int threads() const { return parallel_->width(); }
    /// "2 threads, amx kernels, bf16 products".
    std::string describe() const;
    /// Whether the kernels of this machine, or the forced ones, multiply bf16.
    static bool has_bf16();

private:
    Device(const DeviceOptions& options, Precision preferred);

    Precision precision_;
    std::unique_ptr<OpenMpParallel> parallel_;
    std::unique_ptr<CpuOps> ops_;
};

/// The processor's name as the system gives it.
std::string processor_name();

}  // namespace folio
