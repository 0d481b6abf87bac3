#pragma once

#include <cstdio>
#include <string>
#include <type_traits>
#include <utility>

#include "core/base/result.h"

namespace folio {

/// Ends the command: `main` prints the sentence on stderr and returns the code.
struct Failure {
    int exit_code;         // 1 failed, 2 wrong usage, 130 after Ctrl-C
    std::string sentence;  // empty: nothing more to say
};

[[noreturn]] inline void stop(std::string sentence) { throw Failure{1, std::move(sentence)}; }
[[noreturn]] inline void wrong_usage(std::string sentence) { throw Failure{2, std::move(sentence)}; }

/// A line on stderr; that it cannot be written is no failure.
inline void notice(const std::string& line) { std::fputs((line + "\n").c_str(), stderr); }

/// The value of a result; a failure ends the command with its sentence, behind `about`.
template <class T>
T unwrap(Result<T>&& result, const std::string& about = "") {
    if (!result) stop(about.empty() ? result.error().sentence : about + ": " + result.error().sentence);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace folio
