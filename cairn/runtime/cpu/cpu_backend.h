// The CPU backend: fused groups run as compiled kernels, everything else on the backend that it is
// given.
#pragma once

#include <memory>
#include <string>

#include "cairn/base/cpu_features.h"
#include "cairn/base/thread_pool.h"
#include "cairn/runtime/kernel.h"

namespace cairn {

// `pool` compiles and outlives the backend. Throws Error when this build has no compiler or the
// target is below avx2.
// `cache`: the folder for compiled kernels; empty: none is kept. `perf_map`: their addresses are
// written to /tmp/perf-PID.map, where `perf report` looks up their names.
std::unique_ptr<Backend> make_cpu_backend(CpuTarget target, ThreadPool& pool,
                                          const std::string& cache, bool perf_map,
                                          std::unique_ptr<Backend> fallback);

}  // namespace cairn
