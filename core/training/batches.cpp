#include "core/training/batches.h"

#include <algorithm>
#include <string>

namespace folio {

namespace {

/// Window length of a step: seq_len, or for a share of the steps something shorter, since samplers ask for any length.
int window_length(const Recipe& recipe, int step) {
    const Words words = philox(recipe.seed, 0, static_cast<std::uint32_t>(step), Purpose::window_length);
    if (uniform(words.word[0]) >= recipe.short_windows) return recipe.seq_len;
    const int least = std::max(1, recipe.seq_len / 16);
    return least + static_cast<int>(uniform(words.word[1]) * (recipe.seq_len - least));
}

/// Starts of a step's windows, uniform over `choices`.
std::vector<int> window_starts(const Recipe& recipe, int step, int choices) {
    std::vector<int> starts;
    for (int b = 0; b < recipe.batch; ++b) {
        const double u = uniform(
            philox_word(recipe.seed, static_cast<std::uint64_t>(b), static_cast<std::uint32_t>(step), Purpose::window));
        starts.push_back(std::min(choices - 1, static_cast<int>(u * choices)));
    }
    return starts;
}

}  // namespace

Batch Batch::part(int first, int count) const {
    const int row = first * length;
    const auto rows = [&](const Matrix& all) {
        return all.rows == 0 ? all : Matrix(all.row(row), count * length, all.cols, all.stride);
    };
    Batch part = *this;
    part.windows = count;
    part.input = {input.ids ? input.ids + row : nullptr, input.time_row ? input.time_row + first : nullptr,
                  rows(input.soft_tokens), rows(input.logit_bias)};
    part.targets = targets + row;
    part.target_rows = rows(target_rows);
    part.weights = weights + row;
    return part;
}

Batch Batches::draw(int step) {
    Batch batch;
    batch.windows = recipe_.batch;
    batch.length = window_length(recipe_, step);
    batch.targets = targets_.data();
    batch.weights = weights_.data();
    const int choices = static_cast<int>(text_.size()) - batch.length - characters_after() + 1;
    starts_.upload(ops_, window_starts(recipe_, step, choices));
    draw_process(step, batch);
    return batch;
}

Result<void> Batches::allocate(std::span<const int> text) {
    if (auto made = create_process(); !made) return made;
    Allocations room(ops_);
    room.add(text_, text.size()).add(starts_, static_cast<std::size_t>(recipe_.batch));
    room.add(targets_, capacity()).add(weights_, capacity());
    allocate_process(room);
    if (!room.status()) return room.status();
    text_.upload(ops_, text);
    return {};
}

Result<std::unique_ptr<Batches>> make_batches(const BatchContext& context, std::span<const int> text) {
    const Recipe& recipe = context.recipe;
    if (static_cast<int>(text.size()) <= recipe.seq_len) {
        return fail("The training text has " + std::to_string(text.size()) + " characters, fewer than one window of " +
                    std::to_string(recipe.seq_len + 1) + "; give a longer text or a smaller --seq-len.");
    }
#define FOLIO_BATCHES(kind, name) kind##_batches,
    constexpr decltype(&masked_batches) makers[] = {FOLIO_FOR_EACH_PROCESS(FOLIO_BATCHES)};
#undef FOLIO_BATCHES
    auto batches = makers[static_cast<int>(context.process.kind)](context);
    if (auto allocated = batches->allocate(text); !allocated) return tl::unexpected(allocated.error());
    return batches;
}

}  // namespace folio
