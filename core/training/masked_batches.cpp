#include "core/training/batches.h"

namespace folio {

namespace {

/// Ids of which some are [MASK]; the loss is of those.
class MaskedBatches final : public Batches {
public:
    using Batches::Batches;

    void corrupt(const Batch& batch, const std::uint32_t* step) override {
        training_.corrupt_masked(input_.data(), targets_.data(), weights_.data(), text_.data(), starts_.data(),
                                 counts_.data(), window_weights_.data(), batch.windows, batch.length, process_.mask_id,
                                 recipe_.seed, step);
    }

private:
    void allocate_process(Allocations& room) override {
        const auto windows = static_cast<std::size_t>(recipe_.batch);
        room.add(counts_, windows).add(time_row_, windows).add(window_weights_, windows).add(input_, capacity());
    }

    void draw_process(int step, Batch& batch) override {
        const bool nelbo = trains_nelbo(recipe_, step);  // whose mask rates are uniform
        const MaskedBatch masks =
            stratified_masks(batch.windows, batch.length, nelbo ? MaskRate::uniform : recipe_.mask_rate,
                             nelbo ? MaskedLoss::nelbo : recipe_.loss, recipe_.seed, static_cast<std::uint32_t>(step));
        counts_.upload(ops_, masks.counts);
        window_weights_.upload(ops_, masks.window_weights);
        if (config_.time_rows > 0) {
            std::vector<int> time_rows;
            for (const int count : masks.counts)
                time_rows.push_back(time_row(static_cast<double>(count) / batch.length, config_.time_rows));
            time_row_.upload(ops_, time_rows);
        }
        batch.input = {input_.data(), time_row_.data(), {}, {}};
    }

    DeviceArray<int> counts_, time_row_;  // [batch] masked positions, row of the time embedding
    DeviceArray<float> window_weights_;   // [batch] of each masked position
    DeviceArray<int> input_;
};

}  // namespace

std::unique_ptr<Batches> masked_batches(const BatchContext& context) {
    return std::make_unique<MaskedBatches>(context);
}

}  // namespace folio
