#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace folio {

/// A failure as one sentence for the user: what was wrong and what to do about it.
struct Error {
    std::string sentence;
    bool not_finite = false;  // a model's numbers were not finite, which training takes back
};

/// A value, or the sentence that says why there is none.
template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(std::string sentence) { return tl::unexpected<Error>(Error{std::move(sentence)}); }

}  // namespace folio
