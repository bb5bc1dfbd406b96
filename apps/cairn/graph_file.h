// What the graph commands share: reading a .graph file, and its gradient.
#pragma once

#include <string>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn::app {

// Throws Error that names the file, line and column.
Graph read_graph(const std::string& path);

// The graph with a further output grad.NAME per input named: d(sum of the first output) / d input.
// Throws Error for a name that no input has, and where there is no derivative.
Graph with_gradients(const Graph& graph, const std::vector<std::string>& inputs);

// Names of the float inputs, and of all.
std::vector<std::string> float_inputs(const Graph& graph);
std::vector<std::string> input_names(const Graph& graph);

}  // namespace cairn::app
