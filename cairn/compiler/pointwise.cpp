#include "cairn/compiler/pointwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/graph/node_map.h"
#include "cairn/tile/builder.h"

namespace cairn {
namespace {

using tile::Tile;

// Elements of a program. Of one axis: 4 KB of f32, so that the loop's start is lost in it. Of two:
// as many, in rows long enough for several packs.
constexpr int64_t kBlock = 1024;
constexpr int64_t kRows = 8;
constexpr int64_t kColumns = 256;

// For each axis of a tensor the axis of the group's shape that it moves along, or -1.
using AxisMap = std::vector<int>;

class Maker {
 public:
  explicit Maker(const LaunchGroup& group) : group_(group), builder_(kernel_name(group)) {
    for (const Node* node : group.nodes) inside_.insert(node);
    for (const Node* node : group.nodes)
      if (!is_inlined(*node) || group.nodes.size() == 1) find_reads(*node);
  }

  PointwiseKernel make() {
    const Shape& shape = group_.outputs[0].shape();
    merge_axes(shape);
    for (size_t i = 0; i < group_.inputs.size(); ++i)
      inputs_.push_back(builder_.input(fmt::format("in{}", i), group_.inputs[i].dtype()));
    for (size_t i = 0; i < group_.outputs.size(); ++i)
      outputs_.push_back(builder_.output(fmt::format("out{}", i), group_.outputs[i].dtype()));
    for (size_t i = 0; i < binding_.axes.size(); ++i)
      sizes_.push_back(builder_.size(fmt::format("n{}", i)));
    for (size_t i = 0; i < group_.nodes.size(); ++i) {
      const Node& node = *group_.nodes[i];
      if (node.op() != Op::full) continue;
      binding_.constants.push_back(static_cast<int>(i));
      constants_.emplace(
          &node, builder_.scalar(fmt::format("c{}", constants_.size()), node.output().dtype));
    }
    make_indices();
    compute();
    return {builder_.finish(), std::move(binding_)};
  }

 private:
  static std::string kernel_name(const LaunchGroup& group) {
    std::string text;
    for (const Node* node : group.nodes) {
      if (is_inlined(*node) && group.nodes.size() > 1) continue;
      if (!text.empty()) text += "_";
      text += node->info().name;
      if (text.size() > 60) return text + "_etc";
    }
    return text;
  }

  // --- which values are read, and how
  // -------------------------------------------------------------

  // Axes that move along the group's, counted without those of size 1.
  static AxisMap whole(const Shape& shape) {
    AxisMap map;
    int next = 0;
    for (int64_t size : shape) map.push_back(size == 1 ? -1 : next++);
    return map;
  }

  void find_reads(const Node& node) {
    if (node.op() == Op::broadcast)
      return find_read(Tensor(const_cast<Node*>(&node), 0), whole(node.output().shape));
    for (const Tensor& t : node.inputs()) find_read(t, whole(t.shape()));
  }

  // Follows a value through broadcasts to where it is in memory, and notes how it is read there.
  void find_read(const Tensor& t, const AxisMap& map) {
    const Tensor root = root_of(t);
    const Node& node = root.node();
    if (!inside_.contains(&node)) {
      reads_[read_key(root, t.shape(), map)];
    } else if (node.op() == Op::broadcast) {
      find_read(node.input(0), through_broadcast(node, t.shape(), map));
    }
  }
  // A value inside may be read under another shape, which has the same axes but for those of
  // size 1.
  static AxisMap through_broadcast(const Node& node, const Shape& seen, const AxisMap& map) {
    AxisMap moving;
    for (int i = 0; i < seen.rank(); ++i)
      if (seen[i] != 1) moving.push_back(map[static_cast<size_t>(i)]);
    AxisMap of_result;
    size_t next = 0;
    for (int64_t size : node.output().shape) of_result.push_back(size == 1 ? -1 : moving[next++]);
    AxisMap result;
    const Shape& from = node.input(0).shape();
    const Ints& axes = node.attrs().ints(Attr::axes);
    for (int i = 0; i < from.rank(); ++i)
      result.push_back(from[i] == 1 ? -1 : of_result[static_cast<size_t>(axes[i])]);
    return result;
  }

  // The input, and the group's axes along which it moves, in order.
  using ReadKey = std::pair<int, std::vector<int>>;
  ReadKey read_key(const Tensor& root, const Shape& seen, const AxisMap& map) const {
    ReadKey key{-1, {}};
    for (size_t i = 0; i < group_.inputs.size(); ++i)
      if (same(group_.inputs[i], root)) key.first = static_cast<int>(i);
    CAIRN_ASSERT(key.first >= 0);
    for (int i = 0; i < seen.rank(); ++i)
      if (map[static_cast<size_t>(i)] >= 0) key.second.push_back(map[static_cast<size_t>(i)]);
    return key;
  }

  // --- axes
  // ---------------------------------------------------------------------------------------

