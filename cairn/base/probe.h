// What this machine can do: processor and memory as the system describes them, and measured peaks.
//
// Benchmarks quote percent of these figures, so they are what real instructions reach, not what a
// data sheet says. Each is the best of several short runs: other load on the machine only ever
// slows one down. Arithmetic and one thread are measured in the threads' own processor time,
// memory under several threads by the clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/base/cpu_features.h"
#include "cairn/base/thread_pool.h"

namespace cairn {

struct CacheInfo {
  int level = 0;
  std::string kind;  // "data", "instruction" or "unified"
  uint64_t bytes = 0;
  int shared_by = 1;  // hardware threads
};

struct MachineInfo {
  std::string cpu_name;  // "unknown" where the system does not say
  int cores = 1;         // that this process may use, as physical_cores()
  int hardware_threads = 1;
  std::vector<CacheInfo> caches;  // of the first core; empty where the system hides them
  uint64_t memory_bytes = 0;
  uint64_t memory_available_bytes = 0;  // available_memory(), or 0
};
// From /proc and /sys.
MachineInfo machine_info();
// Of the largest cache of the first core; 32 MiB where the system hides it.
uint64_t last_cache_bytes();

// What is multiplied: f32 and f64 by multiply-add; bf16 in pairs summed in f32 (vdpbf16ps) and i8
// in fours summed in i32 (vpdpbusd), which not every processor with AVX-512 has.
enum class Arithmetic { f32, f64, bf16, i8 };
std::string_view name(Arithmetic arithmetic);
bool can_measure(CpuTarget target, bool vector, Arithmetic arithmetic);
// Multiplications and additions a second, all threads of the pool together, in chains that depend
// on nothing but themselves, as many as hide the latency. `vector` false: one number at a time. The
// processor has `target`, and can_measure() is true. Takes about `seconds`.
double measure_flops(CpuTarget target, bool vector, Arithmetic arithmetic, ThreadPool& pool,
                     double seconds);

enum class Traffic { read, copy, triad };
// Bytes a second that the loop reads and writes (copy: two arrays, triad a = b + s c: three), each
// thread on its part of `bytes` in all. Beyond the caches stores bypass them, so that no line is
// read in order to be overwritten. Throws Error without memory.
double measure_bandwidth(Traffic traffic, CpuTarget target, uint64_t bytes, ThreadPool& pool,
                         double seconds);

// Seconds of one load whose address is the value of the load before it, in a random walk over
// `bytes` (at least 4 KiB), on huge pages where the system gives them. Throws Error without memory.
double measure_latency(uint64_t bytes, double seconds);

}  // namespace cairn
