#include "cairn/base/cpu_features.h"

#include <cpuid.h>
#include <fmt/format.h>

#include <cstdint>

#include "cairn/base/error.h"

namespace cairn {
namespace {

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

// Zeros where the processor has no such leaf.
Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d)) return {};
  return r;
}

// XCR0: which register files the operating system saves. Only valid where OSXSAVE is set.
uint64_t saved_state() {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

bool all(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

}  // namespace

std::string_view name(CpuTarget target) {
  switch (target) {
    case CpuTarget::avx512: return "avx512";
    case CpuTarget::avx2: return "avx2";
    case CpuTarget::baseline: break;
  }
  return "baseline";
}

CpuTarget detect_cpu_target() {
  const Registers one = cpuid(1), seven = cpuid(7), extended = cpuid(0x80000001u);
  if (!all(one.c, bit_OSXSAVE)) return CpuTarget::baseline;
  const uint64_t state = saved_state();
  constexpr uint64_t kYmm = 0x6;   // XMM and YMM
  constexpr uint64_t kZmm = 0xe6;  // those, the mask registers and both halves of ZMM
  const bool v3 = (state & kYmm) == kYmm &&
                  all(one.c, bit_AVX | bit_FMA | bit_F16C | bit_MOVBE | bit_SSE4_2 | bit_POPCNT) &&
                  all(seven.b, bit_AVX2 | bit_BMI | bit_BMI2) && all(extended.c, bit_LZCNT);
  if (!v3) return CpuTarget::baseline;
  const bool v4 = (state & kZmm) == kZmm &&
                  all(seven.b, bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ |
                                   static_cast<unsigned>(bit_AVX512VL));
  return v4 ? CpuTarget::avx512 : CpuTarget::avx2;
}

CpuTarget choose_cpu_target(const std::optional<std::string>& forced) {
  const CpuTarget best = detect_cpu_target();
  if (!forced) return best;
  for (CpuTarget target : kCpuTargets) {
    if (*forced != name(target)) continue;
    if (target > best)
      throw_error(
          fmt::format("target '{}' was asked for, but this processor offers at most '{}'; unset "
                      "CAIRN_TARGET or "
                      "ask for '{}'",
                      name(target), name(best), name(best)));
    return target;
  }
  throw_error(fmt::format("target '{}' is not known; use one of: baseline, avx2, avx512", *forced));
}

}  // namespace cairn