  // Two neighbouring axes are one when each read moves along both or along neither.
  void merge_axes(const Shape& shape) {
    merged_of_.clear();
    for (int i = 0; i < shape.rank(); ++i) {
      if (shape[i] == 1) continue;
      const int axis = static_cast<int>(merged_of_.size());
      const auto moves_along = [](const ReadKey& key, int a) {
        return std::find(key.second.begin(), key.second.end(), a) != key.second.end();
      };
      const bool joins =
          axis > 0 && std::all_of(reads_.begin(), reads_.end(), [&](const auto& read) {
            return moves_along(read.first, axis) == moves_along(read.first, axis - 1);
          });
      if (joins)
        binding_.axes.back().second = i + 1;
      else
        binding_.axes.emplace_back(i, i + 1);
      merged_of_.push_back(static_cast<int>(binding_.axes.size()) - 1);
    }
    for (const auto& [key, tile] : reads_)
      binding_.reads.push_back({key.first, merged(key.second)});
  }
  std::vector<int> merged(const std::vector<int>& axes) const {
    std::vector<int> result;
    for (int a : axes) {
      const int m = merged_of_[static_cast<size_t>(a)];
      if (result.empty() || result.back() != m) result.push_back(m);
    }
    return result;
  }

  // The index along each merged axis: tiles along the last two, numbers along the others.
  void make_indices() {
    const size_t rank = sizes_.size();
    builder_.grid([&] {
      if (rank == 0) return std::vector<Tile>{builder_.constant(1, DType::i64)};
      if (rank == 1) return std::vector<Tile>{ceil_div(sizes_[0], kBlock)};
      std::vector<Tile> grid;
      if (rank > 2) grid.push_back(sizes_[0]);
      for (size_t i = 1; i + 2 < rank; ++i) grid[0] = grid[0] * sizes_[i];
      grid.push_back(ceil_div(sizes_[rank - 2], kRows));
      grid.push_back(ceil_div(sizes_[rank - 1], kColumns));
      return grid;
    });
    if (rank == 0) return;
    indices_.resize(rank);
    if (rank == 1) {
      indices_[0] = builder_.program_id(0) * kBlock + builder_.arange(kBlock);
      mask_ = indices_[0] < sizes_[0];
      return;
    }
    const int outer = rank > 2 ? 1 : 0;
    if (outer) {
      Tile rest = builder_.program_id(0);
      for (size_t i = rank - 2; i-- > 0;) {
        indices_[i] = i ? rest % sizes_[i] : rest;
        if (i) rest = rest / sizes_[i];
      }
    }
    Tile& row = indices_[rank - 2];
    Tile& column = indices_[rank - 1];
    row = expand_dims(builder_.program_id(outer) * kRows + builder_.arange(kRows), 1);
    column = expand_dims(builder_.program_id(outer + 1) * kColumns + builder_.arange(kColumns), 0);
    mask_ = (row < sizes_[rank - 2]) & (column < sizes_[rank - 1]);
  }
  Shape tile_shape() const {
    if (sizes_.empty()) return {};
    return sizes_.size() == 1 ? Shape{kBlock} : Shape{kRows, kColumns};
  }

  // Row-major over these axes.
  Tile offsets(const std::vector<int>& axes) {
    Tile result;
    Tile stride;
    for (size_t i = axes.size(); i-- > 0;) {
      const auto axis = static_cast<size_t>(axes[i]);
      const Tile part = stride.id() < 0 ? indices_[axis] : indices_[axis] * stride;
      result = result.id() < 0 ? part : result + part;
      stride = stride.id() < 0 ? sizes_[axis] : stride * sizes_[axis];
    }
    return result.id() < 0 ? builder_.constant(0, DType::i64) : result;
  }

  // --- values
  // -------------------------------------------------------------------------------------

  void compute() {
    size_t r = 0;
    for (auto& [key, tile] : reads_) {
      const tile::Buffer buffer = inputs_[static_cast<size_t>(key.first)];
      const std::vector<int>& axes = binding_.reads[r++].axes;
      tile = axes.empty() ? builder_.load(buffer, offsets(axes))
                          : builder_.load(buffer, offsets(axes), mask_for(axes));
    }
    for (const Node* node : group_.nodes)
      if (!is_inlined(*node) || group_.nodes.size() == 1) compute(*node);
    const Shape shape = tile_shape();
    std::vector<int> all;
    for (size_t i = 0; i < sizes_.size(); ++i) all.push_back(static_cast<int>(i));
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const Tile offset = offsets(all);
      const Tile value = broadcast_to(values_.at(group_.outputs[i].node_pointer()), shape);
      if (mask_.id() < 0)
        builder_.store(outputs_[i], offset, value);
      else
        builder_.store(outputs_[i], offset, value, mask_);
    }
  }
  // Of the tile's axes, those along which a read moves.
  Tile mask_for(const std::vector<int>& axes) {
    const auto rank = static_cast<int>(sizes_.size());
    const bool rows = std::find(axes.begin(), axes.end(), rank - 2) != axes.end();
    const bool columns = std::find(axes.begin(), axes.end(), rank - 1) != axes.end();
    if (rank == 1 || (rows && columns)) return mask_;
    if (rows)
      return indices_[static_cast<size_t>(rank - 2)] < sizes_[static_cast<size_t>(rank - 2)];
    if (columns)
      return indices_[static_cast<size_t>(rank - 1)] < sizes_[static_cast<size_t>(rank - 1)];
    return builder_.constant(true, DType::b8);
  }

