#include "cairn/tile/passes.h"

#include <fmt/format.h>

#include <array>

#include "cairn/base/error.h"
#include "cairn/tile/drop_unused.h"
#include "cairn/tile/expand_math.h"
#include "cairn/tile/verify.h"

namespace cairn::tile {

std::span<const Pass> passes() {
  static constexpr std::array kPasses = {
      Pass{"drop_unused", "removes instructions whose results nothing reads", drop_unused},
      Pass{"expand_math", "writes out exp, tanh and other functions", expand_math},
  };
  return kPasses;
}

Kernel run_passes(const Kernel& kernel, std::string_view last) {
  verify(kernel);
  Kernel result = kernel;
  for (const Pass& pass : passes()) {
    result = pass.run(result);
    try {
      verify(result);
    } catch (const Error& error) {
      throw InternalError(fmt::format("pass {} made an invalid kernel '{}': {}", pass.name,
                                      kernel.name, error.what()));
    }
    if (pass.name == last) return result;
  }
  if (!last.empty()) throw_error(fmt::format("no pass over kernels is called '{}'", last));
  return result;
}

}  // namespace cairn::tile
