#include "core/sampling/state.h"

#include <algorithm>
#include <cstring>

namespace folio {

namespace {

/// Head of a State; after it come id, revealed_at, probability and flags of every position, and round_text where a
/// round is running.
struct StateHead {
    std::uint32_t magic = 0x324D5346;  // "FSM2"
    std::int32_t length;
    SampleCounters counters;
    std::int32_t round_running;
};

/// Calls f(values) for the vectors of a progress in the order of a State.
template <class P, class F>
void for_each_vector(P& progress, F&& f) {
    f(progress.id);
    f(progress.revealed_at);
    f(progress.probability);
    f(progress.flags);
    f(progress.round_text);
}

}  // namespace

State pack_state(const SampleProgress& progress) {
    StateHead head;
    head.length = static_cast<std::int32_t>(progress.id.size());
    head.counters = progress;
    head.round_running = !progress.round_text.empty();
    State state;
    const auto put = [&](const void* data, std::size_t size) {
        const auto* bytes = static_cast<const std::uint8_t*>(data);
        state.insert(state.end(), bytes, bytes + size);
    };
    put(&head, sizeof head);
    for_each_vector(progress, [&](const auto& values) { put(values.data(), values.size() * sizeof values[0]); });
    return state;
}

Result<SampleProgress> unpack_state(std::span<const std::uint8_t> state, int length, std::size_t extra_size) {
    const auto foreign = [] { return fail("The saved state is of another text."); };
    StateHead head;
    if (state.size() < sizeof head) return foreign();
    std::memcpy(&head, state.data(), sizeof head);
    const auto positions = static_cast<std::size_t>(length);
    const std::size_t numbers = head.round_running == 1 ? 4 : 3;  // of four bytes, for each position
    if (head.magic != StateHead{}.magic || head.length != length ||
        (head.round_running != 0 && head.round_running != 1) ||
        state.size() != sizeof head + positions * (numbers * sizeof(int) + 1) + extra_size) {
        return foreign();
    }
    SampleProgress progress;
    static_cast<SampleCounters&>(progress) = head.counters;
    const std::uint8_t* from = state.data() + sizeof head;
    for_each_vector(progress, [&](auto& values) {
        const bool is_round_text = static_cast<const void*>(&values) == &progress.round_text;
        values.resize(is_round_text && head.round_running == 0 ? 0 : positions);
        const std::size_t size = values.size() * sizeof values[0];
        std::copy_n(from, size, reinterpret_cast<std::uint8_t*>(values.data()));
        from += size;
    });
    return progress;
}

}  // namespace folio