  // A value as a node of the group reads it.
  Tile read(const Tensor& t, const AxisMap& map) {
    const Tensor root = root_of(t);
    const Node& node = root.node();
    if (!inside_.contains(&node)) return reads_.at(read_key(root, t.shape(), map));
    if (node.op() == Op::full) return constants_.at(&node);
    if (node.op() == Op::broadcast)
      return read(node.input(0), through_broadcast(node, t.shape(), map));
    return values_.at(&node);
  }

  void compute(const Node& node) {
    tile::Instruction in;
    in.where = node.location();
    if (node.op() == Op::full) {
      values_.emplace(&node, constants_.at(&node));
      return;
    }
    if (node.op() == Op::broadcast) {
      values_.emplace(&node, read(Tensor(const_cast<Node*>(&node), 0), whole(node.output().shape)));
      return;
    }
    std::vector<Tile> operands;
    Shape shape;
    for (const Tensor& t : node.inputs()) {
      operands.push_back(read(t, whole(t.shape())));
      shape = tile_broadcast(shape, operands.back().shape());
    }
    in.op = tile::TileOp::apply;
    in.scalar = node.op();
    for (Tile& t : operands)
      in.operands.push_back(builder_.as(t, t.dtype(), shape, node.info().name).id());
    values_.emplace(&node, builder_.emit_one(std::move(in), {node.output().dtype, {}}));
  }
  static Shape tile_broadcast(const Shape& a, const Shape& b) {
    if (a.rank() < b.rank()) return tile_broadcast(b, a);
    Shape result = a;
    for (int i = 1; i <= b.rank(); ++i)
      result[a.rank() - i] = std::max(a[a.rank() - i], b[b.rank() - i]);
    return result;
  }

  const LaunchGroup& group_;
  tile::Builder builder_;
  PointwiseBinding binding_;
  NodeMap<bool> inside_;
  std::map<ReadKey, Tile> reads_;
  std::vector<int> merged_of_;  // of the group's axes without those of size 1
  std::vector<tile::Buffer> inputs_, outputs_;
  std::vector<Tile> sizes_, indices_;
  Tile mask_;
  std::map<const Node*, Tile> constants_, values_;
};

}  // namespace

Shape squeezed(const Shape& shape) {
  Shape result;
  for (int64_t size : shape)
    if (size != 1) result.push_back(size);
  return result;
}

bool is_inlined(const Node& node) { return node.op() == Op::full || node.op() == Op::broadcast; }

bool is_pointwise(const Node& node) {
  if (is_alias(node) || node.output_count() != 1) return false;
  const DType to = node.output().dtype;
  if (is_float8(to)) return false;
  if (is_inlined(node)) return can_compile_kernels();
  if (node.info().trait != Trait::elementwise) return false;
  return std::all_of(node.inputs().begin(), node.inputs().end(),
                     [&](const Tensor& t) { return can_lower(node.op(), t.dtype(), to); });
}

std::optional<std::vector<int64_t>> PointwiseBinding::sizes(const LaunchGroup& group) const {
  const Shape& shape = group.outputs[0].shape();
  std::vector<int64_t> result;
  for (const auto& [first, last] : axes) {
    int64_t size = 1;
    for (int i = first; i < last; ++i) size *= shape[i];
    result.push_back(size);
  }
  for (const Read& read : reads) {
    int64_t elements = 1;
    for (int a : read.axes) elements *= result[static_cast<size_t>(a)];
    if (elements != group.inputs[static_cast<size_t>(read.input)].elements()) return std::nullopt;
  }
  return result;
}

int64_t pointwise_programs(std::span<const int64_t> sizes) {
  const auto blocks = [](int64_t n, int64_t block) { return (n + block - 1) / block; };
  if (sizes.empty()) return 1;
  if (sizes.size() == 1) return blocks(sizes[0], kBlock);
  int64_t programs = blocks(sizes[sizes.size() - 2], kRows) * blocks(sizes.back(), kColumns);
  for (size_t i = 0; i + 2 < sizes.size(); ++i) programs *= sizes[i];
  return programs;
}

int64_t pointwise_block(size_t axes) {
  return axes == 0 ? 1 : axes == 1 ? kBlock : kRows * kColumns;
}

PointwiseKernel make_pointwise_kernel(const LaunchGroup& group) { return Maker(group).make(); }

}  // namespace cairn
