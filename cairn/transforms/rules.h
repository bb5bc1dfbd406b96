// Rules of the primitives with trait `custom`, for vjp and jvp. Not part of the public interface.
#pragma once

#include <span>
#include <vector>

#include "cairn/transforms/substitute.h"

namespace cairn::detail {

struct LoopTape;

struct VjpContext {
  const Node& node;
  const std::vector<Tensor>& inputs;
  const std::vector<Tensor>& outputs;
  // One per output, undefined where zero; at least one is defined.
  std::span<const Tensor> cotangents;
  // Which operands need a cotangent.
  const std::vector<bool>& wanted;
  const MeshSizes& meshes;
  // How the forward loop kept its residuals; null for every other operation.
  const LoopTape* tape = nullptr;
};

// One cotangent per operand, undefined where zero or not wanted.
using VjpRule = std::vector<Tensor> (*)(const VjpContext&);

struct JvpContext {
  const Node& node;
  const std::vector<Tensor>& inputs;
  const std::vector<Tensor>& outputs;
  // One per operand, undefined where zero; at least one is defined.
  std::span<const Tensor> tangents;
};

// One tangent per output, undefined where zero.
using JvpRule = std::vector<Tensor> (*)(const JvpContext&);

// Operations whose jvp builds the outputs too, because values and tangents go through one body.
struct Pushed {
  std::vector<Tensor> outputs;
  std::vector<Tensor> tangents;
};
using JvpControlRule = Pushed (*)(const Node& node, const std::vector<Tensor>& inputs,
                                  std::span<const Tensor> tangents);

// A row of a table: a rule, or the reason why there is none.
template <class Rule>
struct Row {
  Rule rule = nullptr;
  const char* missing = nullptr;
  bool declared() const { return rule || missing; }
};

const Row<VjpRule>& vjp_row(Op op);
const Row<JvpRule>& jvp_row(Op op);
// Null for operations whose jvp row is enough.
JvpControlRule jvp_control_rule(Op op);

// Of control flow (vjp_control.cpp, jvp_control.cpp).
std::vector<Tensor> vjp_cond(const VjpContext& c);
std::vector<Tensor> vjp_loop(const VjpContext& c);
std::vector<Tensor> vjp_custom(const VjpContext& c);
Pushed jvp_cond(const Node& node, const std::vector<Tensor>& inputs,
                std::span<const Tensor> tangents);
Pushed jvp_loop(const Node& node, const std::vector<Tensor>& inputs,
                std::span<const Tensor> tangents);
Pushed jvp_custom(const Node& node, const std::vector<Tensor>& inputs,
                  std::span<const Tensor> tangents);

// What vjp and jvp of an operation share.
// d prod / d x[i]: the product of the others, without dividing.
Tensor product_of_others(const Tensor& x, const Ints& axes);
// Product of the elements before each one along the axis.
Tensor exclusive_product(const Tensor& x, int axis);
// Share of each operand of a max or min that equals the result: 1 / (number of ties), else 0.
Tensor tie_shares(const Tensor& x, const Tensor& result, const Ints& axes);
// Index along the last axis where a running max or min was first reached.
Tensor running_index(const Tensor& x, const Tensor& result, bool is_max);
// For scatter max and min: shares of x and of the updates in each result.
struct ScatterShares {
  Tensor of_x;
  Tensor of_updates;
};
ScatterShares scatter_shares(const Node& node, const std::vector<Tensor>& inputs,
                             const Tensor& output);

}  // namespace cairn::detail
