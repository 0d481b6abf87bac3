#pragma once

#include <string>

namespace folio {

/// From here on Ctrl-C (SIGINT), SIGTERM and SIGHUP, unless they were ignored when the process began, end it with 130,
/// after removing a file that is being written; a closed pipe shows as a failed write instead of a signal.
void handle_signals();

/// While one lives, the first of these signals only sets `asked`, and the command ends in its own time; the second ends
/// it at once.
class GracefulStop {
public:
    GracefulStop();
    ~GracefulStop();
    GracefulStop(const GracefulStop&) = delete;
    GracefulStop& operator=(const GracefulStop&) = delete;

    bool asked() const;
};

/// Names the file that is being written: it is removed when this ends or a signal ends the process.
class PartialFile {
public:
    explicit PartialFile(const std::string& path);
    ~PartialFile();
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;
};

}  // namespace folio
