#include "core/ops/microkernels.h"

namespace folio {

#if defined(__wasm__)
#if defined(__wasm_relaxed_simd__)
extern const Microkernels microkernels_wasm_relaxed;
#endif
extern const Microkernels microkernels_wasm;
#else
#if defined(__x86_64__)
extern const Microkernels microkernels_amx, microkernels_avx512, microkernels_avx2;
#endif
extern const Microkernels microkernels_portable;
#endif

namespace {

const Microkernels* const known[] = {
#if defined(__wasm__)
#if defined(__wasm_relaxed_simd__)
    &microkernels_wasm_relaxed,
#endif
    &microkernels_wasm,
#else
#if defined(__x86_64__)
    &microkernels_amx,
    &microkernels_avx512,
    &microkernels_avx2,
#endif
    &microkernels_portable,
#endif
};

}  // namespace

std::span<const Microkernels* const> available_microkernels() {
    static const Microkernels* usable[sizeof known / sizeof known[0]];
    static const std::size_t count = [] {
        std::size_t n = 0;
        for (const Microkernels* set : known)
            if (set->supported()) usable[n++] = set;
        return n;
    }();
    return {usable, count};
}

Result<const Microkernels*> select_microkernels(std::string_view forced_name) {
    const auto usable = available_microkernels();
    if (forced_name.empty()) return usable.front();
    for (const Microkernels* set : usable)
        if (set->name == forced_name) return set;
    bool exists = false;
    for (const Microkernels* set : known) exists = exists || set->name == forced_name;
    std::string names;
    for (const Microkernels* set : usable) names += (names.empty() ? "" : ", ") + std::string(set->name);
    return fail((exists ? "This machine cannot run that kernel set" : "There is no kernel set of that name") +
                std::string("; choose one of: ") + names + ".");
}

}  // namespace folio
