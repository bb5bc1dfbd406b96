#include "cairn/graph/compare.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "cairn/graph/numbering.h"

namespace cairn {
namespace {

// Pairs of regions already found to be the same: regions may be shared, and shared again inside.
using KnownPairs = std::set<std::pair<const Graph*, const Graph*>>;

bool same_attributes(const Attrs& a, const Attrs& b, KnownPairs& known);

bool same_number(const Number& a, const Number& b) {
  if (a.is_integer() && b.is_integer()) return a.as_integer() == b.as_integer();
  // Beyond 2^53 an integer's double may stand for another integer.
  for (const Number* n : {&a, &b})
    if (n->is_integer() && std::abs(n->as_double()) > 0x1p53) return false;
  return std::bit_cast<uint64_t>(a.as_double()) == std::bit_cast<uint64_t>(b.as_double());
}

bool same_literal(const HostArray& a, const HostArray& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

bool same_nodes(const Numbering& a, const Numbering& b, bool is_region, size_t inputs,
                KnownPairs& known) {
  if (a.leaves.size() != b.leaves.size() || a.operations.size() != b.operations.size())
    return false;
  for (size_t i = 0; i < a.leaves.size(); ++i) {
    const Node& x = *a.leaves[i];
    const Node& y = *b.leaves[i];
    if (x.output() != y.output()) return false;
    if (is_region && i >= inputs && &x != &y) return false;
  }
  for (size_t i = 0; i < a.operations.size(); ++i) {
    const Node& x = *a.operations[i];
    const Node& y = *b.operations[i];
    if (x.op() != y.op() || x.inputs().size() != y.inputs().size()) return false;
    for (size_t k = 0; k < x.inputs().size(); ++k) {
      const Tensor& s = x.inputs()[k];
      const Tensor& t = y.inputs()[k];
      if (s.output() != t.output() || a.of(s.node_pointer()) != b.of(t.node_pointer()))
        return false;
    }
    if (!same_attributes(x.attrs(), y.attrs(), known)) return false;
  }
  return true;
}

bool same_outputs(const Numbering& a, std::span<const Tensor> outputs_a, const Numbering& b,
                  std::span<const Tensor> outputs_b) {
  if (outputs_a.size() != outputs_b.size()) return false;
  for (size_t i = 0; i < outputs_a.size(); ++i)
    if (outputs_a[i].output() != outputs_b[i].output() ||
        a.of(&outputs_a[i].node()) != b.of(&outputs_b[i].node()))
      return false;
  return true;
}

bool same(std::span<const Tensor> inputs_a, std::span<const Tensor> outputs_a,
          std::span<const Tensor> inputs_b, std::span<const Tensor> outputs_b, bool is_region,
          KnownPairs& known) {
  const Numbering a = number_nodes(outputs_a, inputs_a);
  const Numbering b = number_nodes(outputs_b, inputs_b);
  return same_nodes(a, b, is_region, inputs_a.size(), known) &&
         same_outputs(a, outputs_a, b, outputs_b);
}

bool same_region(const GraphPtr& a, const GraphPtr& b, KnownPairs& known) {
  if (a == b) return true;
  if (a->inputs.size() != b->inputs.size()) return false;
  if (known.count({a.get(), b.get()})) return true;
  if (!same(a->inputs, a->outputs, b->inputs, b->outputs, true, known)) return false;
  known.insert({a.get(), b.get()});
  return true;
}

bool same_value(const AttrValue& a, const AttrValue& b, KnownPairs& known) {
  if (a.index() != b.index()) return false;
  if (const auto* x = std::get_if<Number>(&a)) return same_number(*x, std::get<Number>(b));
  if (const auto* x = std::get_if<HostArray>(&a)) return same_literal(*x, std::get<HostArray>(b));
  if (const auto* x = std::get_if<GraphPtr>(&a))
    return same_region(*x, std::get<GraphPtr>(b), known);
  if (std::holds_alternative<DefinitionPtr>(a)) return true;
  return std::visit(
      [&b](const auto& x) {
        using T = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<T, Number> || std::is_same_v<T, HostArray> ||
                      std::is_same_v<T, GraphPtr> || std::is_same_v<T, DefinitionPtr>) {
          return false;  // handled above
        } else {
          return x == std::get<T>(b);
        }
      },
      a);
}

// What counts: definitions do not, and a false flag is the same as none.
bool counts(const Attrs::Entry& entry) {
  if (std::holds_alternative<DefinitionPtr>(entry.second)) return false;
  const bool* flag = std::get_if<bool>(&entry.second);
  return !flag || *flag;
}

bool same_attributes(const Attrs& a, const Attrs& b, KnownPairs& known) {
  auto x = a.begin();
  auto y = b.begin();
  while (true) {
    while (x != a.end() && !counts(*x)) ++x;
    while (y != b.end() && !counts(*y)) ++y;
    if (x == a.end() || y == b.end()) return x == a.end() && y == b.end();
    if (x->first != y->first || !same_value(x->second, y->second, known)) return false;
    ++x;
    ++y;
  }
}

}  // namespace

bool same_graph(const Graph& a, const Graph& b) {
  KnownPairs known;
  return same(a.inputs, a.outputs, b.inputs, b.outputs, false, known);
}

bool same_graph(std::span<const Tensor> outputs_a, std::span<const Tensor> outputs_b) {
  KnownPairs known;
  return same({}, outputs_a, {}, outputs_b, false, known);
}

bool same_graph(std::span<const Tensor> outputs_a, const Graph& b) {
  KnownPairs known;
  return same({}, outputs_a, b.inputs, b.outputs, false, known);
}

bool same_value(const AttrValue& a, const AttrValue& b) {
  KnownPairs known;
  return same_value(a, b, known);
}

bool same_attributes(const Attrs& a, const Attrs& b) {
  KnownPairs known;
  return same_attributes(a, b, known);
}

}  // namespace cairn
