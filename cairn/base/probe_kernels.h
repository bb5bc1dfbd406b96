// The measuring loops of one instruction set: probe_kernels.inc, compiled once per target.
//
// Those files have flags of their own, so they must not instantiate or emit an inline function that
// others share: the linker would keep one copy, perhaps one that this processor cannot run. They
// include this header and call nothing.
#pragma once

#include <cstdint>

namespace cairn::detail {

struct ProbeKernels {
  // Run `rounds` rounds of multiply-add and return something that depends on all of them.
  double (*f32)(int64_t rounds);
  double (*f64)(int64_t rounds);
  double (*scalar_f32)(int64_t rounds);
  double (*scalar_f64)(int64_t rounds);
  // Floating-point operations of one round.
  int64_t f32_flops, f64_flops, scalar_flops;
  // Reads `bytes`, a multiple of 1024, from an address aligned to 64.
  uint64_t (*read)(const void* data, uint64_t bytes);
  // The same of two and three arrays: to = from, and a = b + s c.
  void (*copy)(const float* from, float* to, uint64_t bytes);
  void (*triad)(const float* b, const float* c, float* a, uint64_t bytes);
  // With instructions beyond the target; null where it has none.
  double (*bf16)(int64_t rounds) = nullptr;
  double (*i8)(int64_t rounds) = nullptr;
  int64_t bf16_flops = 0, i8_flops = 0;
};

const ProbeKernels& baseline_probe_kernels();
const ProbeKernels& avx2_probe_kernels();
const ProbeKernels& avx512_probe_kernels();

}  // namespace cairn::detail
