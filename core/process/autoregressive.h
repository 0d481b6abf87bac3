#pragma once

#include <vector>

namespace folio {

/// Ids that a proofreader, an autoregressive model, has for the characters of the model whose samples it rates.
struct ProofreaderIds {
    std::vector<int> ids;  // [vocab_size of the sampled model]; -1 for [MASK]
    int newline = -1;      // the id of the character that every text begins after; -1: none
};

/// Context of a prediction: the characters from position `first` to the one before the predicted one, after the start
/// character where `start` is set.
struct Context {
    int first = 0;
    bool start = false;

    friend bool operator==(const Context&, const Context&) = default;
};

/// All before the position, and with `has_start` a start character, as long as they fit into seq_len; then the window
/// goes on half its length at a time, without the start character.
Context context_of(int position, bool has_start, int seq_len);

}  // namespace folio
