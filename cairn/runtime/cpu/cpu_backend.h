// The CPU backend: fused groups run as compiled kernels, everything else on the backend that it is
// given.
#pragma once

#include <memory>
#include <string>

#include "cairn/base/cpu_features.h"
#include "cairn/base/thread_pool.h"
#include "cairn/runtime/kernel.h"

namespace cairn {

struct CpuBackendOptions {
  std::string cache = {};  // folder for compiled kernels and timings; empty: none are kept
  // Kernels' addresses are written to /tmp/perf-PID.map, where `perf report` looks up their names,
  // and they tell debuggers their lines.
  bool perf_map = false;
  bool fuse = true;        // false: a launch per node
  bool odd_tiles = false;  // blocks whose sizes divide nothing
  // For trying out kernels, in all; what earlier sweeps found is used in any case.
  double tune_seconds = 0;
  // Results of a launch that take so many bytes are written past the caches; 0: as many as the last
  // one holds.
  uint64_t stream_bytes = 0;
};

// Where the cache has compiled kernels, and timings.
inline std::string kernels_folder(const std::string& cache) {
  return cache.empty() ? cache : cache + "/kernels";
}
inline std::string timings_folder(const std::string& cache) {
  return cache.empty() ? cache : cache + "/timings";
}

// `pool` compiles and outlives the backend. Throws Error when this build has no compiler or the
// target is below avx2.
std::unique_ptr<Backend> make_cpu_backend(CpuTarget target, ThreadPool& pool,
                                          const CpuBackendOptions& options,
                                          std::unique_ptr<Backend> fallback);

}  // namespace cairn
