// contraction_kernels.inc for CpuTarget::avx512.
#include <immintrin.h>

#include "cairn/runtime/ref/contraction_kernels.h"

namespace cairn::ref::detail {
namespace {
#include "cairn/runtime/ref/contraction_kernels.inc"
}  // namespace

const Kernels& avx512_kernels() { return kKernels; }

}  // namespace cairn::ref::detail
