// Nodes of operations that the compiler puts in the place of others.
#pragma once

#include <vector>

#include "cairn/graph/graph.h"

namespace cairn {

std::vector<Tensor> custom_node(CustomDefinition definition, std::vector<Tensor> operands);

}  // namespace cairn
