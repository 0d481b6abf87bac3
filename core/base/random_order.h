#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// The first `count` indices of `words` in an order drawn by chance: by their random words, equal ones by index.
inline std::vector<int> random_order(std::span<const std::uint32_t> words, int count) {
    assert(count >= 0 && static_cast<std::size_t>(count) <= words.size());
    std::vector<std::pair<std::uint32_t, int>> order;
    order.reserve(words.size());
    for (const std::uint32_t word : words) order.emplace_back(word, static_cast<int>(order.size()));
    const auto end = order.begin() + count;
    std::nth_element(order.begin(), end, order.end());
    std::sort(order.begin(), end);
    std::vector<int> first;
    first.reserve(static_cast<std::size_t>(count));
    for (auto each = order.begin(); each != end; ++each) first.push_back(each->second);
    return first;
}

}  // namespace folio
