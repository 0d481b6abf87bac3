#pragma once

#include <string>

#include "core/sampling/sampler.h"
#include "core/weights/vocabulary.h"

namespace folio {

/// A text coming out of noise, frame after frame on stderr: in one position on a terminal, else one block after
/// another.
class Animation {
public:
    Animation();

    void show(const Frame& frame, const Vocabulary& vocabulary);
    /// Takes the last frame off the terminal again where the finished text is about to be printed there.
    void finish();

private:
    std::string erase(int columns) const;

    bool redraws_;
    int lines_ = 0;    // drawn and still on the terminal
    int columns_ = 0;  // of the terminal then
};

}  // namespace folio
