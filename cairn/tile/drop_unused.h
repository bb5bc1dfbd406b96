// The pass that removes instructions whose results nothing reads: what a generator of kernels wrote
// for a case that did not come.
#pragma once

#include "cairn/tile/ir.h"

namespace cairn::tile {

Kernel drop_unused(const Kernel& kernel);

}  // namespace cairn::tile
