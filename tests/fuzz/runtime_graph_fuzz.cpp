// Graphs that the parser accepts, executed: planned and simplified they give the bits that they
// give node by node, or the same kind of error.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "cairn/graph/numbering.h"
#include "cairn/graph/parse.h"
#include "cairn/runtime/runtime.h"
#include "cairn/runtime/verify_plan.h"
#include "tests/support/same_values.h"

namespace {

using namespace cairn;

// Whether it runs in no time on this machine alone: few elements, few steps, no messages, one
// memory.
bool is_small(const Graph& graph, double times) {
  double elements = 0;
  for (const Node* node : topological_order(graph.outputs)) {
    if (is_collective(node->op()) || node->op() == Op::axis_index) return false;
    for (const TensorType& type : node->outputs()) {
      if (type.placement != Placement{}) return false;
      elements += static_cast<double>(type.shape.elements());
    }
    const double steps =
        node->op() == Op::loop ? static_cast<double>(node->attrs().integer(Attr::max)) : 1;
    if (elements > 20'000 || times * steps > 100) return false;
    for (const Graph* region : regions_of(*node))
      if (!is_small(*region, times * steps)) return false;
  }
  return true;
}

// The results' bytes; nothing when an index was out of range.
std::vector<HostArray> run(Runtime& runtime, const Graph& graph, std::span<const Tensor> args,
                           bool eager) {
  std::vector<HostArray> arrays;
  try {
    const auto plan = runtime.plan(graph, std::vector<bool>(graph.inputs.size(), false), eager);
    verify(*plan, runtime.backend());
    for (const Tensor& t : runtime.run(plan, {args.begin(), args.end()}))
      arrays.push_back(t.host());
  } catch (const InternalError&) {
    throw;
  } catch (const Error&) {
    arrays.clear();
  }
  return arrays;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed = parse_graph({reinterpret_cast<const char*>(data), size});
  if (!parsed || !is_small(parsed.value(), 1)) return 0;
  const Graph& graph = parsed.value();
  static Runtime runtime({.threads = 1});
  std::vector<Tensor> args;
  for (const Tensor& input : graph.inputs) {
    HostArray values(input.dtype(), input.shape());
    auto* bytes = static_cast<uint8_t*>(values.mutable_data());
    // Any bits, but a bool is 0 or 1.
    for (size_t i = 0; i < values.bytes(); ++i)
      bytes[i] = input.dtype() == DType::b8 ? (i & 1) : static_cast<uint8_t>(i * 37 + 11);
    const Tensor leaf = runtime.upload(values);
    args.push_back(Tensor::leaf(input.type(), leaf.buffer()));
  }
  const auto planned = run(runtime, graph, args, false);
  const auto eager = run(runtime, graph, args, true);
  // What simplification drops makes no error, so only results of both are compared.
  if (planned.empty() || eager.empty()) return 0;
  for (size_t i = 0; i < planned.size(); ++i)
    if (!test::same_values(planned[i], eager[i])) std::abort();
  return 0;
}
