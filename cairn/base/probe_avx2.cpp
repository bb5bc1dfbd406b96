// probe_kernels.inc for CpuTarget::avx2.
#include "cairn/base/probe_kernels.h"

namespace cairn::detail {
namespace {
#include "cairn/base/probe_kernels.inc"
}  // namespace

const ProbeKernels& avx2_probe_kernels() { return kKernels; }

}  // namespace cairn::detail
