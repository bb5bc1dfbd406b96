// What the nodes of a schedule read, when they compute the indexing nodes among their operands
// themselves.
#pragma once

#include <optional>
#include <vector>

#include "cairn/compiler/node_class.h"
#include "cairn/compiler/schedule.h"
#include "cairn/graph/node_map.h"

namespace cairn {

// The nodes of a schedule of one node per launch, by place.
class ScheduledNodes {
 public:
  explicit ScheduledNodes(const Schedule& schedule);
  size_t size() const { return nodes_.size(); }
  const Node& node(int i) const { return *nodes_[static_cast<size_t>(i)]; }
  NodeClass class_at(int i) const { return classes_[static_cast<size_t>(i)]; }
  bool is_indexing(int i) const { return class_at(i) == NodeClass::indexing; }
  // Whether a kernel computes the node, for itself or with others.
  bool joins(int i) const { return class_at(i) != NodeClass::other && !is_indexing(i); }
  // How many operands the node's result is.
  int readers(int i) const { return readers_[static_cast<size_t>(i)]; }
  // The node that computes a value, or -1: an argument.
  int place_of(const Tensor& root) const {
    const int* place = place_.find(root.node_pointer());
    return place ? *place : -1;
  }

 private:
  std::vector<const Node*> nodes_;
  std::vector<NodeClass> classes_;
  std::vector<int> readers_;
  NodeMap<int> place_;
};

// How a node reads a value (under whatever shape, in row-major order): through its operand's axes,
// as far as they are the value's.
struct Use {
  Tensor root;
  int operand = 0;
  // The operand's axes (without those of size 1) along which the root's lie, in their order;
  // nothing where it is read in another way.
  std::optional<std::vector<int>> axes;
};
struct Reads {
  std::vector<Use> uses;
  std::vector<int> inlined;  // indexing nodes that the reader computes itself, operands first
  bool is_strided = false;   // reads far apart what lies together
};

Reads reads_of(const ScheduledNodes& nodes, int reader);
// The same when it computes nothing but itself.
Reads reads_from_memory(const Node& reader);

// 0, 1, ..., rank - 1.
std::vector<int> all_axes(int rank);

}  // namespace cairn
