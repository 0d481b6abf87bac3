#include "core/process/autoregressive.h"

#include <algorithm>

namespace folio {

Context context_of(int position, bool has_start, int seq_len) {
    const int half = (seq_len + 1) / 2, beyond = position + has_start - seq_len;
    if (beyond <= 0) return {0, has_start};
    return {std::min((beyond + half - 1) / half * half, position - 1),
            false};  // with seq_len 1 half a window is the whole one
}

}  // namespace folio
