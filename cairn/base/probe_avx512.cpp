// probe_kernels.inc for CpuTarget::avx512.
#include "cairn/base/probe_kernels.h"

namespace cairn::detail {
namespace {
#include "cairn/base/probe_kernels.inc"

// As `chains`, of what one instruction adds to each 32-bit number of `c`.
template <class Step>
double chains_of(int64_t rounds, const Step& step) {
  F32 c0 = {}, c1 = {}, c2 = {}, c3 = {}, c4 = {}, c5 = {};
  F32 c6 = {}, c7 = {}, c8 = {}, c9 = {}, c10 = {}, c11 = {};
  for (int64_t i = 0; i < rounds * kSteps; ++i) {
    step(c0), step(c1), step(c2), step(c3), step(c4), step(c5);
    step(c6), step(c7), step(c8), step(c9), step(c10), step(c11);
  }
  const F32 sum = (c0 + c1 + c2 + c3) + (c4 + c5 + c6 + c7) + (c8 + c9 + c10 + c11);
  return static_cast<double>(sum[0]);
}

// The compiler has no flag for these two instructions here; the assembler knows them.
typedef uint32_t U32 __attribute__((vector_size(kVectorBytes)));

double bf16_products(int64_t rounds) {
  const U32 halves = U32{} + 0x3f003f00u;  // pairs of 0.5
  return chains_of(rounds, [&](F32& c) __attribute__((always_inline)) {
    asm volatile("vdpbf16ps %1, %1, %0" : "+v"(c) : "v"(halves));
  });
}
double i8_products(int64_t rounds) {
  const U32 ones = U32{} + 0x01010101u;
  return chains_of(rounds, [&](F32& c) __attribute__((always_inline)) {
    asm volatile("vpdpbusd %1, %1, %0" : "+v"(c) : "v"(ones));
  });
}

constexpr ProbeKernels with_narrow_products() {
  ProbeKernels kernels = kKernels;
  kernels.bf16 = bf16_products;
  kernels.i8 = i8_products;
  kernels.bf16_flops = 2 * kernels.f32_flops;
  kernels.i8_flops = 4 * kernels.f32_flops;
  return kernels;
}
constexpr ProbeKernels kAllKernels = with_narrow_products();
}  // namespace

const ProbeKernels& avx512_probe_kernels() { return kAllKernels; }

}  // namespace cairn::detail
