#include "cairn/compiler/group_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/compiler/node_class.h"
#include "cairn/compiler/panels.h"
#include "cairn/graph/infer.h"

namespace cairn {

using tile::Tile;

namespace {

std::string kernel_name(const LaunchGroup& group) {
  std::string text;
  for (const Node* node : group.nodes) {
    if (class_of(*node) == NodeClass::indexing && group.nodes.size() > 1) continue;
    if (!text.empty()) text += "_";
    text += node->info().name;
    if (text.size() > 60) return text + "_etc";
  }
  return text;
}

// As what kernels read panels of that type: elements that lie together are one word.
DType word_type(DType dtype) {
  if (panel_elements(dtype) == 1) return dtype;
  return dtype == DType::i8 ? DType::i32 : DType::u32;
}

Shape common_shape(const Shape& a, const Shape& b) {
  if (a.rank() < b.rank()) return common_shape(b, a);
  Shape result = a;
  for (int i = 1; i <= b.rank(); ++i)
    result[a.rank() - i] = std::max(a[a.rank() - i], b[b.rank() - i]);
  return result;
}

}  // namespace

GroupWriter::GroupWriter(const LaunchGroup& group)
    : group_(group),
      domain_(domain_of(*group.nodes[static_cast<size_t>(anchor_of(group))])),
      sources_(group),
      builder_(kernel_name(group)) {
  find_reads();
  merge_axes();
  add_parameters();
}

// --- which values are read, and how --------------------------------------------------------------

Source GroupWriter::source(const Node& node, int operand) const {
  const Tensor& t = node.input(operand);
  return sources_.of(t, map_of_operand(node, operand, domain_));
}

void GroupWriter::find_reads() {
  const auto add_steps = [&](const AxisMap& axes) {
    for (const AxisIndex& axis : axes)
      for (const IndexStep& step : axis.steps)
        if (std::find(steps_.begin(), steps_.end(), step) == steps_.end()) steps_.push_back(step);
  };
  const auto add = [&](const Source& from) {
    if (from.kind == Source::Kind::computed || from.kind == Source::Kind::constant) return;
    add_steps(from.axes);
    if (from.kind == Source::Kind::memory) {
      read_number(from.root, from.axes);
    } else if (const Read read{-1, from.axes};
               std::find(reads_.begin(), reads_.end(), read) == reads_.end()) {
      reads_.push_back(read);  // an axis that is counted is not one with its neighbours
    }
  };
  for (const Node* node : group_.nodes) {
    if (node->op() == Op::pad) {
      // Where the operand is: whatever it is.
      AxisMap axes = map_of_operand(*node, 0, domain_);
      std::erase_if(axes, [](const AxisIndex& axis) { return axis.steps.empty(); });
      add_steps(axes);
      reads_.push_back({-1, std::move(axes)});
    }
    if (class_of(*node) != NodeClass::indexing) {
      for (int i = 0; i < static_cast<int>(node->inputs().size()); ++i)
        if (!reads_windows(*node, i) && !reads_panels(*node, i)) add(source(*node, i));
    } else if (group_.nodes.size() == 1) {
      const Tensor result(const_cast<Node*>(node), 0);
      add(sources_.of(result, map_of(result.shape(), Part::whole, domain_)));
    }
  }
  binding_.whole_slices = whole_slices(group_);
  // Four simple operations take as long as a load and a store, a function some 25.
  int64_t operations = 0;
  for (const Node* node : group_.nodes)
    operations += is_transcendental(node->op()) ? 25 : class_of(*node) != NodeClass::indexing;
  binding_.cost = 1 + operations / 4;
}

size_t GroupWriter::read_number(const Tensor& root, const AxisMap& axes) {
  const size_t input = index_of(group_.inputs, root);
  CAIRN_ASSERT(input < group_.inputs.size());
  const Read read{static_cast<int>(input), axes};
  const auto found = std::find(reads_.begin(), reads_.end(), read);
  if (found != reads_.end()) return static_cast<size_t>(found - reads_.begin());
  reads_.push_back(read);
  return reads_.size() - 1;
}

// Two neighbouring axes are one when every read walks them as one: along both, one right after the
// other and without slices, or along neither.
void GroupWriter::merge_axes() {
  binding_.kind = domain_.kind;
  binding_.anchor = anchor_of(group_);
  const int rank = domain_.shape.rank();
  const int apart = domain_.kind == GroupKind::product ? rank - 3 : rank;  // M, N, K
  const auto walks_as_one = [](const Read& read, int first, int second) {
    for (size_t i = 0; i < read.axes.size(); ++i) {
      const int axis = read.axes[i].axis;
      if (axis != first && axis != second) continue;
      return read.input >= 0 && axis == first && i + 1 < read.axes.size() &&
             read.axes[i + 1].axis == second && read.axes[i].steps.empty() &&
             read.axes[i + 1].steps.empty();
    }
    return true;
  };
  for (int i = 0; i < rank; ++i) {
    const bool joins =
        i > 0 && i < apart && i != domain_.reduced && i - 1 != domain_.reduced &&
        std::ranges::all_of(reads_, [&](const Read& read) { return walks_as_one(read, i - 1, i); });
    if (joins)
      binding_.axes.back().second = i + 1;
    else
      binding_.axes.emplace_back(i, i + 1);
    merged_of_.push_back(static_cast<int>(binding_.axes.size()) - 1);
  }
  if (domain_.reduced >= 0) binding_.reduced = merged(domain_.reduced);
  if (domain_.kind == GroupKind::product) {
    const Node& node = *group_.nodes[static_cast<size_t>(binding_.anchor)];
    const DType dtype = node.input(1).dtype();
    binding_.operand_bytes = static_cast<int64_t>(cairn::size_of(dtype));
    if (reads_panels(node, 1)) binding_.panel_elements = panel_elements(node.input(0).dtype());
    binding_.is_by_groups = node.op() == Op::convolution && has_groups_last(node);
  }
  // Of a product the columns are written together.
  const int last_axis = domain_.kind == GroupKind::product ? rank - 2 : rank - 1;
  const int last = last_axis >= 0 ? merged(last_axis) : -1;
  for (Read& read : reads_) {
    read.axes = merged(read.axes);
    if (read.input < 0) continue;
    for (size_t i = 0; i + 1 < read.axes.size(); ++i)
      binding_.is_strided |= read.axes[i].axis == last;
    GroupBinding::Read plain{read.input, {}};
    for (const AxisIndex& axis : read.axes) plain.axes.push_back(axis.axis);
    if (std::ranges::all_of(read.axes, [](const AxisIndex& a) { return a.steps.empty(); }))
      binding_.reads.push_back(std::move(plain));
  }
}

AxisMap GroupWriter::merged(const AxisMap& axes) const {
  AxisMap result;
  for (AxisIndex axis : axes) {
    if (axis.axis >= 0) axis.axis = merged(axis.axis);
    const bool is_part = !result.empty() && axis.axis >= 0 && result.back().axis == axis.axis;
    if (!is_part) result.push_back(std::move(axis));
  }
  return result;
}

void GroupWriter::add_parameters() {
  for (size_t i = 0; i < group_.inputs.size(); ++i) {
    const bool is_words = std::ranges::any_of(group_.nodes, [&](const Node* node) {
      return reads_panels(*node, 1) && same(root_of(node->input(1)), group_.inputs[i]);
    });
    const DType dtype = group_.inputs[i].dtype();
    inputs_.push_back(builder_.input(fmt::format("in{}", i), is_words ? word_type(dtype) : dtype));
  }
  for (size_t i = 0; i < group_.outputs.size(); ++i)
    outputs_.push_back(builder_.output(fmt::format("out{}", i), group_.outputs[i].dtype()));
  for (int i = 0; i < rank(); ++i) sizes_.push_back(builder_.size(fmt::format("n{}", i)));
  for (size_t i = 0; i < steps_.size(); ++i) {
    const auto place = std::find(group_.nodes.begin(), group_.nodes.end(), steps_[i].node);
    binding_.steps.push_back({static_cast<int>(place - group_.nodes.begin()), steps_[i].axis});
    step_sizes_.push_back(builder_.size(fmt::format("size{}", i)));
    step_starts_.push_back(builder_.size(fmt::format("start{}", i)));
  }
  for (size_t i = 0; i < group_.nodes.size(); ++i) {
    const Node& node = *group_.nodes[i];
    if (node.op() != Op::full) continue;
    binding_.constants.push_back(static_cast<int>(i));
    constants_.emplace(&node,
                       builder_.scalar(fmt::format("c{}", constants_.size()), node.output().dtype));
  }
  if (group_.nodes[static_cast<size_t>(binding_.anchor)]->op() == Op::convolution) {
    window_begins_ = builder_.input("begins", DType::i64);
    window_steps_ = builder_.input("steps", DType::i64);
  }
  indices_.resize(sizes_.size());
}

// --- indices -------------------------------------------------------------------------------------

void GroupWriter::set_indices(const std::vector<int>& axes, Tile number) {
  for (size_t i = axes.size(); i-- > 0;) {
    set_index(axes[i], {i ? number % size(axes[i]) : number, {}});
    if (i) number = number / size(axes[i]);
  }
}

Tile GroupWriter::count(const std::vector<int>& axes) {
  Tile product;
  for (const int axis : axes) product = product.id() < 0 ? size(axis) : product * size(axis);
  return product.id() < 0 ? builder_.constant(1, DType::i64) : product;
}

Tile GroupWriter::zero() { return builder_.constant(0, DType::i64); }

size_t GroupWriter::step_number(const IndexStep& step) const {
  return static_cast<size_t>(std::find(steps_.begin(), steps_.end(), step) - steps_.begin());
}

Tile GroupWriter::place_along(const AxisIndex& axis) {
  Tile index = axis.axis < 0 ? zero() : indices_[static_cast<size_t>(axis.axis)].at;
  for (const IndexStep& step : axis.steps) index = place_behind(step, index);
  return index;
}

Tile GroupWriter::place_behind(const IndexStep& step, const Tile& index) {
  const Tile& start = step_starts_[step_number(step)];
  switch (step.node->op()) {
    case Op::reverse: return start - index;
    case Op::pad: {
      const int64_t distance = step.node->attrs().ints(Attr::interior)[step.axis] + 1;
      return distance == 1 ? index - start : (index - start) / distance;
    }
    default: {
      const int64_t stride = step.node->attrs().ints(Attr::step)[step.axis];
      return stride == 1 ? index + start : index * stride + start;
    }
  }
}

Tile GroupWriter::within_padding(const AxisMap& axes) {
  Tile result;
  const auto require = [&](const Tile& condition) {
    result = result.id() < 0 ? condition : result & condition;
  };
  for (const AxisIndex& axis : axes) {
    Tile index = axis.axis < 0 ? zero() : indices_[static_cast<size_t>(axis.axis)].at;
    for (const IndexStep& step : axis.steps) {
      const Tile place = place_behind(step, index);
      if (step.node->op() == Op::pad) {
        const Tile offset = index - step_starts_[step_number(step)];
        const int64_t distance = step.node->attrs().ints(Attr::interior)[step.axis] + 1;
        require(-1 < offset);
        require(place < step_sizes_[step_number(step)]);
        if (distance != 1) require(place * distance == offset);
      }
      index = place;
    }
  }
  return result;
}

Tile GroupWriter::size_of(const AxisIndex& axis) {
  return axis.steps.empty() ? size(axis.axis) : step_sizes_[step_number(axis.steps.back())];
}

Tile GroupWriter::offsets(const AxisMap& axes) {
  Tile result;
  Tile stride;
  for (size_t i = axes.size(); i-- > 0;) {
    const Tile index = place_along(axes[i]);
    const Tile part = stride.id() < 0 ? index : index * stride;
    result = result.id() < 0 ? part : result + part;
    if (i) stride = stride.id() < 0 ? size_of(axes[i]) : stride * size_of(axes[i]);
  }
  return result.id() < 0 ? zero() : result;
}

Tile GroupWriter::inside(const AxisMap& axes) {
  Tile result;
  for (const AxisIndex& axis : axes) {
    if (axis.axis < 0) continue;
    const Tile& one = indices_[static_cast<size_t>(axis.axis)].inside;
    if (one.id() >= 0) result = result.id() < 0 ? one : result & one;
  }
  const Tile padding = within_padding(axes);
  if (padding.id() >= 0) result = result.id() < 0 ? padding : result & padding;
  return result;
}

// --- values --------------------------------------------------------------------------------------

Tile GroupWriter::load(size_t number) {
  const auto found = memo_.reads.find(number);
  if (found != memo_.reads.end()) return found->second;
  const Read& read = reads_[number];
  const tile::Buffer buffer = inputs_[static_cast<size_t>(read.input)];
  const Tile at = offsets(read.axes);
  const Tile mask = inside(read.axes);
  const Tile value = mask.id() < 0 ? builder_.load(buffer, at) : builder_.load(buffer, at, mask);
  memo_.reads.emplace(number, value);
  return value;
}

Tile GroupWriter::find(const Source& from, DType dtype) {
  switch (from.kind) {
    case Source::Kind::constant: return constants_.at(&from.root.node());
    case Source::Kind::computed: return value(from.root.node());
    case Source::Kind::memory: return load(read_number(from.root, merged(from.axes)));
    case Source::Kind::index: break;
  }
  return from.axes.empty() ? builder_.constant(0, dtype)
                           : tile::cast(place_along(merged(from.axes)[0]), dtype);
}

Tile GroupWriter::operand(const Node& node, int i) {
  return find(source(node, i), node.input(i).dtype());
}

Tile GroupWriter::windows(const Node& convolution, const Tile& row, const Tile& step,
                          const Tile& inside) {
  const size_t input = index_of(group_.inputs, root_of(convolution.input(0)));
  const int m = rank() - 3;
  const bool has_batch = m && !binding_.is_by_groups;
  const Tile begin =
      builder_.load(window_begins_, has_batch ? indices_[0].at * size(m) + row : row);
  if (binding_.is_by_groups) {
    const Index& group = indices_[static_cast<size_t>(m) + 1];
    return builder_.load(inputs_[input], begin + builder_.load(window_steps_, step) + group.at,
                         broadcast_to(group.inside, common_shape(row.shape(), group.at.shape())));
  }
  const Tile offset = begin + builder_.load(window_steps_, step, inside);
  return builder_.load(inputs_[input], offset, inside);
}

Tile GroupWriter::panel_begin(const Node& product, const Tile& first) {
  const int64_t together = panel_elements(product.input(1).dtype());
  const Tile depth = size(rank() - 1);
  const Tile rows = together == 1 ? depth : ceil_div(depth, together);
  const Tile panel = first / kPanelColumns;
  return (panel * rows - panel) * kPanelColumns + first;
}

Tile GroupWriter::panels(const Node& product, const Tile& first, const Tile& step, int64_t columns,
                         const Tile& inside) {
  const size_t input = index_of(group_.inputs, root_of(product.input(1)));
  const Tile begin = panel_begin(product, first);
  const Tile place = step * kPanelColumns + expand_dims(builder_.arange(columns), 0) + begin;
  return builder_.load(inputs_[input], place, inside);
}

void GroupWriter::fetch_panel(const Node& product, const Tile& first, const Tile& step,
                              int64_t rows) {
  constexpr int64_t kLine = 64;
  const size_t input = index_of(group_.inputs, root_of(product.input(1)));
  const int64_t line = kLine / cairn::size_of(word_type(product.input(1).dtype()));
  const Tile begin = panel_begin(product, first) + step * kPanelColumns;
  builder_.fetch(inputs_[input], builder_.arange(rows * kPanelColumns / line) * line + begin);
}

bool GroupWriter::moves_along(const Node& node, int operand, int axis) const {
  const Source from = source(node, operand);
  return from.kind == Source::Kind::memory &&
         std::ranges::any_of(from.axes, [&](const AxisIndex& a) { return a.axis == axis; });
}

Tile GroupWriter::value(const Node& node) {
  const auto found = memo_.values.find(&node);
  if (found != memo_.values.end()) return found->second;
  Tile result;
  if (class_of(node) == NodeClass::indexing) {
    const Tensor t(const_cast<Node*>(&node), 0);
    result = find(sources_.of(t, map_of(t.shape(), part_of(node, domain_), domain_)), t.dtype());
  } else if (node.op() == Op::pad) {
    const Tile x = operand(node, 0);
    const Tile within = within_padding(merged(map_of_operand(node, 0, domain_)));
    result = within.id() < 0 ? x : where(within, x, operand(node, 1));
  } else {
    CAIRN_ASSERT(class_of(node) == NodeClass::pointwise);
    std::vector<Tile> operands;
    Shape shape;
    for (int i = 0; i < static_cast<int>(node.inputs().size()); ++i) {
      operands.push_back(operand(node, i));
      shape = common_shape(shape, operands.back().shape());
    }
    tile::Instruction in;
    in.where = node.location();
    in.op = tile::TileOp::apply;
    in.scalar = node.op();
    for (const Tile& t : operands)
      in.operands.push_back(builder_.as(t, t.dtype(), shape, node.info().name).id());
    result = builder_.emit_one(std::move(in), {node.output().dtype, {}});
  }
  memo_.values.emplace(&node, result);
  return result;
}

void GroupWriter::set_value(const Node& node, const Tile& value) {
  memo_.values.emplace(&node, value);
}

void GroupWriter::load_all_but(int axis) {
  for (size_t i = 0; i < reads_.size(); ++i)
    if (reads_[i].input >= 0 &&
        std::ranges::none_of(reads_[i].axes, [&](const AxisIndex& a) { return a.axis == axis; }))
      load(i);
}

void GroupWriter::store(Part part, const Shape& tile) {
  AxisMap axes;
  int before = -1;
  for (const int axis : axes_of(part, domain_)) {
    if (merged(axis) != before) axes.push_back({merged(axis), {}});
    before = merged(axis);
  }
  std::vector<Tile> values;
  for (const Tensor& t : group_.outputs)
    values.push_back(part_of(t.node(), domain_) == part ? broadcast_to(value(t.node()), tile)
                                                        : Tile());
  const Tile mask = inside(axes);
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].id() < 0) continue;
    const Tile at = offsets(axes);
    if (mask.id() < 0)
      builder_.store(outputs_[i], at, values[i]);
    else
      builder_.store(outputs_[i], at, values[i], mask);
  }
}

}  // namespace cairn
