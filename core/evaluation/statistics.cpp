#include "core/evaluation/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/elementary.h"

namespace folio {

namespace {

constexpr int judge_order = 5, long_run = 32;
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// Matches of [A-Za-z']+, in lower case.
std::vector<std::u32string> words_of(std::u32string_view text) {
    std::vector<std::u32string> words;
    bool inside = false;
    for (char32_t c : text) {
        if (c >= U'A' && c <= U'Z') c += U'a' - U'A';
        const bool letter = (c >= U'a' && c <= U'z') || c == U'\'';
        if (letter && !inside) words.emplace_back();
        if (letter) words.back() += c;
        inside = letter;
    }
    return words;
}

using Counts = std::map<char32_t, int>;  // ordered, so that sums over it are the same everywhere

double entropy_of(const Counts& counts) {
    double total = 0, nats = 0;
    for (const auto& [character, count] : counts) total += count;
    for (const auto& [character, count] : counts) nats -= count / total * elementary::log(count / total);
    return nats;
}

/// Items that are in the training text, and all.
struct Hits {
    int found = 0, all = 0;
};

Rate rate(std::span<const Hits> samples) {
    double found = 0, all = 0, square = 0;
    for (const Hits& hits : samples) {
        found += hits.found;
        all += hits.all;
    }
    if (all == 0) return {unknown, unknown};
    const double share = found / all, n = static_cast<double>(samples.size());
    for (const Hits& hits : samples) square += (hits.found - share * hits.all) * (hits.found - share * hits.all);
    return {share, n > 1 ? std::sqrt(square * n / (n - 1)) / all : unknown};
}

}  // namespace

NgramJudge::NgramJudge(std::u32string_view training, int order, int characters)
    : order_(order), characters_(characters), grams_(1) {
    std::vector<int> last(order, -1);  // the grams of 0 .. order - 1 characters that end here
    last[0] = 0;
    for (const char32_t c : training) {
        for (int length = order - 1; length >= 0; --length) {
            if (last[length] < 0) continue;
            const std::uint64_t key = static_cast<std::uint64_t>(last[length]) << 32 | c;
            const auto [entry, is_new] = longer_.try_emplace(key, static_cast<int>(grams_.size()));
            if (is_new) grams_.emplace_back();
            Gram& gram = grams_[last[length]];
            ++gram.followers;
            gram.kinds += is_new;
            ++grams_[entry->second].count;
            if (length + 1 < order) last[length + 1] = entry->second;
        }
    }
}

int NgramJudge::find(int gram, char32_t next) const {
    if (gram < 0) return -1;
    const auto entry = longer_.find(static_cast<std::uint64_t>(gram) << 32 | next);
    return entry == longer_.end() ? -1 : entry->second;
}

std::vector<double> NgramJudge::nats(std::u32string_view text) const {
    std::vector<double> result;
    std::vector<int> last(order_, -1), next(order_);
    last[0] = 0;
    for (const char32_t c : text) {
        double p = 1.0 / characters_;
        for (int length = 0; length < order_; ++length) {
            next[length] = find(last[length], c);
            const Gram context = last[length] < 0 ? Gram{} : grams_[last[length]];
            // A context that nothing follows gives no counts, and neither does any longer one.
            if (context.followers == 0) continue;
            const int count = next[length] < 0 ? 0 : grams_[next[length]].count;
            p = (count + context.kinds * p) / (context.followers + context.kinds);
        }
        result.push_back(-elementary::log(p));
        std::copy(next.begin(), next.end() - 1, last.begin() + 1);
    }
    return result;
}

CopyFinder::CopyFinder(std::u32string text) : text_(std::move(text)), suffixes_(text_.size()) {
    // Sorted by the first character, then by the first 2, 4, 8, ...: the order of the second half of each is known from
    // the round before.
    const int n = static_cast<int>(text_.size());
    std::iota(suffixes_.begin(), suffixes_.end(), 0);
    std::stable_sort(suffixes_.begin(), suffixes_.end(), [&](int a, int b) { return text_[a] < text_[b]; });
    std::vector<int> rank(n), finer(n), by_second_half(n), end;
    int ranks = 0;
    for (int i = 0; i < n; ++i) {
        if (i > 0 && text_[suffixes_[i]] != text_[suffixes_[i - 1]]) ++ranks;
        rank[suffixes_[i]] = ranks;
    }
    for (int half = 1; half < n && ranks + 1 < n; half *= 2) {
        auto next = by_second_half.begin();
        for (int start = n - half; start < n; ++start) *next++ = start;  // nothing is the first in the alphabet
        for (const int start : suffixes_) {
            if (start >= half) *next++ = start - half;
        }
        end.assign(ranks + 1, 0);
        for (const int r : rank) ++end[r];
        std::partial_sum(end.begin(), end.end(), end.begin());
        for (int i = n; i-- > 0;) suffixes_[--end[rank[by_second_half[i]]]] = by_second_half[i];
        const auto second = [&](int start) { return start + half < n ? rank[start + half] : -1; };
        ranks = 0;
        finer[suffixes_[0]] = 0;
        for (int i = 1; i < n; ++i) {
            const int a = suffixes_[i - 1], b = suffixes_[i];
            if (rank[a] != rank[b] || second(a) != second(b)) ++ranks;
            finer[b] = ranks;
        }
        rank.swap(finer);
    }
}

bool CopyFinder::has(std::u32string_view piece) const {
    const std::u32string_view text = text_;
    const auto found = std::lower_bound(
        suffixes_.begin(), suffixes_.end(), piece,
        [&](int start, std::u32string_view wanted) { return text.substr(start, wanted.size()) < wanted; });
    return found != suffixes_.end() && text.substr(*found, piece.size()) == piece;
}

int CopyFinder::longest_run(std::u32string_view sample) const {
    std::size_t longest = 0;
    for (std::size_t begin = 0; begin + longest < sample.size(); ++begin) {
        while (begin + longest < sample.size() && has(sample.substr(begin, longest + 1))) ++longest;
    }
    return static_cast<int>(longest);
}

double distinct_4(std::span<const std::u32string> samples) {
    std::vector<std::u32string_view> grams;
    double characters = 0;
    for (const std::u32string_view sample : samples) {
        characters += static_cast<double>(sample.size());
        for (std::size_t i = 0; i + 4 <= sample.size(); ++i) grams.push_back(sample.substr(i, 4));
    }
    std::sort(grams.begin(), grams.end());
    return static_cast<double>(std::unique(grams.begin(), grams.end()) - grams.begin()) / characters;
}

TrainingText::TrainingText(std::u32string_view text, int characters)
    : judge_(text, judge_order, characters), copies_(std::u32string(text)) {
    int before = -1;
    for (std::u32string& word : words_of(text)) {
        const int number = words_.try_emplace(std::move(word), static_cast<int>(words_.size())).first->second;
        if (before >= 0) word_pairs_.emplace(before, number);
        before = number;
    }
}

TextStatistics TrainingText::measure(std::span<const std::u32string> samples) const {
    std::vector<double> judged, entropies;
    std::vector<Hits> words, pairs;
    std::vector<int> runs;
    Counts pooled;
    for (const std::u32string& sample : samples) {
        const std::vector<double> nats = judge_.nats(sample);
        judged.push_back(std::accumulate(nats.begin(), nats.end(), 0.0) / static_cast<double>(nats.size()));

        Counts counts;
        for (const char32_t c : sample) ++counts[c];
        for (const auto& [character, count] : counts) pooled[character] += count;
        entropies.push_back(entropy_of(counts));

        const std::vector<std::u32string> written = words_of(sample);
        Hits word, pair;
        int before = -1;
        for (std::size_t i = 1; i + 1 < written.size(); ++i) {
            const auto entry = words_.find(written[i]);
            const int number = entry == words_.end() ? -1 : entry->second;
            ++word.all;
            word.found += number >= 0;
            pair.all += i > 1;
            pair.found += i > 1 && word_pairs_.contains({before, number});
            before = number;
        }
        words.push_back(word);
        pairs.push_back(pair);
        runs.push_back(copies_.longest_run(sample));
    }
    std::sort(runs.begin(), runs.end());
    const std::size_t n = samples.size();
    const auto long_runs = runs.end() - std::lower_bound(runs.begin(), runs.end(), long_run);

    TextStatistics result;
    result.count = static_cast<int>(n);
    result.judge = estimate(judged);
    result.entropy = estimate(entropies);
    result.pooled_entropy = entropy_of(pooled);
    result.distinct_4 = distinct_4(samples);
    result.words = rate(words);
    result.word_pairs = rate(pairs);
    result.copied_median = runs[(n + 1) / 2 - 1];
    result.copied_p90 = runs[(9 * n + 9) / 10 - 1];
    result.copied_32 = static_cast<double>(long_runs) / static_cast<double>(n);
    return result;
}

}  // namespace folio
