// A training step of 32 windows of 256 characters, with the recipe's Muon and with AdamW alone, as peers have it.
#include "bench/bench.h"
#include "core/training/step.h"

namespace folio::bench {
namespace {

constexpr int batch = 32, length = 256;

void add_step(const Size& size, bool muon, const CpuConfig& cpu, int width) {
    ModelConfig config = size.config;
    config.seq_len = length;
    Recipe recipe;
    recipe.batch = batch;
    recipe.seq_len = length;
    recipe.short_windows = 0;
    if (!muon) recipe.muon_lr = 0;
    const std::string name =
        std::string("step/") + size.name + (muon ? "/muon/" : "/adamw/") + name_of(cpu) + "/" + std::to_string(width);
    add(name, [=](benchmark::State& state) {
        ThreadPool parallel(width);
        CpuTrainingOps ops(parallel, *cpu.kernels, cpu.precision);
        const int mask_id = config.vocab_size - 1;
        std::vector<int> text(16 * length);
        for (std::size_t i = 0; i < text.size(); ++i)
            text[i] = static_cast<int>(philox_word(3, i, 0, Purpose::window) % mask_id);
        Trainer trainer = unwrap(Trainer::create(ops, ops, config, {ProcessKind::masked, mask_id}, recipe, text));
        int step = 0;
        measure(state, 0, [&] { unwrap(trainer.run(step++)); });
        state.SetItemsProcessed(state.iterations() * batch * length);
    });
}

/// The best set of each kind of products: a step on the others would take minutes.
std::vector<CpuConfig> best_configs() {
    std::vector<CpuConfig> result;
    for (const CpuConfig& cpu : available_configs(false)) {
        const bool known = std::any_of(result.begin(), result.end(),
                                       [&](const CpuConfig& other) { return other.precision == cpu.precision; });
        if (!known) result.push_back(cpu);
    }
    return result;
}

void add_all() {
    for (const Size& size : sizes()) {
        for (const bool muon : {true, false}) {
            for (const int width : widths()) {
                for (const CpuConfig& cpu : best_configs()) add_step(size, muon, cpu, width);
            }
        }
    }
}

}  // namespace
}  // namespace folio::bench

int main(int argc, char** argv) { return folio::bench::run(argc, argv, folio::bench::add_all); }
