// The passes over a kernel between its writing and a back end.
//
// Each is a function from kernel to kernel that keeps every bit of what the kernel computes. They
// are tested as text: tests/tile/passes has a kernel before and after each.
#pragma once

#include <span>
#include <string_view>

#include "cairn/tile/ir.h"

namespace cairn::tile {

struct Pass {
  std::string_view name;
  std::string_view summary;
  Kernel (*run)(const Kernel& kernel);
};
// In the order in which they run.
std::span<const Pass> passes();

// The kernel as back ends take it: through all passes, or those up to and with `last`. verify()
// looks at it before the first pass and after each. Throws Error for a kernel that is not valid or
// a pass that is not known, InternalError naming the pass that broke it.
Kernel run_passes(const Kernel& kernel, std::string_view last = {});

}  // namespace cairn::tile
