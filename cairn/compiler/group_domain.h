// The space that the kernel of a group runs over, and where in it each tensor stands.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "cairn/compiler/axis_map.h"
#include "cairn/compiler/schedule.h"
#include "cairn/graph/node_map.h"

namespace cairn {

// Which loops a kernel has: over elements; along rows that are reduced, or down columns; over
// blocks of a product.
enum class GroupKind : uint8_t { pointwise, rows, columns, product };

// Pointwise: the shape of the nodes. Rows, columns: the shape of what is reduced. In these axes of
// size 1 are left out. Product: batch..., M, N, K, whatever their sizes.
struct Domain {
  GroupKind kind = GroupKind::pointwise;
  Shape shape;
  int reduced = -1;  // of rows and columns: the axis that disappears
  friend bool operator==(const Domain&, const Domain&) = default;

  // The shape of what is left of rows and columns.
  Shape left() const;
  // The shape of what a product gives, and of the domain otherwise, without axes of size 1.
  Shape whole() const;
};
Domain domain_of(const Node& node);
// The node that says which domain a group has: one of its reductions or its product, else of its
// pointwise nodes. Where some have neighbouring axes that others have joined (a product's rows are
// a batch and its tokens), one of those that have the fewest.
int anchor_of(const LaunchGroup& group);

// Which axes of the domain a tensor has: all of them (but K); those that a reduction leaves; those
// of a product's first and second operand.
enum class Part : uint8_t { whole, left, lhs, rhs };
// Of the values of a node that the group computes.
Part part_of(const Node& node, const Domain& domain);
// Of its operands.
Part part_of_operand(const Node& node, int operand, const Domain& domain);
// Whether it is the x of a convolution, of which windows are read, through GroupBinding::tables().
bool reads_windows(const Node& node, int operand);
std::vector<int> axes_of(Part part, const Domain& domain);
// The axes of a tensor of that part.
AxisMap map_of(const Shape& shape, Part part, const Domain& domain);
// Of an operand that is not read in windows.
AxisMap map_of_operand(const Node& node, int operand, const Domain& domain);

// Where a value that a node of a group reads comes from.
struct Source {
  enum class Kind : uint8_t { memory, computed, constant, index } kind = Kind::memory;
  Tensor root;
  // Memory: its axes that move, in order. Index: the one that is counted, or none.
  AxisMap axes;
};
class GroupSources {
 public:
  explicit GroupSources(const LaunchGroup& group);
  Source of(const Tensor& t, const AxisMap& axes) const;

 private:
  NodeMap<bool> inside_;
};

// Whether every node of the group reads each element of the input where the result is written, so
// that the result may take its memory.
bool reads_in_place(const LaunchGroup& group, int input, int result);

// The scalar parameters of a group's kernel, and what they are for a group's sizes.
struct GroupBinding {
  GroupKind kind = GroupKind::pointwise;
  int anchor = 0;
  // Neighbouring axes of the domain that everything walks alike are one: ranges [first, last).
  std::vector<std::pair<int, int>> axes;
  int reduced = -1;  // of these
  // Something is read that does not lie together along the last axis, of a product along N.
  bool is_strided = false;
  // Of a product whose second operand is in panels (panels.h): elements that are multiplied
  // together.
  int64_t panel_elements = 0;
  // It is a convolution whose columns are groups (by_groups.cpp).
  bool is_by_groups = false;
  // Of a product: the size of an element of its second operand.
  int64_t operand_bytes = 0;
  // What an element costs, in units of about 0.3 ns: as much as copying it.
  int64_t cost = 1;
  // Slices, reversals and pads whose operand's size and start are parameters; places in the group's
  // nodes.
  struct Step {
    int node;
    int axis;
  };
  std::vector<Step> steps;
  // Places in the group's nodes of the constants.
  std::vector<int> constants;
  // For each value in memory that is read without slices: the input, and the axes along which it
  // moves.
  struct Read {
    int input;
    std::vector<int> axes;
  };
  std::vector<Read> reads;
  std::vector<bool> whole_slices;  // of every axis of every slice

  // The sizes of the axes; empty when the group has the structure but does not fit (sizes that were
  // equal by coincidence are not).
  std::optional<Ints> sizes(const LaunchGroup& group) const;
  // Of a convolution: where in x the window of each row of each group (or of the first, where
  // groups are last) begins, and where in it each of the K elements lies, from there. They take the
  // place of divisions in the kernel.
  std::vector<std::vector<int64_t>> tables(const LaunchGroup& group) const;
  // Size and start of each step.
  std::vector<int64_t> step_values(const LaunchGroup& group) const;
};

// Of every axis of every slice of the group, whether it takes the whole axis.
std::vector<bool> whole_slices(const LaunchGroup& group);

}  // namespace cairn
