#include "cairn/compiler/hoist.h"

#include <algorithm>

#include "cairn/compiler/channels_last.h"
#include "cairn/compiler/node_class.h"
#include "cairn/compiler/panels.h"
#include "cairn/compiler/quantized.h"
#include "cairn/compiler/schedule.h"
#include "cairn/graph/infer.h"
#include "cairn/graph/node_map.h"
#include "cairn/graph/scope.h"

namespace cairn {
namespace {

// Beside twice the leaves that a value comes from it may take so much.
constexpr size_t kSmall = 1 << 20;

// A matrix of f16 or bf16 that `matrix` has as f32, or has rounded from that to its type again,
// else the matrix itself: a product of f32 reads both with the same bits, and the narrow one in
// half the time.
Tensor as_it_lies(const Tensor& matrix) {
  const Node& node = matrix.node();
  if (node.op() == Op::transpose) {
    const Tensor narrow = as_it_lies(node.input(0));
    return same(narrow, node.input(0)) ? matrix : rebuild(node, {narrow})[0];
  }
  if (node.op() != Op::cast) return matrix;
  if (const Tensor narrow = as_it_lies(node.input(0)); narrow.dtype() == matrix.dtype())
    return narrow;
  const DType from = node.input(0).dtype();
  const bool is_widened =
      matrix.dtype() == DType::f32 && (from == DType::f16 || from == DType::bf16);
  return is_widened ? node.input(0) : matrix;
}

// The panels that a second operand is kept in; undefined: in none.
Tensor kept_panels(const Tensor& matrix) {
  const Node& node = matrix.node();
  return node.op() == Op::transpose ? panels_of_rows(node.input(0)) : Tensor();
}

class Hoist {
 public:
  Hoist(const Graph& graph, bool packs) : packs_(packs) {
    for (const Node* node : topological_order(graph.outputs))
      if (is_constant_node(*node)) constants_.insert(node);
  }

  Hoisted run(const Graph& graph) {
    Hoisted result;
    result.graph = rebuild(
        graph,
        [&](Graph& made, const Node& node, std::span<const Tensor> inputs) -> std::vector<Tensor> {
          if (is_constant(node) || node.inputs().empty()) return {};
          made_ = &made;
          if (const Tensor rows = gathered(node, inputs); rows.defined()) return {rows};
          std::vector<Tensor> operands(inputs.begin(), inputs.end());
          for (size_t i = 0; i < operands.size(); ++i)
            if (const Tensor& t = node.input(static_cast<int>(i)); is_constant(t.node()))
              operands[i] = is_packed(node, static_cast<int>(i))    ? panels(t)
                            : is_ordered(node, static_cast<int>(i)) ? filters_last(t)
                                                                    : used(t);
          Attrs attrs = node.attrs();
          if (is_packed(node, 1)) attrs.set(Attr::columns, node.output().shape[1]);
          return rebuild(node, std::move(operands), std::move(attrs));
        });
    result.values = std::move(values_);
    return result;
  }

 private:
  bool is_constant(const Node& node) const { return constants_.contains(&node); }
  bool is_constant_node(const Node& node) const {
    if (node.op() == Op::leaf) return true;
    // A barrier says what is computed when; messages are exchanged at every call.
    if (node.op() == Op::input || node.op() == Op::barrier || is_collective(node.op()))
      return false;
    return std::ranges::all_of(node.inputs(),
                               [&](const Tensor& t) { return is_constant(t.node()); });
  }
  static bool only_moves(const Node& node) {
    switch (node.op()) {
      case Op::broadcast:
      case Op::slice:
      case Op::reverse:
      case Op::transpose:
      case Op::dense:
      case Op::full:
      case Op::iota: return true;
      default: return is_alias(node);
    }
  }

  // Whether a value is better kept than computed again.
  static bool is_worth_keeping(const Tensor& t) {
    size_t leaves = 0;
    bool is_long = false;
    for (const Node* node : topological_order(std::span(&t, 1))) {
      if (node->op() == Op::dequantize) return false;
      if (node->op() == Op::leaf) leaves += node->output().bytes();
      is_long |= is_transcendental(node->op()) || (node->info().trait != Trait::elementwise &&
                                                   !only_moves(*node) && node->op() != Op::leaf);
    }
    return (leaves || is_long) && t.type().bytes() <= 2 * leaves + kSmall;
  }

