#include "native/host/cores.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

namespace folio {

namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& file) {
    std::ifstream stream(file);
    std::string line;
    std::getline(stream, line);
    return line;
}

/// The quota that one group sets itself: "QUOTA PERIOD" or "max PERIOD" in version 2, two files in version 1.
std::optional<double> quota_of(const fs::path& group) {
    std::istringstream values(first_line(group / "cpu.max"));
    double quota = 0, period = 0;
    if (!(values >> quota >> period)) {
        values =
            std::istringstream(first_line(group / "cpu.cfs_quota_us") + " " + first_line(group / "cpu.cfs_period_us"));
        if (!(values >> quota >> period)) return std::nullopt;
    }
    if (quota <= 0 || period <= 0) return std::nullopt;  // -1: none
    return quota / period;
}

}  // namespace

std::optional<double> cpu_quota(const fs::path& root, const std::string& membership) {
    std::optional<double> least;
    std::istringstream lines(membership);
    for (std::string line; std::getline(lines, line);) {
        // NUMBER:CONTROLLERS:PATH, without controllers in version 2.
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (second == line.npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (!controllers.empty() && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
        for (const fs::path& top : {root / controllers, root / "cpu", root}) {
            fs::path group = top / fs::path(line.substr(second + 1)).relative_path();
            for (;; group = group.parent_path()) {
                const auto quota = quota_of(group);
                if (quota && (!least || *quota < *least)) least = quota;
                if (group.string().size() <= top.string().size() + 1) break;
            }
        }
    }
    return least;
}

int physical_cores() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    std::set<std::string> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        // Every hardware thread of a core lists the same siblings.
        std::ifstream siblings(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
        std::string list;
        if (!std::getline(siblings, list)) list = fmt::format("cpu {}", cpu);
        cores.insert(list);
    }
    std::ifstream membership("/proc/self/cgroup");
    const std::string groups{std::istreambuf_iterator<char>(membership), {}};
    const auto count = static_cast<double>(cores.size());
    return std::max(1, static_cast<int>(std::min(count, cpu_quota("/sys/fs/cgroup", groups).value_or(count))));
}

}  // namespace folio
