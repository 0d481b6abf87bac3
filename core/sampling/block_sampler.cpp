#include "core/sampling/block_sampler.h"

#include <algorithm>
#include <utility>

namespace folio {

BlockSampler::BlockSampler(SamplingRequest request, const ModelConfig& config, int excluded, int most_passes,
                           const Proofreader* proofreader)
    : Sampler(std::move(request), config, excluded),
      noising_steps_(request_.text.empty() ? 0 : std::min(request_.options.steps, most_passes)),
      steps_(std::min(request_.options.steps, most_passes)),
      proofreader_(proofreader) {}

bool BlockSampler::done() const { return is_complete() && !round_is_due(); }

Result<void> BlockSampler::advance() {
    if (noising()) {
        ++now_.step;
        noise();
        return {};
    }
    if (is_complete()) return proofread();
    if (now_.step >= now_.block_end || count_unrevealed_in_window() == 0) begin_block();
    ++now_.step;
    if (auto ok = unmask_step(); !ok) return ok;
    if (count_unrevealed_in_window() == 0) now_.block_end = now_.step;
    return {};
}

Result<void> BlockSampler::proofread() {
    const SamplingOptions& options = request_.options;
    const auto nll = proofread_nll(*proofreader_, now_.id);
    if (!nll) return tl::unexpected<Error>(nll.error());
    ++now_.step;
    proofread_nll_.assign(nll->begin(), nll->end());
    now_.round_text = now_.id;
    std::vector<std::uint8_t> conditioned(now_.flags.size());
    std::transform(now_.flags.begin(), now_.flags.end(), conditioned.begin(), is_conditioned);
    const int count = proofread_count(options.proofread_share, now_.round, options.rounds, count_unconditioned());
    for (const int position : positions_to_reopen(*nll, conditioned, count)) reopen(position);
    ++now_.round;
    return {};
}

int BlockSampler::count_unconditioned() const {
    return length() - static_cast<int>(std::count_if(now_.flags.begin(), now_.flags.end(), is_conditioned));
}

/// Ends the round of proofreading whose last position has been filled, and all rounds where it has changed nothing.
void BlockSampler::text_changed() {
    if (!proofreading() || !is_complete()) return;
    if (now_.id == now_.round_text) now_.round = request_.options.rounds;
    now_.round_text.clear();
}

SamplingOptions BlockSampler::options_of_pass() const {
    SamplingOptions options = request_.options;
    const double gone = passes() > 1 ? static_cast<double>(pass() - 1) / (passes() - 1) : 1;
    options.temperature *= 1 - options.temperature_fall * gone;
    return options;
}

BlockSampler::Window BlockSampler::window_for(const std::vector<std::uint8_t>& flags, int from) const {
    const auto begin = flags.begin();
    const int window = window_length();
    const int first = static_cast<int>(std::find_if(begin + from, flags.end(), is_unrevealed) - begin);
    if (first == length()) return {};
    int last = first;
    for (int position = first; position < std::min(length(), first + (window + 1) / 2); ++position) {
        if (is_unrevealed(flags[position])) last = position;
    }
    const int spare = window - (last - first + 1);
    int revealed_behind = 0;
    while (revealed_behind < spare / 2 && last + 1 + revealed_behind < length() &&
           is_revealed(flags[last + 1 + revealed_behind])) {
        ++revealed_behind;
    }
    return {std::clamp(last + 1 + revealed_behind - window, 0, length() - window), window};
}

int BlockSampler::passes_for(const std::vector<std::uint8_t>& flags, Window window) const {
    const auto first = flags.begin() + window.first;
    const bool all_reopened = std::all_of(first, first + window.length, [](std::uint8_t position) {
        return is_revealed(position) || (position & position_reopened);
    });
    return all_reopened ? passes_again(flags, window) : steps_;
}

int BlockSampler::passes_again(const std::vector<std::uint8_t>& flags, Window window) const {
    return ceil_mul_div(steps_, count_unrevealed(flags, window.first, window.length), window.length);
}

void BlockSampler::begin_block() {
    const Window window = window_for(now_.flags, 0);
    now_.window_first = window.first;
    now_.block_begin = now_.step;
    now_.block_end = now_.step + passes_for(now_.flags, window);
}

bool BlockSampler::in_block(int position) const {
    const std::uint8_t flags = now_.flags[position];
    return is_unrevealed(flags) || (!(flags & position_conditioned) && now_.revealed_at[position] > now_.block_begin);
}

std::int64_t BlockSampler::planned_steps() const {
    std::vector<std::uint8_t> flags = now_.flags;
    std::int64_t steps = now_.step;
    const auto run_block = [&](Window window, int passes) {
        const int unrevealed = count_unrevealed(flags, window.first, window.length);
        steps += takes_all_passes() && unrevealed > 0 ? passes : std::min(passes, unrevealed);
        std::fill_n(flags.begin() + window.first, window.length, position_revealed);
    };
    if (noising()) {
        steps = noising_steps_;
        for (std::uint8_t& position : flags) position = position & position_conditioned ? position : 0;
    } else if (now_.step < now_.block_end) {
        run_block({now_.window_first, window_length()}, now_.block_end - now_.step);
    }
    int from = 0;
    for (Window window = window_for(flags, 0); window.length > 0; window = window_for(flags, from)) {
        run_block(window, passes_for(flags, window));
        from = window.first + window.length;
    }
    return steps + steps_of_rounds();
}

/// Upper bound on the steps of the rounds to come: no predecessor of a reopened character is among the least likely
/// itself.
std::int64_t BlockSampler::steps_of_rounds() const {
    if (!proofreader_) return 0;
    const SamplingOptions& options = request_.options;
    const int candidates = count_unconditioned();
    std::int64_t steps = 0;
    for (int round = now_.round; round < options.rounds; ++round) {
        const int opened =
            std::min(candidates, 2 * proofread_count(options.proofread_share, round, options.rounds, candidates));
        const int passes = passes_of_round(opened);
        steps += 1 + (takes_all_passes() ? passes : std::min(passes, opened));
    }
    return steps;
}

}  // namespace folio
