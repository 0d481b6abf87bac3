#include <sys/resource.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <new>
#include <numeric>

#include "native/host/cores.h"
#include "native/host/thread_pool.h"
#include "tests/program.h"

using namespace folio::test;
using folio::cpu_quota;

namespace {

void write_into(const fs::path& file, const std::string& content) {
    fs::create_directories(file.parent_path());
    write(file, content);
}

}  // namespace

TEST_CASE("a pool of threads does every item once, by workers of its own") {
    for (const int width : {1, 2, 3, 8}) {
        folio::ThreadPool threads(width);
        REQUIRE(threads.width() == width);
        std::vector<std::atomic<int>> busy(static_cast<std::size_t>(width));
        for (int call = 0; call < 500; ++call) {
            const int count = call * 7 % 41;
            std::vector<int> done(static_cast<std::size_t>(count), 0);
            std::atomic<int> shared_workers = 0;
            threads.each(count, [&](int i, int worker) {
                if (busy[static_cast<std::size_t>(worker)].fetch_add(1) > 0) ++shared_workers;
                ++done[static_cast<std::size_t>(i)];
                busy[static_cast<std::size_t>(worker)].fetch_sub(1);
            });
            REQUIRE(std::accumulate(done.begin(), done.end(), 0) == count);
            REQUIRE(std::count(done.begin(), done.end(), 1) == count);
            REQUIRE(shared_workers == 0);
        }
    }
}

TEST_CASE("items of a pool run side by side, and threads that slept wake again") {
    folio::ThreadPool threads(2);
    for (int call = 0; call < 3; ++call) {
        // Each item waits for the other one.
        std::atomic<int> begun = 0;
        threads.each(2, [&](int, int) {
            ++begun;
            while (begun < 2) std::this_thread::yield();
        });
        CHECK(begun == 2);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

TEST_CASE("an item that runs out of memory ends the call, not the program") {
    folio::ThreadPool threads(3);
    for (int call = 0; call < 20; ++call) {
        CHECK_THROWS_AS(threads.each(50,
                                     [&](int i, int) {
                                         if (i >= call) throw std::bad_alloc();
                                     }),
                        std::bad_alloc);
        int sum = 0;
        threads.each(1, [&](int, int) { ++sum; });
        CHECK(sum == 1);
    }
}

#if !defined(FOLIO_SANITIZED)  // AddressSanitizer needs address space without a limit
TEST_CASE("where the system grants no more threads, the pool has fewer") {
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
    std::ifstream sizes("/proc/self/statm");
    rlim_t pages = 0;
    sizes >> pages;
    const rlimit tight{pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{40} << 20), limit.rlim_max};
    REQUIRE(setrlimit(RLIMIT_AS, &tight) == 0);
    {
        folio::ThreadPool threads(200);
        CHECK(threads.width() < 200);
        std::atomic<int> done = 0;
        threads.each(300, [&](int, int worker) { done += worker < threads.width(); });
        CHECK(done == 300);
    }
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}
#endif

TEST_CASE("the CPU quota of a container is read") {
    const TemporaryFolder root;
    SECTION("version 2: the least of the group and those above it") {
        const std::string membership = "0::/pod/box\n";
        CHECK_FALSE(cpu_quota(root / "", membership));
        write_into(root / "pod/box/cpu.max", "max 100000\n");
        CHECK_FALSE(cpu_quota(root / "", membership));
        write_into(root / "pod/cpu.max", "150000 100000\n");
        CHECK(cpu_quota(root / "", membership).value() == 1.5);
        write_into(root / "pod/box/cpu.max", "50000 100000\n");
        CHECK(cpu_quota(root / "", membership).value() == 0.5);
        // As a container with a name space of its own sees it.
        write_into(root / "cpu.max", "400000 100000\n");
        CHECK(cpu_quota(root / "", "0::/\n").value() == 4);
    }
    SECTION("version 1: of the controller cpu alone") {
        const std::string membership = "5:memory:/pod\n4:cpu,cpuacct:/pod\n0::/\n";
        write_into(root / "cpu,cpuacct/pod/cpu.cfs_quota_us", "-1\n");
        write_into(root / "cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
        CHECK_FALSE(cpu_quota(root / "", membership));
        write_into(root / "cpu,cpuacct/pod/cpu.cfs_quota_us", "250000\n");
        CHECK(cpu_quota(root / "", membership).value() == 2.5);
        CHECK_FALSE(cpu_quota(root / "", "5:memory:/pod\n"));
    }
    SECTION("what cannot be read is no quota") {
        write_into(root / "cpu.max", "nonsense");
        for (const char* membership : {"", "nonsense", "0::", "0:", "::/\n", "0::/\n"})
            CHECK_FALSE(cpu_quota(root / "", membership));
    }
    CHECK(folio::physical_cores() >= 1);
}
