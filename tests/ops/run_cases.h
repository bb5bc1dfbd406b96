// Runs operation cases: a runtime with a mesh of one rank, on which the collectives among them run,
// and vmap against a loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cairn/runtime/runtime.h"
#include "cairn/transforms/vmap.h"
#include "tests/ops/op_cases.h"

namespace cairn::test {

std::unique_ptr<Runtime> make_case_runtime(int threads);
Runtime& case_runtime();  // of one thread

std::vector<HostArray> hosts(Runtime& runtime, const std::vector<Tensor>& outputs,
                             bool eager = false);

std::string label(const Case& c, DType dtype);

// Two examples, mapped at once and one by one, within the case's bound. axes: 0 for operands with
// an example each, none for those of the first that both share.
void expect_vmap_equals_a_loop(const Case& c, const std::vector<Tensor>& first,
                               const std::vector<Tensor>& second,
                               const std::vector<BatchAxis>& axes);

// What vmap is tried on: a batch of every operand, and of each operand by itself.
std::vector<std::vector<BatchAxis>> batches_of(size_t operands);

}  // namespace cairn::test
