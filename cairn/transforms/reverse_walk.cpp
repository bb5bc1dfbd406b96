#include "cairn/transforms/reverse_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/rules.h"
#include "cairn/transforms/substitute.h"
#include "cairn/transforms/transposes.h"

namespace cairn::detail {
namespace {

// Whether a value of this type carries a derivative. Bytes from `quantize` count while activity is
// traced, so that `dequantize` can say that there is no rule instead of giving silent zeros.
bool carries(const Node& node, int output, bool from_quantized) {
  const DType dtype = node.output(output).dtype;
  return is_float(dtype) || (dtype == DType::u8 && (node.op() == Op::quantize || from_quantized));
}

bool same_type(const TensorType& a, const TensorType& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.varying == b.varying;
}

void check_cotangent(const Node& node, size_t operand, const Tensor& ct) {
  const TensorType wanted = tangent_type(node.input(static_cast<int>(operand)).type());
  if (same_type(ct.type(), wanted)) return;
  const std::string text = fmt::format("the cotangent of operand {} is {}, it must be {}", operand,
                                       to_string(ct.type()), to_string(wanted));
  if (node.op() == Op::custom)
    fail("grad", node, "'" + node.attrs().text(Attr::name) + "': " + text);
  throw InternalError(fmt::format("[grad] {}: {}", name(node.op()), text));
}

}  // namespace

ReverseWalk::ReverseWalk(std::span<const Tensor> roots, std::span<const Tensor> wrt,
                         MeshSizes meshes)
    : wrt_(wrt.begin(), wrt.end()), meshes_(std::move(meshes)) {
  order_ = topological_order(roots);
  add_mesh_sizes(order_, meshes_);
  bool rebuilt = false;
  for (const Tensor& t : wrt) sources_[t] = true;
  TensorMap<Tensor> map;
  const auto now = [&](const Tensor& t) {
    const auto found = map.find(t);
    return found == map.end() ? t : found->second;
  };
  for (const Node* node : order_) {
    check_regions("grad", *node, wrt);
    std::vector<Tensor> inputs;
    std::vector<bool> active_inputs;
    bool changed = false, any = false, bytes = false;
    for (const Tensor& input : node->inputs()) {
      inputs.push_back(now(input));
      changed |= !same(inputs.back(), input);
      active_inputs.push_back(active(inputs.back()));
      any |= active_inputs.back();
      bytes |= active_inputs.back() && input.dtype() == DType::u8;
    }
    any &= node->op() != Op::stop_gradient;
    std::vector<Tensor> outputs;
    if (any && node->op() == Op::loop) {
      for (size_t i = 0; i < inputs.size(); ++i)
        active_inputs[i] = active_inputs[i] && is_float(inputs[i].dtype());
      TapedLoop taped = tape_loop(*node, std::move(inputs), active_inputs, meshes_);
      outputs = std::move(taped.outputs);
      if (!outputs.empty()) tapes_.emplace(outputs[0].node_pointer(), std::move(taped.tape));
    } else if ((changed || rebuilt) && node->op() != Op::input && node->op() != Op::leaf) {
      // All that follows a rebuilt loop is rebuilt, so that the order of building stays.
      outputs = rebuild(*node, std::move(inputs));
    }
    rebuilt |= !outputs.empty();
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Tensor old(const_cast<Node*>(node), static_cast<int>(i));
      map[old] = outputs[i];
      if (sources_.contains(old)) sources_[outputs[i]] = true;
    }
    if (!any) continue;
    for (int i = 0; i < node->output_count(); ++i)
      if (carries(*node, i, bytes))
        active_.insert(outputs.empty() ? node : outputs[0].node_pointer());
  }
  for (const Tensor& root : roots) roots_.push_back(now(root));
  for (Tensor& t : wrt_) t = now(t);
  if (rebuilt) order_ = topological_order(roots_);
}

bool ReverseWalk::active(const Tensor& t) const {
  return sources_.contains(t) ||
         (active_.contains(t.node_pointer()) && (is_float(t.dtype()) || t.dtype() == DType::u8));
}

bool ReverseWalk::differentiable(const Tensor& t) const { return is_float(t.dtype()) && active(t); }

std::vector<Tensor> ReverseWalk::pull_node(const Node& node,
                                           std::span<const Tensor> cotangents) const {
  const std::vector<Tensor> inputs(node.inputs().begin(), node.inputs().end());
  const std::vector<Tensor> outputs = all_outputs(Tensor(const_cast<Node*>(&node), 0));
  std::vector<bool> wanted;
  for (const Tensor& input : inputs) wanted.push_back(differentiable(input));
  std::vector<Tensor> result(inputs.size());
  if (node.info().trait == Trait::custom) {
    const Row<VjpRule>& row = vjp_row(node.op());
    if (!row.rule) fail("grad", node, row.missing);
    const auto tape = tapes_.find(&node);
    result = row.rule({node, inputs, outputs, cotangents, wanted, meshes_,
                       tape == tapes_.end() ? nullptr : &tape->second});
    result.resize(inputs.size());
    return result;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!wanted[i]) continue;
    const int operand = static_cast<int>(i);
    result[i] = node.info().trait == Trait::elementwise
                    ? times_derivative({inputs, outputs[0]}, operand, cotangents[0],
                                       tangent_dtype(inputs[i].dtype()))
                    : transpose_rule({node, inputs, cotangents, meshes_}, operand);
  }
  return result;
}

std::vector<Tensor> ReverseWalk::pull(std::span<const Tensor> cotangents) const {
  CAIRN_ASSERT(cotangents.size() == roots_.size());
  TensorMap<Tensor> total;
  for (size_t i = 0; i < roots_.size(); ++i)
    if (cotangents[i].defined()) total[roots_[i]] = add_defined(total[roots_[i]], cotangents[i]);
  for (const Node* node : std::views::reverse(order_)) {
    if (!active_.contains(node)) continue;
    std::vector<Tensor> cts(static_cast<size_t>(node->output_count()));
    bool any = false;
    for (size_t i = 0; i < cts.size(); ++i) {
      const auto found = total.find(Tensor(const_cast<Node*>(node), static_cast<int>(i)));
      if (found == total.end() || !found->second.defined()) continue;
      cts[i] = found->second;
      any = true;
    }
    if (!any) continue;
    const Origin origin(node->scope(), node->location());
    const std::vector<Tensor> pulled = pull_node(*node, cts);
    for (size_t i = 0; i < pulled.size(); ++i) {
      const Tensor& operand = node->input(static_cast<int>(i));
      if (!pulled[i].defined() || !differentiable(operand)) continue;
      check_cotangent(*node, i, pulled[i]);
      Tensor& sum = total[operand];
      sum = add_defined(sum, pulled[i]);
    }
  }
  std::vector<Tensor> results;
  for (const Tensor& t : wrt_) {
    const auto found = total.find(t);
    results.push_back(found == total.end() ? Tensor() : found->second);
  }
  return results;
}

}  // namespace cairn::detail
