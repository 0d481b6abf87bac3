#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/evaluation/likelihood.h"

/// Statistics of samples beside those of real text. None of these figures is good high or good low: a sampler that
/// repeats itself or copies pleases every judge, so each is read beside its value for text of the same length that
/// no model was trained on.
namespace folio {

/// A judge that is no network: the n-gram model of a text, each context's distribution mixed with that of the context
/// one character shorter by as many parts as it has kinds of successors (Witten and Bell 1991, interpolated), down to
/// the even distribution over all `characters` that may be written.
class NgramJudge {
public:
    NgramJudge(std::u32string_view training, int order, int characters);

    /// -log p of every character given those before it in the same text, the last order - 1 at most.
    std::vector<double> nats(std::u32string_view text) const;

private:
    /// A string of at most `order` characters that stands in the text.
    struct Gram {
        int count = 0;
        int followers = 0, kinds = 0;  // characters behind it, and different ones
    };

    int find(int gram, char32_t next) const;

    int order_, characters_;
    std::vector<Gram> grams_;                        // the empty one first
    std::unordered_map<std::uint64_t, int> longer_;  // the gram that `gram` and one more character are
};

/// Finds what is copied: the text's suffixes in alphabetical order (Manber and Myers 1990).
class CopyFinder {
public:
    explicit CopyFinder(std::u32string text);

    /// The length of the longest piece of `sample` that stands in the text.
    int longest_run(std::u32string_view sample) const;

private:
    bool has(std::u32string_view piece) const;

    std::u32string text_;
    std::vector<int> suffixes_;  // where they start
};

/// The share of all words of all samples, and its standard error over samples (that of a ratio of two means).
struct Rate {
    double share = 0;           // NaN where there are no words
    double standard_error = 0;  // NaN for a single sample
};

struct TextStatistics {
    int count = 0;     // samples
    Estimate judge;    // nats per character of the judge of order 5; the mean over samples
    Estimate entropy;  // of a sample's own distribution of characters, which falls where a sampler repeats itself
    double pooled_entropy = 0;  // of the characters of all samples together
    double distinct_4 = 0;
    // Among the words of a sample, in small letters and without the first and last, which may be cut: those that the
    // training text has, and the pairs of neighbours that are neighbours there.
    Rate words, word_pairs;
    // The longest piece of a sample that stands in the training text: quantiles over samples (the smallest length that
    // half, or 90 %, do not exceed), and the share of samples where it has 32 characters or more.
    int copied_median = 0, copied_p90 = 0;
    double copied_32 = 0;
};

/// Different strings of four characters within the samples, over all characters. It falls with the number of samples:
/// compare like with like.
double distinct_4(std::span<const std::u32string> samples);

/// The training text, made ready for measuring samples against it.
class TrainingText {
public:
    /// `characters`: how many there are to write, the text's own among them.
    TrainingText(std::u32string_view text, int characters);

    /// At least one sample, none of them empty.
    TextStatistics measure(std::span<const std::u32string> samples) const;

private:
    NgramJudge judge_;
    CopyFinder copies_;
    std::map<std::u32string, int> words_;       // numbered as they come
    std::set<std::pair<int, int>> word_pairs_;  // neighbours
};

}  // namespace folio
