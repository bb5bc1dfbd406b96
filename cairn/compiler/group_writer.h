// The values of a group as tiles, for the kernels that groups become.
//
// A form (pointwise.cpp, reduction.cpp, product.cpp) says where along each axis of the domain the
// tiles stand; the writer loads what the group reads there, computes its nodes and stores its
// results. Sizes, starts of slices and constants are scalar parameters, so one kernel serves all
// sizes of a structure, and a learning rate written as a number.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cairn/compiler/group_domain.h"
#include "cairn/graph/node_map.h"
#include "cairn/tile/builder.h"

namespace cairn {

class GroupWriter {
 public:
  explicit GroupWriter(const LaunchGroup& group);

  tile::Builder& builder() { return builder_; }
  const Domain& domain() const { return domain_; }
  const LaunchGroup& group() const { return group_; }
  GroupBinding& binding() { return binding_; }
  // Of the axes of the binding.
  int rank() const { return static_cast<int>(binding_.axes.size()); }
  const tile::Tile& size(int axis) const { return sizes_[static_cast<size_t>(axis)]; }
  // The axis of the binding that an axis of the domain became part of.
  int merged(int axis) const { return merged_of_[static_cast<size_t>(axis)]; }

  // Where the tiles stand along an axis: their indices, and which of them are inside (without a
  // tile all are).
  struct Index {
    tile::Tile at, inside;
  };
  void set_index(int axis, Index index) { indices_[static_cast<size_t>(axis)] = index; }
  // Indices along these axes from one number that counts through them, the last fastest.
  void set_indices(const std::vector<int>& axes, tile::Tile number);
  // Product of the sizes along these axes: 1 of none.
  tile::Tile count(const std::vector<int>& axes);

  // What a node computes, and what it reads as operand i, at the indices.
  tile::Tile value(const Node& node);
  tile::Tile operand(const Node& node, int i);
  // Elements of a convolution's x: of the window of each row, those steps; where groups are last
  // that one step, of the groups at the index of columns.
  tile::Tile windows(const Node& convolution, const tile::Tile& row, const tile::Tile& step,
                     const tile::Tile& inside);
  // A matrix in panels (panels.h): so many columns from `first` on, which lie in one panel, and
  // those rows of it, or of words where several elements lie together.
  tile::Tile panels(const Node& product, const tile::Tile& first, const tile::Tile& step,
                    int64_t columns, const tile::Tile& inside);
  // Brings so many rows of a panel, or of words, from `step` on into the second cache.
  void fetch_panel(const Node& product, const tile::Tile& first, const tile::Tile& step,
                   int64_t rows);
  // Whether the operand moves along an axis of the domain, so that what is read of it is masked
  // there.
  bool moves_along(const Node& node, int operand, int axis) const;
  // A value that the form computes.
  void set_value(const Node& node, const tile::Tile& value);
  // Computes all values and reads that do not move along the axis of the domain, for use in loops.
  void load_all_but(int axis);
  // Calls `body` and forgets the values and reads that it added: they belong to a loop.
  template <class F>
  auto in_loop(F body) {
    const Memo before = memo_;
    auto result = body();
    memo_ = before;
    return result;
  }
  // Writes the outputs that are of this part, as tiles of that shape.
  void store(Part part, const Shape& tile);

 private:
  // Where the panel with that column begins, in elements or words.
  tile::Tile panel_begin(const Node& product, const tile::Tile& first);
  struct Read {
    int input;
    AxisMap axes;
    friend bool operator==(const Read&, const Read&) = default;
  };
  struct Memo {
    std::map<size_t, tile::Tile> reads;  // by place in reads_
    std::map<const Node*, tile::Tile> values;
  };

  void find_reads();
  size_t read_number(const Tensor& root, const AxisMap& axes);
  void merge_axes();
  AxisMap merged(const AxisMap& axes) const;  // of the domain's, the binding's
  void add_parameters();
  Source source(const Node& node, int operand) const;
  tile::Tile find(const Source& source, DType dtype);
  tile::Tile load(size_t read);
  // The axis of a tensor: its index and its size there.
  tile::Tile place_along(const AxisIndex& axis);
  tile::Tile place_behind(const IndexStep& step, const tile::Tile& index);
  // Which indices are elements of a pad's operand; nothing when all are.
  tile::Tile within_padding(const AxisMap& axes);
  tile::Tile size_of(const AxisIndex& axis);
  size_t step_number(const IndexStep& step) const;
  // Row-major over these axes of a tensor.
  tile::Tile offsets(const AxisMap& axes);
  tile::Tile inside(const AxisMap& axes);
  tile::Tile zero();

  const LaunchGroup& group_;
  Domain domain_;
  GroupSources sources_;
  tile::Builder builder_;
  GroupBinding binding_;
  std::vector<Read> reads_;
  std::vector<IndexStep> steps_;
  std::vector<int> merged_of_;
  std::vector<tile::Buffer> inputs_, outputs_;
  tile::Buffer window_begins_, window_steps_;
  std::vector<tile::Tile> sizes_, step_sizes_, step_starts_;
  std::vector<Index> indices_;
  std::map<const Node*, tile::Tile> constants_;
  Memo memo_;
};

}  // namespace cairn