  // Rows of a table that is there in panels alone.
  Tensor gathered(const Node& node, std::span<const Tensor> inputs) {
    if (!packs_ || node.op() != Op::gather || node.attrs().integer(Attr::axis) != 0) return {};
    const Tensor panels = panels_of_rows(node.input(0));
    if (!panels.defined() || !is_constant(panels.node())) return {};
    const Origin origin(node.scope(), node.location());
    const Shape& table = node.input(0).shape();
    return gather_from_panels(used(panels), table[0], table[1], inputs[1]);
  }

  // A constant value for a node that is not one.
  Tensor used(const Tensor& t) {
    const Node& node = t.node();
    if (node.op() == Op::leaf) return t;
    if (const Tensor* known = find(kept_, t)) return *known;
    if (!only_moves(node) && is_worth_keeping(t)) return keep(kept_, t, t);
    std::vector<Tensor> operands;
    for (const Tensor& operand : node.inputs()) operands.push_back(used(operand));
    const Tensor made = rebuild(node, std::move(operands))[static_cast<size_t>(t.output())];
    kept_.emplace(t, made);
    return made;
  }

  bool is_packed(const Node& node, int operand) const {
    if (!packs_ || operand != 1 || node.op() != Op::matmul || reads_panels(node, 1)) return false;
    const Shape& w = node.input(1).shape();
    if (w.rank() != 2 || !is_worth_panels(w[0], w[1])) return false;
    if (!is_constant(node.input(1).node()) || is_constant(node.input(0).node())) return false;
    if (class_of(node) != NodeClass::product) return false;
    const Tensor root = root_of(node.input(1));
    const bool is_plain = root.node().op() == Op::leaf || root.node().op() == Op::transpose;
    return is_plain || is_worth_keeping(root);
  }
  Tensor panels(const Tensor& matrix) {
    if (const Tensor* known = find(packed_, matrix)) return *known;
    const Tensor narrow = as_it_lies(matrix);
    if (const Tensor there = kept_panels(narrow); there.defined()) return used(there);
    const Origin origin(matrix.node().scope(), matrix.node().location());
    return keep(packed_, matrix, in_panels(narrow));
  }

  // Weights of a convolution, which its kernel reads with the filters last (channels_last.h).
  bool is_ordered(const Node& node, int operand) const {
    return packs_ && operand == 1 && is_lowered_convolution(node) &&
           node.attrs().integer(Attr::groups) == 1 && !is_constant(node.input(0).node()) &&
           is_worth_keeping(node.input(1));
  }
  Tensor filters_last(const Tensor& w) {
    const int rank = w.shape().rank();
    Ints last, first = {rank - 1};
    for (int i = 0; i + 1 < rank; ++i) {
      last.push_back(i + 1);
      first.push_back(i);
    }
    last.push_back(0);
    const auto transposed = [](const Tensor& x, const Ints& axes) {
      return make(Op::transpose, {x}, {{Attr::axes, axes}});
    };
    const Tensor* known = find(packed_, w);
    return transposed(known ? *known : keep(packed_, w, transposed(w, last)), first);
  }

  using Known = TensorMap<Tensor>;
  static const Tensor* find(const Known& known, const Tensor& t) {
    const auto found = known.find(t);
    return found == known.end() ? nullptr : &found->second;
  }
  // An input of the graph for `value`.
  Tensor keep(Known& known, const Tensor& t, const Tensor& value) {
    made_->inputs.push_back(Tensor::input(value.type(), t.name()));
    values_.push_back(value);
    known.emplace(t, made_->inputs.back());
    return made_->inputs.back();
  }

  bool packs_;
  NodeMap<bool> constants_;
  Known kept_, packed_;
  std::vector<Tensor> values_;
  Graph* made_ = nullptr;
};

}  // namespace

Hoisted hoist(const Graph& graph, bool packs) {
  const Graph lowered = packs ? lower_quantized(graph) : graph;
  return Hoist(lowered, packs).run(lowered);
}

}  // namespace cairn
