#include "cairn/runtime/plan_memory.h"

#include <algorithm>

#include "cairn/base/memory.h"

namespace cairn {

size_t needed_bytes(const Plan& plan) {
  size_t bytes = plan.peak_bytes();
  for (const PlanBuffer& buffer : plan.buffers) bytes = std::max(bytes, buffer.bytes);
  for (const Launch& launch : plan.launches)
    for (const auto& region : launch.regions) bytes = std::max(bytes, needed_bytes(*region));
  return bytes;
}

void check_memory(const Backend& backend, const Plan& plan, size_t held, std::string_view what,
                  std::string_view remedy) {
  if (!backend.executes()) return;
  const size_t bytes = needed_bytes(plan);
  check_memory(static_cast<double>(bytes - std::min(bytes, held)), what, remedy);
}

}  // namespace cairn
