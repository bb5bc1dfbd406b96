#include "apps/cairn/graph_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/file.h"
#include "cairn/base/names.h"
#include "cairn/graph/parse.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/vjp.h"

namespace cairn::app {

Graph read_graph(const std::string& path) {
  constexpr uint64_t kLargest = uint64_t{32} << 20;  // of parse_graph
  const std::string text = read_file(path, kLargest).value();
  auto graph = parse_graph(text);
  if (!graph)
    throw_error(fmt::format("cannot read the graph '{}': {}", path, graph.error().what()));
  return std::move(graph).value();
}

std::vector<std::string> input_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Tensor& input : graph.inputs) names.push_back(input.name());
  return names;
}

std::vector<std::string> float_inputs(const Graph& graph) {
  std::vector<std::string> names;
  for (const Tensor& input : graph.inputs)
    if (is_float(input.dtype())) names.push_back(input.name());
  return names;
}

Graph with_gradients(const Graph& graph, const std::vector<std::string>& inputs) {
  if (graph.outputs.empty())
    throw_error(fmt::format("graph @{} has no output to take a gradient of", graph.name));
  const Tensor& first = graph.outputs[0];
  if (!is_float(first.dtype()))
    throw_error(
        fmt::format("the gradient is that of the first output's sum, and '{}' is {}; only floats "
                    "have derivatives",
                    graph.output_names.at(0), to_string(first.type())));
  const std::vector<std::string> known = input_names(graph);
  std::vector<Tensor> wrt;
  for (const std::string& name : inputs) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end())
      throw_error(
          fmt::format("--grad {}: the graph has no such input; {}", name, suggest(name, known)));
    wrt.push_back(graph.inputs[static_cast<size_t>(found - known.begin())]);
    if (!is_float(wrt.back().dtype()))
      throw_error(fmt::format("--grad {}: the input is {}; only floats have derivatives", name,
                              to_string(wrt.back().type())));
  }
  // 8-bit floats take part in no sum.
  std::vector<Tensor> values = {sum(is_float8(first.dtype()) ? cast(first, DType::f32) : first)};
  values.insert(values.end(), graph.outputs.begin(), graph.outputs.end());
  auto result = value_and_gradients(values, wrt);
  Graph both = graph;
  both.outputs.assign(result.values.begin() + 1, result.values.end());
  for (size_t i = 0; i < wrt.size(); ++i) {
    both.outputs.push_back(result.gradients[i]);
    both.output_names.push_back("grad." + inputs[i]);
  }
  return both;
}

}  // namespace cairn::app
