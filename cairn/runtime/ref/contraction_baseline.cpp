// contraction_kernels.inc for CpuTarget::baseline.
#include <immintrin.h>

#include "cairn/runtime/ref/contraction_kernels.h"

namespace cairn::ref::detail {
namespace {
#include "cairn/runtime/ref/contraction_kernels.inc"
}  // namespace

const Kernels& baseline_kernels() { return kKernels; }

}  // namespace cairn::ref::detail
