#include "native/host/signals.h"

#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstring>

namespace folio {
namespace {

// All that a handler may touch.
volatile std::sig_atomic_t graceful = 0;
volatile std::sig_atomic_t asked_to_stop = 0;
volatile std::sig_atomic_t partial_named = 0;
char partial_path[PATH_MAX];

void on_signal(int) {
    if (graceful && !asked_to_stop) {
        asked_to_stop = 1;
        return;
    }
    if (partial_named) ::unlink(partial_path);
    constexpr char sentence[] = "\nStopped.\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, sentence, sizeof sentence - 1);
    ::_exit(130);
}

}  // namespace

void handle_signals() {
    struct sigaction action {
    }, inherited{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        // In the background or under nohup the signal is to be ignored.
        if (sigaction(signal, nullptr, &inherited) == 0 && inherited.sa_handler == SIG_IGN) continue;
        sigaction(signal, &action, nullptr);
    }
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
}

GracefulStop::GracefulStop() { graceful = 1; }
GracefulStop::~GracefulStop() { graceful = 0; }
bool GracefulStop::asked() const { return asked_to_stop != 0; }

PartialFile::PartialFile(const std::string& path) {
    if (path.size() >= sizeof partial_path) return;  // open() will refuse it
    std::memcpy(partial_path, path.c_str(), path.size() + 1);
    partial_named = 1;
}

PartialFile::~PartialFile() {
    if (partial_named) ::unlink(partial_path);  // nothing is there after a rename
    partial_named = 0;
}

}  // namespace folio
