#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/training/recipe.h"
#include "native/training/options.h"

namespace folio {

/// The work that `folio bench` is asked to time.
struct BenchOptions {
    std::string weights;  // file; empty: random weights of the size below
    ModelSize size = model_sizes.back();
    int conv_radius = 0;
    std::string task;                  // forward, sampling or training; empty: all, and noising
    int batch = 4;                     // windows of a training step
    float muon_lr = Recipe().muon_lr;  // 0: AdamW for all
    double seconds = 1;                // for each figure
    int threads = 0;                   // at most; 0: one per physical core
    std::string device = "auto";       // auto, cpu, cuda
};

/// Times the tasks on every set of kernels, or the one that FOLIO_KERNELS forces, on one thread and on all, and on a
/// GPU. Gives the report that bench/report.schema.json describes.
nlohmann::ordered_json run_bench(const BenchOptions& options);

}  // namespace folio
