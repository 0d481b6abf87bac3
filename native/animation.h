#pragma once

#include <string>

#include "core/sampling/sampler.h"
#include "core/weights/vocabulary.h"

namespace folio {

/// A text coming out of noise, frame after frame on stderr: in one place on a terminal, else one block after another.
class Animation {
public:
    Animation();

    void show(const Frame& frame, const Vocabulary& vocabulary);
    /// Takes the last frame off the terminal again where the finished text is about to be printed there.
    void finish();

private:
    bool terminal_;
    int lines_ = 0;  // drawn and still on the terminal
};

}  // namespace folio
