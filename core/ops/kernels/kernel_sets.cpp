#include "core/ops/kernels/microkernels.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace folio {

#if defined(__wasm__)
extern const Microkernels microkernels_wasm;
extern const IntegerKernels integers_wasm;
#if defined(__wasm_relaxed_simd__)
extern const Microkernels microkernels_wasm_relaxed;
extern const IntegerKernels integers_wasm_relaxed, integers_wasm_relaxed_i16;
#endif
#else
extern const Microkernels microkernels_portable, uncontracted_portable;
extern const IntegerKernels integers_portable;
#if defined(__x86_64__)
extern const Microkernels microkernels_avx512, microkernels_avx2, uncontracted_avx512, uncontracted_avx2;
extern const Product bf16_amx, bf16_avx512;
extern const IntegerKernels integers_amx, integers_avx512vnni, integers_avx512, integers_avxvnni, integers_avx2;
#endif
#endif

namespace {

bool always() { return true; }

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avxvnni() { return has_avx2() && __builtin_cpu_supports("avxvnni"); }
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
bool has_avx512bf16() { return has_avx512vnni() && __builtin_cpu_supports("avx512bf16"); }
/// AMX state must be asked of the kernel (arch_prctl ARCH_REQ_XCOMP_PERM for tile data); CPUID alone does not tell.
bool has_amx() {
    if (!has_avx512bf16()) return false;
    unsigned eax = 7, ebx = 0, ecx = 0, edx = 0;
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    const bool bf16 = edx >> 22 & 1, tile = edx >> 24 & 1, int8 = edx >> 25 & 1;
    constexpr long request_permission = 0x1023, tile_data = 18;
    return bf16 && tile && int8 && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#endif

// What products of integers gain from an instruction set and what f32 gains do not come together, so sets that stand
// together share tables.
constexpr KernelSet all_sets[] = {
#if defined(__wasm__)
#if defined(__wasm_relaxed_simd__)
    {"wasm_relaxed", always, &microkernels_wasm_relaxed, nullptr, &microkernels_wasm, &integers_wasm_relaxed},
    {"wasm_relaxed_i16", always, &microkernels_wasm_relaxed, nullptr, &microkernels_wasm, &integers_wasm_relaxed_i16},
#endif
    {"wasm", always, &microkernels_wasm, nullptr, &microkernels_wasm, &integers_wasm},
#else
#if defined(__x86_64__)
    {"amx", has_amx, &microkernels_avx512, &bf16_amx, &uncontracted_avx512, &integers_amx},
    {"avx512bf16", has_avx512bf16, &microkernels_avx512, &bf16_avx512, &uncontracted_avx512, &integers_avx512vnni},
    {"avx512vnni", has_avx512vnni, &microkernels_avx512, nullptr, &uncontracted_avx512, &integers_avx512vnni},
    {"avx512", has_avx512, &microkernels_avx512, nullptr, &uncontracted_avx512, &integers_avx512},
    {"avxvnni", has_avxvnni, &microkernels_avx2, nullptr, &uncontracted_avx2, &integers_avxvnni},
    {"avx2", has_avx2, &microkernels_avx2, nullptr, &uncontracted_avx2, &integers_avx2},
#endif
    {"portable", always, &microkernels_portable, nullptr, &uncontracted_portable, &integers_portable},
#endif
};
constexpr std::size_t count = sizeof all_sets / sizeof all_sets[0];

const void* kernels_of(const KernelSet& set, Precision precision) {
    switch (precision) {
        case Precision::f32: return set.f32;
        case Precision::bf16: return set.bf16;
        case Precision::int8: break;
    }
    return set.integer;
}

}  // namespace

std::span<const KernelSet* const> available_kernels() {
    static const KernelSet* usable[count];
    static const std::size_t found = [] {
        std::size_t n = 0;
        for (const KernelSet& set : all_sets)
            if (set.supported()) usable[n++] = &set;
        return n;
    }();
    return {usable, found};
}

std::vector<const KernelSet*> distinct_kernels(Precision precision) {
    std::vector<const KernelSet*> sets;
    for (const KernelSet* set : available_kernels()) {
        const void* kernels = kernels_of(*set, precision);
        if (!kernels) continue;
        if (!sets.empty() && kernels_of(*sets.back(), precision) == kernels) sets.pop_back();
        sets.push_back(set);
    }
    return sets;
}

Result<const KernelSet*> kernels_named(std::string_view name) {
    const auto usable = available_kernels();
    for (const KernelSet* set : usable)
        if (set->name == name) return set;
    bool exists = false;
    for (const KernelSet& set : all_sets) exists = exists || set.name == name;
    std::string names;
    for (const KernelSet* set : usable) names += (names.empty() ? "" : ", ") + std::string(set->name);
    return fail((exists ? "This machine cannot run that kernel set" : "There is no kernel set of that name") +
                std::string("; choose one of: ") + names + ".");
}

}  // namespace folio
