// probe_kernels.inc for CpuTarget::avx512.
#include "cairn/base/probe_kernels.h"

namespace cairn::detail {
namespace {
#include "cairn/base/probe_kernels.inc"
}  // namespace

const ProbeKernels& avx512_probe_kernels() { return kKernels; }

}  // namespace cairn::detail
