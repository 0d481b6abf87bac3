#include "native/openmp_parallel.h"

#include <fmt/format.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>

namespace folio {

void OpenMpParallel::run(int count, Task task, void* context) {
    if (width_ == 1 || count <= 1) {
        for (int i = 0; i < count; ++i) task(context, i, 0);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(width_)
    for (int i = 0; i < count; ++i) task(context, i, omp_get_thread_num());
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
    return std::max<int>(1, static_cast<int>(cores.size()));
}

}  // namespace folio
