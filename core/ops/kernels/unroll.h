#pragma once

#if defined(__clang__)
#define FOLIO_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FOLIO_UNROLL _Pragma("GCC unroll 32")
#endif
