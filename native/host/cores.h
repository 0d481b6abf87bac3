#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace folio {

/// Physical cores that this process may run on, at least 1: two hardware threads of one core share its product units. A
/// container's CPU quota counts, rounded down.
int physical_cores();

/// The CPU quota, in CPUs, of the control group (version 1 or 2) that `membership`, the content of /proc/self/cgroup,
/// names: the least of it and of those above it, below `root` (/sys/fs/cgroup). Nothing where there is none.
std::optional<double> cpu_quota(const std::filesystem::path& root, const std::string& membership);

}  // namespace folio
