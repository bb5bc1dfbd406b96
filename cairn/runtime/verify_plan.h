// The rules of plans, executable. What keeps them reads and writes only memory that it owns, and
// computes what its graph says.
#pragma once

#include <optional>
#include <string>

#include "cairn/runtime/plan.h"

namespace cairn {

struct PlanFault {
  int launch = -1;  // -1: the plan as a whole
  std::string what;
};

// The first rule that the plan breaks; plans of regions are taken to be right. `region` as in
// PlanOptions.
//   - Arguments, results and the arena's buffers have the sizes of their values; the arena's lie
//     inside it, at multiples of 64, and it ends where the last of them does.
//   - Every operation of the graph that computes something is launched once, by the backend's
//     kernel, with the workspace that it asks for.
//   - A launch finds each operand, and the plan at its end each result, where it was written and
//     not overwritten since. A launch writes over an operand of its own only where its kernel reads
//     each element before it writes it (may_overwrite).
//   - A result that takes over an argument's memory has its size, and is the only one to do so. In
//     a region every result has memory of its own.
//   - Of launches that run at once none writes what another reads or writes.
std::optional<PlanFault> find_fault(const Plan& plan, const Backend& backend, bool region = false);

// Throws InternalError with the fault and the plan's text, regions included.
void verify(const Plan& plan, const Backend& backend);

}  // namespace cairn
