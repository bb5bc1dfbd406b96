// Whether there is memory for what a plan is about to take: the planned peak beside the machine's.
#pragma once

#include <string_view>

#include "cairn/runtime/plan.h"

namespace cairn {

// Bytes that an execution takes at most: plan.peak_bytes(), or the largest buffer where that is
// more, as it is when sizes beyond any memory made the sum overflow.
size_t needed_bytes(const Plan& plan);

// Throws the Error of check_memory (base/memory.h) when an execution takes more than is available,
// beside `held`: bytes of its arguments that are in memory already. Backends that compute nothing
// take none.
void check_memory(const Backend& backend, const Plan& plan, size_t held, std::string_view what,
                  std::string_view remedy);

}  // namespace cairn
