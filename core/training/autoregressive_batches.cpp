#include "core/training/batches.h"

namespace folio {

namespace {

/// Ids, and as targets the ids that follow them.
class AutoregressiveBatches final : public Batches {
public:
    using Batches::Batches;

    void corrupt(const Batch& batch, const std::uint32_t* step) override {
        training_.corrupt_autoregressive(input_.data(), targets_.data(), weights_.data(), text_.data(), starts_.data(),
                                         batch.windows, batch.length, config_.vocab_size, recipe_.input_noise,
                                         recipe_.seed, step);
    }

private:
    void allocate_process(Allocations& room) override { room.add(input_, capacity()); }
    int characters_after() const override { return 1; }  // the last target
    void draw_process(int, Batch& batch) override { batch.input.ids = input_.data(); }

    DeviceArray<int> input_;
};

}  // namespace

std::unique_ptr<Batches> autoregressive_batches(const BatchContext& context) {
    return std::make_unique<AutoregressiveBatches>(context);
}

}  // namespace folio
