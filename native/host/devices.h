#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/ops/cpu/cpu_training_ops.h"
#include "core/weights/model_file.h"
#include "native/cuda/cuda_ops.h"
#include "native/host/thread_pool.h"

namespace folio {

/// Options of a command for the device that it computes on; the same everywhere.
struct DeviceOptions {
    std::string device = "auto";     // auto, cpu, cuda
    int threads = 0;                 // 0: one per physical core
    std::string precision = "auto";  // auto, f32, bf16
};

/// The name of what products multiply: f32, bf16 or int8.
const char* name_of(Precision precision);

/// A set of kernels and the precision of its products.
struct CpuConfig {
    const KernelSet* kernels;
    Precision precision;
};

/// All configurations in which this machine can run a model, or those of the set that FOLIO_KERNELS forces; an unknown
/// or unsupported name ends the command. An I8 model has one arithmetic; else a set whose f32 is that of a plainer one
/// is left out, unless it is forced.
std::vector<CpuConfig> available_configs(bool exact);

/// `wanted` threads, or one per physical core for 0. Says so where the system grants fewer.
std::unique_ptr<ThreadPool> start_threads(int wanted);

/// A device ready to compute: a GPU where there is one and the options allow it, else the CPU. Options that cannot be
/// met end the command with a sentence.
class Device {
public:
    /// To train: f32, or bf16 where the device has it.
    explicit Device(const DeviceOptions& options);
    /// To run a model: an I8 one on the CPU's exact path, any other in f32 unless the options say bf16.
    Device(const DeviceOptions& options, const ModelFile& model);

    Ops& ops() { return gpu_ ? static_cast<Ops&>(*gpu_) : *cpu_; }
    /// Only of a device to train.
    TrainingOps& training_ops() {
        return gpu_ ? static_cast<TrainingOps&>(*gpu_) : static_cast<CpuTrainingOps&>(*cpu_);
    }
    bool on_gpu() const { return gpu_ != nullptr; }
    /// The name of what computes: a kernel set, or cuda.
    std::string_view kernels() const { return gpu_ ? std::string_view("cuda") : cpu_->kernels().name; }
    Precision precision() const { return precision_; }
    /// "2 threads, amx kernels, bf16 products", or "NVIDIA H200, bf16 products".
    std::string describe() const;
    /// True if these options lead to bf16 matmuls.
    static bool has_bf16(const DeviceOptions& options);

private:
    /// Finds the GPU, or prepares for the CPU.
    Device(const DeviceOptions& options, bool exact, bool training);

    Precision precision_ = Precision::f32;
    std::unique_ptr<CudaOps> gpu_;
    std::unique_ptr<ThreadPool> parallel_;
    std::unique_ptr<CpuOps> cpu_;
};

/// The processor's name as the system gives it.
std::string processor_name();

}  // namespace folio
