// probe_kernels.inc for CpuTarget::baseline.
#include "cairn/base/probe_kernels.h"

namespace cairn::detail {
namespace {
#include "cairn/base/probe_kernels.inc"
}  // namespace

const ProbeKernels& baseline_probe_kernels() { return kKernels; }

}  // namespace cairn::detail
