// Common subexpressions: equal operations on equal operands are computed once.
#include <algorithm>
#include <bit>

#include "cairn/graph/compare.h"
#include "cairn/graph/hash.h"
#include "cairn/transforms/rewrite.h"

namespace cairn::detail {
namespace {

// Collectives have one order on all ranks and each is a message; results of a barrier are not seen
// through. Leaves and inputs have nothing to merge.
bool may_merge(const Node& node) {
  switch (node.op()) {
    case Op::input:
    case Op::leaf:
    case Op::barrier:
    case Op::all_reduce:
    case Op::all_gather:
    case Op::all_gather_invariant:
    case Op::reduce_scatter:
    case Op::all_to_all:
    case Op::permute: return false;
    default: break;
  }
  // Regions may hold collectives.
  for (const auto& [key, value] : node.attrs())
    if (const auto* region = std::get_if<GraphPtr>(&value))
      for (const Node* inner : topological_order((*region)->outputs))
        if (inner->op() != Op::barrier && inner->op() != Op::input && !may_merge(*inner))
          return false;
  return true;
}

// compare.h leaves the functions of a definition out, but they decide the derivative.
bool same_definition(const Attrs& a, const Attrs& b) {
  const AttrValue* x = a.find(Attr::definition);
  const AttrValue* y = b.find(Attr::definition);
  if (!x || !y) return x == y;
  return std::get<DefinitionPtr>(*x) == std::get<DefinitionPtr>(*y);
}

bool equal_nodes(const Node& a, const Node& b) {
  return a.op() == b.op() && same(a.inputs(), b.inputs()) &&
         same_attributes(a.attrs(), b.attrs()) && same_definition(a.attrs(), b.attrs());
}

uint64_t hash_node(const Node& node) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio
  uint64_t hash = static_cast<uint64_t>(node.op());
  if (!node.attrs().empty()) hash ^= hash_attributes(node.attrs());
  for (const Tensor& t : node.inputs())
    hash = std::rotl(hash * kOdd, 29) ^ (t.node().id() * 64 + static_cast<uint64_t>(t.output()));
  return (hash * kOdd) ^ (hash >> 32);
}

}  // namespace

KnownNodes::KnownNodes(size_t expected) : slots_(std::bit_ceil(2 * expected + 16)) {
  owners_.reserve(expected);
}

const Node* KnownNodes::find_or_add(const Node& node) {
  if ((owners_.size() + 1) * 2 > slots_.size()) grow();
  const uint64_t hash = hash_node(node);
  size_t at = hash & (slots_.size() - 1);
  for (; slots_[at].node; at = (at + 1) & (slots_.size() - 1))
    if (slots_[at].hash == hash &&
        (slots_[at].node == &node || equal_nodes(*slots_[at].node, node)))
      return slots_[at].node == &node ? nullptr : slots_[at].node;
  slots_[at] = {hash, &node};
  owners_.emplace_back(const_cast<Node*>(&node), 0);
  return nullptr;
}

void KnownNodes::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (!slot.node) continue;
    size_t at = slot.hash & (slots_.size() - 1);
    while (slots_[at].node) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
}

std::vector<Tensor> merge_equal(const Node& node, KnownNodes& known) {
  if (!may_merge(node)) return {};
  const Node* same = known.find_or_add(node);
  if (!same) return {};
  return all_outputs(Tensor(const_cast<Node*>(same), 0));
}

}  // namespace cairn::detail
