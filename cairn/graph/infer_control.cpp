// Inference of control flow, custom operations, collectives and transfers.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "cairn/graph/graph.h"
#include "cairn/graph/infer_context.h"

namespace cairn::detail {
namespace {

bool same_type(const TensorType& a, const TensorType& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.varying == b.varying;
}

void check_input(const InferContext& c, const Graph& body, size_t at, const TensorType& wanted,
                 std::string_view role) {
  if (at >= body.inputs.size())
    c.fail(
        fmt::format("the body takes {} values, it needs at least {}", body.inputs.size(), at + 1));
  if (!same_type(body.inputs[at].type(), wanted))
    c.fail(fmt::format("value {} of the body ('{}') is {}, but the {} is {}", at,
                       body.inputs[at].name(), to_string(body.inputs[at].type()), role,
                       to_string(wanted)));
}

// A value that was equal on all ranks stays so only if no operand varies.
void add_axis(TensorType& type, const std::string& axis) {
  auto at = std::lower_bound(type.varying.begin(), type.varying.end(), axis);
  if (at == type.varying.end() || *at != axis) type.varying.insert(at, axis);
}
void remove_axis(TensorType& type, const std::string& axis) { std::erase(type.varying, axis); }
bool varies(const TensorType& type, const std::string& axis) {
  return std::find(type.varying.begin(), type.varying.end(), axis) != type.varying.end();
}

// The mesh axis of a collective; its operand must vary along it.
const std::string& mesh_axis(const InferContext& c) {
  const std::string& axis = c.attrs.text(Attr::mesh_axis);
  if (axis.empty()) c.fail("mesh_axis has no name");
  if (c.attrs.integer(Attr::size) < 1)
    c.fail(fmt::format("size={} is not a number of ranks", c.attrs.integer(Attr::size)));
  return axis;
}
const std::string& varying_axis(const InferContext& c) {
  const std::string& axis = mesh_axis(c);
  if (!varies(c.type(0), axis))
    c.fail(fmt::format(
        "the operand does not vary along '{}': it is equal on every rank; use `vary` first", axis));
  return axis;
}

void check_possible(const InferContext& c, const TensorType& type) {
  if (!is_possible(type.dtype, type.shape))
    c.fail(fmt::format("the result {} has too many elements", to_string(type)));
}

int64_t divided(const InferContext& c, int64_t size, std::string_view what) {
  const int64_t ranks = c.attrs.integer(Attr::size);
  if (size % ranks)
    c.fail(fmt::format("{} of size {} does not divide among {} ranks", what, size, ranks));
  return size / ranks;
}

// The first collective over `axis` in a region, or one within it; null when there is none.
const Node* collective_over(const Graph& region, const std::string& axis) {
  for (const Node* node : topological_order(region.outputs)) {
    if (is_collective(node->op()) && node->attrs().text(Attr::mesh_axis) == axis) return node;
    for (const auto& [key, value] : node->attrs())
      if (const auto* inner = std::get_if<GraphPtr>(&value))
        if (const Node* found = collective_over(**inner, axis)) return found;
  }
  return nullptr;
}

// Ranks that take different branches or numbers of steps must not wait for each other inside.
void check_reached(const InferContext& c, const Graph& region, std::string_view decision) {
  for (const std::string& axis : c.type(0).varying)
    if (const Node* node = collective_over(region, axis))
      c.fail(
          fmt::format("'{}' over '{}' inside is not reached by all ranks, because the {} varies "
                      "along '{}'; decide by a value that is equal on every rank (all_reduce)",
                      cairn::name(node->op()), axis, decision, axis));
}

// Ranks that take different branches or numbers of steps get different values.
void check_decided(const InferContext& c, const Types& results, std::string_view decision) {
  for (const std::string& axis : c.type(0).varying)
    for (size_t i = 0; i < results.size(); ++i)
      if (!varies(results[i], axis))
        c.fail(fmt::format("the {} varies along '{}', so result {} must too; use `vary` inside",
                           decision, axis, i));
}

}  // namespace

Types infer_cond(const InferContext& c) {
  if (c.count() < 1 || c.dtype(0) != DType::b8 || c.shape(0).rank() != 0)
    c.fail("the first operand is the condition, a 0-d bool");
  const Graph& then = *c.attrs.graph(Attr::then);
  const Graph& otherwise = *c.attrs.graph(Attr::otherwise);
  for (const Graph* branch : {&then, &otherwise}) {
    if (branch->inputs.size() + 1 != c.inputs.size())
      c.fail(fmt::format("a branch takes {} values, {} are given", branch->inputs.size(),
                         c.inputs.size() - 1));
    for (size_t i = 0; i < branch->inputs.size(); ++i)
      check_input(c, *branch, i, c.inputs[i + 1].type(), "operand");
    check_reached(c, *branch, "condition");
  }
  if (then.outputs.size() != otherwise.outputs.size())
    c.fail(fmt::format("the branches give {} and {} values", then.outputs.size(),
                       otherwise.outputs.size()));
  Types types;
  for (size_t i = 0; i < then.outputs.size(); ++i) {
    if (!same_type(then.outputs[i].type(), otherwise.outputs[i].type()))
      c.fail(fmt::format("result {} of the branches is {} and {}", i,
                         to_string(then.outputs[i].type()),
                         to_string(otherwise.outputs[i].type())));
    types.push_back(then.outputs[i].type());
  }
  check_decided(c, types, "condition");
  return types;
}

Types infer_loop(const InferContext& c) {
  if (c.count() < 1 || c.dtype(0) != DType::i32 || c.shape(0).rank() != 0)
    c.fail("the first operand is the trip count, a 0-d i32");
  const Graph& body = *c.attrs.graph(Attr::body);
  const int64_t carried = c.attrs.integer(Attr::carried);
  const int64_t scanned = c.attrs.integer(Attr::scanned);
  const int64_t max = c.attrs.integer(Attr::max);
  if (max < 0 || carried < 0 || scanned < 0 || 1 + carried + scanned > c.count())
    c.fail(fmt::format("max={}, carried={}, scanned={} do not fit {} operands", max, carried,
                       scanned, c.count()));
  if (body.inputs.size() != c.inputs.size())
    c.fail(fmt::format(
        "the body takes {} values, it needs {}: the step, then carried, scanned and captured",
        body.inputs.size(), c.inputs.size()));
  check_input(c, body, 0, {DType::i32, {}, {}, body.inputs[0].type().varying}, "step");
  for (int i = 1; i < c.count(); ++i) {
    TensorType wanted = c.type(i);
    if (i > carried && i <= carried + scanned) {
      if (wanted.shape.rank() < 1 || wanted.shape[0] != max)
        c.fail(fmt::format("scanned operand {} must have {} rows (max)", i, max));
      wanted.shape.erase(0);
    }
    check_input(c, body, i, wanted, i <= carried ? "carried value" : "operand");
  }
  if (static_cast<int64_t>(body.outputs.size()) < carried)
    c.fail(fmt::format("the body gives {} values, {} are carried", body.outputs.size(), carried));
  Types types;
  for (size_t i = 0; i < body.outputs.size(); ++i) {
    TensorType type = body.outputs[i].type();
    if (static_cast<int64_t>(i) < carried) {
      if (!same_type(type, c.type(static_cast<int>(i) + 1)))
        c.fail(fmt::format("carried value {} comes in as {} and goes out as {}", i,
                           to_string(c.type(static_cast<int>(i) + 1)), to_string(type)));
    } else {
      type.shape.insert(0, max);
      check_possible(c, type);
    }
    types.push_back(type);
  }
  check_decided(c, types, "trip count");
  check_reached(c, body, "trip count");
  return types;
}

Types infer_custom(const InferContext& c) {
  const Graph& body = *c.attrs.graph(Attr::body);
  if (body.inputs.size() != c.inputs.size())
    c.fail(fmt::format("the fallback takes {} values, {} are given", body.inputs.size(),
                       c.inputs.size()));
  for (size_t i = 0; i < body.inputs.size(); ++i)
    check_input(c, body, i, c.inputs[i].type(), "operand");
  Types types;
  for (const Tensor& t : body.outputs) types.push_back(t.type());
  return types;
}

Types infer_barrier(const InferContext& c) {
  Types types;
  for (const Tensor& t : c.inputs) types.push_back(t.type());
  return types;
}

Types infer_axis_index(const InferContext& c) {
  TensorType type{DType::i32, {}};
  add_axis(type, mesh_axis(c));
  return {type};
}

Types infer_vary(const InferContext& c) {
  const std::string& axis = c.attrs.text(Attr::mesh_axis);
  if (axis.empty()) c.fail("mesh_axis has no name");
  if (c.attrs.has(Attr::size) && c.attrs.integer(Attr::size) < 1)
    c.fail(fmt::format("size={} is not a number of ranks", c.attrs.integer(Attr::size)));
  TensorType type = c.type(0);
  if (varies(type, axis)) c.fail(fmt::format("the operand varies along '{}' already", axis));
  add_axis(type, axis);
  return {type};
}

Types infer_all_reduce(const InferContext& c) {
  const std::string& axis = varying_axis(c);
  const std::string& kind = c.attrs.text(Attr::kind);
  if (kind != "sum" && kind != "max" && kind != "min")
    c.fail(fmt::format("kind={} is not one of sum, max, min", kind));
  if (c.dtype(0) == DType::b8 || is_float8(c.dtype(0)))
    c.fail(fmt::format("takes numbers, not {}", cairn::name(c.dtype(0))));
  TensorType type = c.type(0);
  remove_axis(type, axis);
  return {type};
}

Types infer_all_gather(const InferContext& c) {
  const std::string& axis = varying_axis(c);
  TensorType type = c.type(0);
  const int at = c.axis(type.shape.rank());
  type.shape[at] = c.size(__int128{type.shape[at]} * c.attrs.integer(Attr::size));
  check_possible(c, type);
  if (c.op == Op::all_gather_invariant) remove_axis(type, axis);
  return {type};
}

Types infer_reduce_scatter(const InferContext& c) {
  varying_axis(c);
  TensorType type = c.type(0);
  if (type.dtype == DType::b8 || is_float8(type.dtype))
    c.fail(fmt::format("takes numbers, not {}", cairn::name(type.dtype)));
  const int axis = c.axis(type.shape.rank());
  type.shape[axis] = divided(c, type.shape[axis], "the axis");
  return {type};
}

Types infer_all_to_all(const InferContext& c) {
  varying_axis(c);
  TensorType type = c.type(0);
  const int split = c.axis(type.shape.rank(), Attr::split_axis);
  const int concat = c.axis(type.shape.rank(), Attr::concat_axis);
  type.shape[split] = divided(c, type.shape[split], "split_axis");
  type.shape[concat] = c.size(__int128{type.shape[concat]} * c.attrs.integer(Attr::size));
  return {type};
}

Types infer_permute(const InferContext& c) {
  varying_axis(c);
  const HostArray& to = c.attrs.literal(Attr::literal);
  const int64_t size = c.attrs.integer(Attr::size);
  if (to.dtype() != DType::i32 || to.elements() != size)
    c.fail("literal is i32, one destination per rank");
  std::vector<bool> taken(static_cast<size_t>(size));
  for (const int32_t rank : to.span<int32_t>()) {
    if (rank == -1) continue;  // sends nothing
    if (rank < 0 || rank >= size || taken[static_cast<size_t>(rank)])
      c.fail(fmt::format("destination {} is out of range or named twice", rank));
    taken[static_cast<size_t>(rank)] = true;
  }
  return {c.type(0)};
}

Types infer_transfer(const InferContext& c) {
  TensorType type = c.type(0);
  type.placement = c.attrs.placement(Attr::placement);
  return {type};
}

}  // namespace cairn::detail
