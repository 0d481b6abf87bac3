#include <catch2/catch.hpp>

#include "native/openmp_parallel.h"
#include "tests/program.h"

using namespace folio::test;
using folio::cpu_quota;

namespace {

void write_into(const fs::path& file, const std::string& content) {
    fs::create_directories(file.parent_path());
    write(file, content);
}

}  // namespace

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
        for (const char* membership : {"", "nonsense", "0::", "0:", "::/\n", "0::/\n"}) CHECK_FALSE(cpu_quota(root / "", membership));
    }
    CHECK(folio::physical_cores() >= 1);
}
