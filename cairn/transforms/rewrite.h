// What the passes of simplify share. Not part of the public interface.
#pragma once

#include <optional>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn::detail {

// The operations of one graph so far, found by what they compute.
class KnownNodes {
 public:
  explicit KnownNodes(size_t expected);
  // An earlier node with the same operation, attributes and operands, or null; then `node` joins.
  const Node* find_or_add(const Node& node);

 private:
  struct Slot {
    uint64_t hash = 0;
    const Node* node = nullptr;
  };
  void grow();
  std::vector<Slot> slots_;     // open addressing; a power of two of them, at most half used
  std::vector<Tensor> owners_;  // keep the nodes alive
};

// A cheaper equivalent of the results of `node`, or nothing. Its operands have been rewritten.
using LocalRule = std::vector<Tensor> (*)(const Node& node, KnownNodes& known);

std::vector<Tensor> drop_stop_gradient(const Node& node, KnownNodes& known);
std::vector<Tensor> simplify_algebra(const Node& node, KnownNodes& known);
std::vector<Tensor> fold_constants(const Node& node, KnownNodes& known);
std::vector<Tensor> merge_equal(const Node& node, KnownNodes& known);

struct CountedRule {
  LocalRule rule;
  int64_t* rewrites;
};

// Walks the graph, and the regions of cond and loop, in the order of building, and tries the rules
// on every node, and on what they make of it, until none applies. Sets `may_trim` when remove_dead
// could find something. A graph in which no rule applies is returned as it is.
Graph rewrite_graph(const Graph& graph, const std::vector<CountedRule>& rules, bool& may_trim);

// Drops results of loop, cond and barrier that nobody reads.
Graph remove_dead(const Graph& graph, int64_t& rewrites);

// An elementwise operation on `full` operands, as the value of a `full`; nothing when it has no row
// in graph/scalar.h.
std::optional<Number> evaluate(const Node& node);

}  // namespace cairn::detail
