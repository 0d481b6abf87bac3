#pragma once

/// Marks what a GPU computes as the CPU does: the only macro by which the core knows of CUDA.
#if defined(__CUDACC__)
#define FOLIO_HOST_DEVICE __host__ __device__
#else
#define FOLIO_HOST_DEVICE
#endif
