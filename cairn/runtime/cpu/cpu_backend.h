// The CPU backend: fused groups run as compiled kernels, everything else on the backend that it is
// given.
#pragma once

#include <memory>

#include "cairn/base/cpu_features.h"
#include "cairn/base/thread_pool.h"
#include "cairn/runtime/kernel.h"

namespace cairn {

// `pool` compiles and outlives the backend. Throws Error when this build has no compiler or the
// target is below avx2.
std::unique_ptr<Backend> make_cpu_backend(CpuTarget target, ThreadPool& pool,
                                          std::unique_ptr<Backend> fallback);

}  // namespace cairn
