#include "core/sampling/masked_sampler.h"

#include <algorithm>
#include <utility>

namespace folio {

MaskedSampler::MaskedSampler(MaskedModel model, SamplingRequest request)
    : Sampler(std::move(request), model.config, model.mask_id), model_(std::move(model)) {
    logits_.resize(static_cast<std::size_t>(window_length()) * vocab_size_);
    if (!request_.text.empty()) {
        noising_steps_ = request_.options.steps;
        std::vector<std::pair<std::uint32_t, int>> order;
        for (int place = 0; place < length(); ++place) order.emplace_back(word(place, Purpose::noise_text, 0), place);
        std::sort(order.begin(), order.end());
        noising_rank_.resize(order.size());
        for (std::size_t rank = 0; rank < order.size(); ++rank) noising_rank_[order[rank].second] = static_cast<int>(rank);
    }
    apply_due_edits();
}

Result<MaskedSampler> MaskedSampler::create(MaskedModel model, SamplingRequest request) {
    if (auto ok = check(request, ProcessKind::masked, model.config.vocab_size, model.mask_id); !ok) return tl::unexpected<Error>(ok.error());
    return MaskedSampler(std::move(model), std::move(request));
}

bool MaskedSampler::done() const { return !noising() && Sampler::done(); }

Result<void> MaskedSampler::advance() {
    if (noising()) {
        ++now_.step;
        hide_some();
        return {};
    }
    if (now_.step >= now_.block_end || count_open(now_.flags, now_.window_first, window_length()) == 0) begin_block();
    ++now_.step;
    if (auto ok = unmask(); !ok) return ok;
    if (count_open(now_.flags, now_.window_first, window_length()) == 0) now_.block_end = now_.step;
    return {};
}

void MaskedSampler::hide_some() {
    const int hidden = share(length(), now_.step, noising_steps_);
    for (int place = 0; place < length(); ++place) {
        if (noising_rank_[place] >= hidden || (now_.flags[place] & place_given)) continue;
        open(place);
        now_.flags[place] = 0;
    }
}

MaskedSampler::Window MaskedSampler::window_for(const std::vector<std::uint8_t>& flags, int from) const {
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

int MaskedSampler::passes_for(const std::vector<std::uint8_t>& flags, Window window) const {
    const auto first = flags.begin() + window.first;
    const bool all_reopened = std::all_of(first, first + window.length, [](std::uint8_t place) {
        return !is_open(place) || (place & place_reopened);
    });
    const int steps = request_.options.steps;
    return all_reopened ? share(steps, count_open(flags, window.first, window.length), window.length) : steps;
}

void MaskedSampler::begin_block() {
    const Window window = window_for(now_.flags, 0);
    now_.window_first = window.first;
    now_.block_begin = now_.step;
    now_.block_end = now_.step + passes_for(now_.flags, window);
}

bool MaskedSampler::in_block(int place) const {
    const std::uint8_t flags = now_.flags[place];
    return is_open(flags) || (!(flags & place_given) && now_.fixed_at[place] > now_.block_begin);
}

Result<void> MaskedSampler::unmask() {
    const SamplingOptions& options = request_.options;
    const int first = now_.window_first, window = window_length();
    const auto row = [&](int place) {
        return std::span<const float>(logits_).subspan(static_cast<std::size_t>(place - first) * vocab_size_, vocab_size_);
    };

    ids_.resize(window);
    int hidden = 0, hideable = 0;
    for (int i = 0; i < window; ++i) {
        const bool open = is_open(now_.flags[first + i]);
        ids_[i] = open ? excluded_ : now_.id[first + i];
        hidden += open;
        hideable += in_block(first + i);
    }
    times_.clear();
    if (model_.config.time_rows > 0) {
        times_.push_back(time_row(static_cast<double>(hidden) / hideable, model_.config.time_rows));
    }
    if (auto ok = model_.predict(ids_, times_, 1, window, logits_); !ok) return ok;

    candidates_.clear();
    for (int place = first; place < first + window; ++place) {
        if (!is_open(now_.flags[place])) continue;
        const auto seen = look(place, row(place));
        if (!seen) return tl::unexpected<Error>(seen.error());
        candidates_.push_back({place, seen->confidence, seen->margin, seen->entropy, word(place, Purpose::reveal, 0)});
    }
    const Pace pace{now_.block_end - now_.block_begin, now_.block_end - now_.step + 1};
    const int chosen = choose(candidates_, options, pace);

    if (const double sigma = remask_probability(options, pace); sigma > 0) {
        for (int place = first; place < first + window; ++place) {
            const bool may = in_block(place) && !is_open(now_.flags[place]);
            if (may && uniform(word(place, Purpose::renoise, 0)) < sigma) open(place);
        }
    }
    for (int i = 0; i < chosen; ++i) {
        const int place = candidates_[i].place;
        const int id = draw(row(place), excluded_, options, word(place, Purpose::draw, 0));
        softmax(row(place), excluded_, probability_);
        fix(place, id, static_cast<float>(probability_[id]));
    }
    return {};
}

int MaskedSampler::steps_known() const {
    const SamplerKind sampler = *request_.options.sampler;
    const bool by_chance = sampler == SamplerKind::ancestral || sampler == SamplerKind::remask;
    std::vector<std::uint8_t> flags = now_.flags;
    int steps = now_.step;
    const auto run_block = [&](Window window, int passes) {
        const int open = count_open(flags, window.first, window.length);
        steps += by_chance && open > 0 ? passes : std::min(passes, open);
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
