#include "core/sampling/block_sampler.h"

#include <algorithm>
#include <utility>

namespace folio {

BlockSampler::BlockSampler(SamplingRequest request, const ModelConfig& config, int excluded, int most_passes)
    : Sampler(std::move(request), config, excluded),
      noising_steps_(request_.text.empty() ? 0 : std::min(request_.options.steps, most_passes)),
      steps_(std::min(request_.options.steps, most_passes)) {}

bool BlockSampler::done() const { return !noising() && Sampler::done(); }

Result<void> BlockSampler::advance() {
    if (noising()) {
        ++now_.step;
        noise();
        return {};
    }
    if (now_.step >= now_.block_end || count_open(now_.flags, now_.window_first, window_length()) == 0) begin_block();
    ++now_.step;
    if (auto ok = reveal(); !ok) return ok;
    if (count_open(now_.flags, now_.window_first, window_length()) == 0) now_.block_end = now_.step;
    return {};
}

BlockSampler::Window BlockSampler::window_for(const std::vector<std::uint8_t>& flags, int from) const {
    const auto begin = flags.begin();
    const int window = window_length();
    const int first = static_cast<int>(std::find_if(begin + from, flags.end(), is_open) - begin);
    if (first == length()) return {};
    int last = first;
    for (int place = first; place < std::min(length(), first + (window + 1) / 2); ++place) {
        if (is_open(flags[place])) last = place;
    }
    const int spare = window - (last - first + 1);
    int known_behind = 0;
    while (known_behind < spare / 2 && last + 1 + known_behind < length() && !is_open(flags[last + 1 + known_behind])) {
        ++known_behind;
    }
    return {std::clamp(last + 1 + known_behind - window, 0, length() - window), window};
}

int BlockSampler::passes_for(const std::vector<std::uint8_t>& flags, Window window) const {
    const auto first = flags.begin() + window.first;
    const bool all_reopened = std::all_of(first, first + window.length, [](std::uint8_t place) {
        return !is_open(place) || (place & place_reopened);
    });
    return all_reopened ? passes_again(flags, window) : steps_;
}

int BlockSampler::passes_again(const std::vector<std::uint8_t>& flags, Window window) const {
    return share(steps_, count_open(flags, window.first, window.length), window.length);
}

void BlockSampler::begin_block() {
    const Window window = window_for(now_.flags, 0);
    now_.window_first = window.first;
    now_.block_begin = now_.step;
    now_.block_end = now_.step + passes_for(now_.flags, window);
}

bool BlockSampler::in_block(int place) const {
    const std::uint8_t flags = now_.flags[place];
    return is_open(flags) || (!(flags & place_given) && now_.fixed_at[place] > now_.block_begin);
}

int BlockSampler::steps_known() const {
    std::vector<std::uint8_t> flags = now_.flags;
    int steps = now_.step;
    const auto run_block = [&](Window window, int passes) {
        const int open = count_open(flags, window.first, window.length);
        steps += takes_all_passes() && open > 0 ? passes : std::min(passes, open);
        std::fill_n(flags.begin() + window.first, window.length, place_fixed);
    };
    if (noising()) {
        steps = noising_steps_;
        for (std::uint8_t& place : flags) place = place & place_given ? place : 0;
    } else if (now_.step < now_.block_end) {
        run_block({now_.window_first, window_length()}, now_.block_end - now_.step);
    }
    int from = 0;
    for (Window window = window_for(flags, 0); window.length > 0; window = window_for(flags, from)) {
        run_block(window, passes_for(flags, window));
        from = window.first + window.length;
    }
    return steps;
}

}  // namespace folio
