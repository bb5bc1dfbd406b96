// What bounds an operation on this machine: measured arithmetic, and the bandwidth of the place
// where its bytes lie. `cairn probe` draws it; `cairn bench ops` quotes percent of it.
#pragma once

#include <string>
#include <vector>

#include "cairn/base/probe.h"
#include "cairn/base/thread_pool.h"
#include "cairn/core/dtype.h"
#include "cairn/plot/chart.h"

namespace cairn::app {

// A cache or memory. Bandwidth in bytes a second, all threads together; copying counts what is read
// and what is written.
struct Place {
  std::string name;  // "L2", "DRAM"
  uint64_t bytes;    // what the threads find room for in it
  double read, copy;
};

struct Roofs {
  int threads = 1;
  // Flops a second, of i8 operations; 0: not measured, or the processor has none.
  double f32 = 0, f64 = 0, bf16 = 0, i8 = 0;
  std::vector<Place> places;  // from the nearest to memory, which holds everything
  // Bandwidth by working set, the smallest first: a cache hands over to the next one gradually.
  struct Point {
    double bytes, read, copy;
  };
  std::vector<Point> curve = {};
};

// Takes about `seconds`. Throws Error without memory.
Roofs measure_roofs(const MachineInfo& machine, ThreadPool& pool, double seconds);

// Work that an operation cannot avoid: each operand read once, each result written once.
struct Work {
  DType dtype = DType::f32;
  double flops = 0, read = 0, written = 0;

  double bytes() const { return read + written; }
};

struct Limit {
  double seconds;    // no run is faster
  std::string what;  // "f32 peak", "L2", "DRAM"
};
Limit limit_of(const Roofs& roofs, const Work& work);

// What an operation can reach by the flops that it does for each byte it moves: the smaller of
// bandwidth times that and the peak. A line per place.
plot::Chart roofline(const Roofs& roofs);

// Data caches, the smallest first.
std::vector<CacheInfo> data_caches(const MachineInfo& machine);
// Bytes that all threads have of a cache.
uint64_t room_in(const CacheInfo& cache, int threads);
// A working set beyond every cache, and not so large that a small machine swaps.
uint64_t memory_working_set(const MachineInfo& machine);

}  // namespace cairn::app
