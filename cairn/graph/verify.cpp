#include "cairn/graph/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "cairn/graph/infer.h"
#include "cairn/graph/numbering.h"
#include "cairn/graph/print.h"

namespace cairn {
namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& root) : root_(root) {}
  void check_graph(const Graph& graph, const Node* owner);

 private:
  [[noreturn]] void fail(const Node* node, std::string_view what) const;
  void check_leaf(const Node& node, const Node* owner) const;
  void check_operands(const Node& node) const;
  void check_types(const Node& node) const;
  void check_mesh(const Node& node);

  const Graph& root_;
  std::map<std::string, int64_t> mesh_;
  std::set<const Graph*> checked_;  // regions may be shared
};

void Verifier::fail(const Node* node, std::string_view what) const {
  PrintOptions options;
  options.comment = [&](const Node& n) {
    return &n == node ? fmt::format("broken: {}", what) : "";
  };
  std::string text;
  try {
    text = to_text(root_, options);
  } catch (const Error& error) {  // an attribute or a handle that printing needs is missing
    text = fmt::format("(the graph has no text: {})\n", error.what());
  }
  throw InternalError(fmt::format("[verify] {}{}\n{}", what,
                                  node ? fmt::format(" in '{}'", name(node->op())) : "", text));
}

void Verifier::check_graph(const Graph& graph, const Node* owner) {
  if (owner && !checked_.insert(&graph).second) return;
  NodeMap<char> own;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const Tensor& input = graph.inputs[i];
    if (!input.defined()) fail(owner, fmt::format("input {} is an empty handle", i));
    if (input.node().op() != Op::input)
      fail(owner, fmt::format("input {} is the result of '{}'", i, name(input.node().op())));
    if (!own.insert(input.node_pointer()).second)
      fail(owner, fmt::format("input {} ('{}') stands there twice", i, input.name()));
  }
  if (!graph.output_names.empty() && graph.output_names.size() != graph.outputs.size())
    fail(owner,
         fmt::format("{} outputs have {} names", graph.outputs.size(), graph.output_names.size()));
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const Tensor& output = graph.outputs[i];
    if (!output.defined()) fail(owner, fmt::format("output {} is an empty handle", i));
    if (output.output() < 0 || output.output() >= output.node().output_count())
      fail(owner, fmt::format("output {} is a result that its operation does not have", i));
  }
  for (const Node* node : topological_order(graph.outputs)) {
    check_operands(*node);
    if (node->op() == Op::input) {
      if (!own.contains(node))
        fail(owner, fmt::format("'{}' is an input of another graph", node->name()));
    } else if (node->op() == Op::leaf) {
      check_leaf(*node, owner);
    } else {
      for (const Graph* region : regions_of(*node)) check_graph(*region, node);
      check_types(*node);
      check_mesh(*node);
    }
  }
}

void Verifier::check_operands(const Node& node) const {
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const Tensor& input = node.inputs()[i];
    if (!input.defined()) fail(&node, fmt::format("operand {} is an empty handle", i));
    if (input.output() < 0 || input.output() >= input.node().output_count())
      fail(&node, fmt::format("operand {} is a result that its operation does not have", i));
    if (input.node().id() >= node.id())
      fail(&node, fmt::format("operand {} was built after the operation", i));
  }
}

void Verifier::check_leaf(const Node& node, const Node* owner) const {
  if (owner) fail(owner, "a region reads a leaf that it is not given");
  if (node.output_count() != 1 || !node.inputs().empty()) fail(&node, "a leaf is one value");
  if (!node.buffer() || node.buffer()->bytes < node.output().bytes())
    fail(nullptr, fmt::format("the leaf '{}' of type {} has no buffer of that size", node.name(),
                              type_text(node.output())));
}

void Verifier::check_types(const Node& node) const {
  std::vector<TensorType> types;
  try {
    types = infer(node.op(), node.inputs(), node.attrs());
  } catch (const Error& error) {
    fail(&node, error.what());
  }
  if (types.size() != node.outputs().size())
    fail(&node,
         fmt::format("{} results follow, the node has {}", types.size(), node.outputs().size()));
  for (int i = 0; i < node.output_count(); ++i)
    if (types[static_cast<size_t>(i)] != node.output(i))
      fail(&node, fmt::format("result {} is {}, but {} follows", i, type_text(node.output(i)),
                              type_text(types[static_cast<size_t>(i)])));
}

void Verifier::check_mesh(const Node& node) {
  if (!node.attrs().has(Attr::mesh_axis) || !node.attrs().has(Attr::size)) return;
  const std::string& axis = node.attrs().text(Attr::mesh_axis);
  const int64_t size = node.attrs().integer(Attr::size);
  if (const auto [known, is_new] = mesh_.emplace(axis, size); known->second != size)
    fail(&node,
         fmt::format("mesh axis '{}' has {} ranks here and {} before", axis, size, known->second));
}

}  // namespace

void verify(const Graph& graph) { Verifier(graph).check_graph(graph, nullptr); }

}  // namespace cairn
