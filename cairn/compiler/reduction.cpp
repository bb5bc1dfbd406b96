// Groups around reductions along one axis, in the order of docs/adr/0014-order-of-sums.md: what is
// reduced and what is made of the results, in one kernel: a softmax, a norm and their gradients.
//
// Along rows a program has one row. One of a single chunk is one tile; a longer one is walked in
// blocks of 64 lanes, once for each stage of reductions that need the results of others, and once
// more to write. Where the axis is not the last, a program has 64 columns and walks down them in
// the same way.
#include <algorithm>
#include <limits>
#include <optional>

#include "cairn/compiler/group_forms.h"
#include "cairn/compiler/node_class.h"
#include "cairn/tile/rows.h"

namespace cairn::detail {

using tile::Combine;
using tile::Tile;

namespace {

// Columns of a program, where the axis is not the last: 64 lanes of as many columns are 16 KB, half
// of the first cache. A narrow tensor takes fewer, and what has fewer rows than lanes only as many
// lanes as hold a row, rounded up to a power of two: the others would add +0.
constexpr int64_t kColumns = 64;

int64_t power_of_two(int64_t n, int64_t least, int64_t most) {
  int64_t result = least;
  while (result < n && result < most) result *= 2;
  return result;
}

Combine kind_of(const Node& node) {
  const std::string& kind = node.attrs().text(Attr::kind);
  return kind == "sum"    ? Combine::sum
         : kind == "prod" ? Combine::prod
         : kind == "max"  ? Combine::max
                          : Combine::min;
}

double nothing(Combine kind) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  switch (kind) {
    case Combine::sum: return 0;
    case Combine::prod: return 1;
    case Combine::max: return -kInfinity;
    default: return kInfinity;
  }
}

Tile combined(Combine kind, const Tile& x, const Tile& y) {
  switch (kind) {
    case Combine::sum: return x + y;
    case Combine::prod: return x * y;
    case Combine::max: return maximum(x, y);
    default: return minimum(x, y);
  }
}

bool is_reduction(const Node& node) { return class_of(node) == NodeClass::reduction; }

class Writer {
 public:
  Writer(GroupWriter& w, const GroupForm& form)
      : w_(w), k_(w.builder()), form_(form), along_(w.binding().reduced) {
    for (int axis = 0; axis < w.rank(); ++axis)
      if (axis != along_ && (axis != last() || along_ == last())) outer_.push_back(axis);
  }

  void write() {
    k_.grid([&] {
      std::vector<Tile> grid = {w_.count(outer_)};
      if (!is_rows()) grid.push_back(ceil_div(w_.size(last()), form_.columns));
      return grid;
    });
    if (!outer_.empty()) w_.set_indices(outer_, k_.program_id(0));
    if (is_rows() && !form_.is_long) return write_rows();
    if (!is_rows()) {
      const Tile column = k_.program_id(1) * form_.columns + k_.arange(form_.columns);
      w_.set_index(last(), {column, column < w_.size(last())});
      column_inside_ = column < w_.size(last());
    }
    write_blocks();
  }

 private:
  int last() const { return w_.rank() - 1; }
  bool is_rows() const { return along_ == last(); }
  const Tile& n() const { return w_.size(along_); }

  // --- a row as one tile

  void write_rows() {
    const Tile at = k_.arange(tile::kReduceChunk);
    const Tile inside = at < n();
    w_.set_index(along_, {at, inside});
    for (const Node* node : w_.group().nodes) {
      if (!is_reduction(*node)) continue;
      const Combine kind = kind_of(*node);
      const Tile x = tile::widen(w_.operand(*node, 0));
      const Tile result = reduce(kind, where(inside, x, nothing(kind)), 0);
      w_.set_value(*node, tile::narrow(result, node->output().dtype));
    }
    w_.store(Part::whole, {tile::kReduceChunk});
    w_.store(Part::left, {});
  }

  // --- blocks of 64 along the axis

  Shape lanes() const { return is_rows() ? Shape{form_.lanes} : Shape{form_.lanes, form_.columns}; }
  // 0..63 along the axis.
  Tile lane() const {
    const Tile lane = k_.arange(form_.lanes);
    return is_rows() ? lane : expand_dims(lane, 1);
  }
  // Sets the indices of the block that begins there; gives what is inside.
  Tile set_block(const Tile& begin) {
    const Tile at = begin + lane();
    const Tile inside = at < n();
    w_.set_index(along_, {at, inside});
    return is_rows() ? inside : inside & column_inside_;
  }

  // How many reductions stand between what is read and the node's result.
  int stage_of(const Node& node) {
    const auto [stage, is_new] = stages_.insert(&node);
    if (!is_new) return *stage;
    int result = 0;
    for (const Tensor& t : node.inputs())
      if (const Node& from = root_of(t).node(); inside_.contains(&from))
        result = std::max(result, stage_of(from));
    if (is_reduction(node)) ++result;
    *stages_.insert(&node).first = result;
    return result;
  }

  // What is left of the axis after that many reductions; loops cannot be what computes it.
  void compute_left(int stage) {
    for (const Node* node : w_.group().nodes)
      if (class_of(*node) == NodeClass::pointwise && stage_of(*node) == stage &&
          part_of(*node, w_.domain()) == Part::left)
        w_.value(*node);
  }

  void write_blocks() {
    for (const Node* node : w_.group().nodes) inside_.insert(node);
    w_.load_all_but(along_);
    compute_left(0);
    int stages = 0;
    for (const Node* node : w_.group().nodes) stages = std::max(stages, stage_of(*node));
    for (int stage = 1; stage <= stages; ++stage) {
      std::vector<const Node*> nodes;
      for (const Node* node : w_.group().nodes)
        if (is_reduction(*node) && stage_of(*node) == stage) nodes.push_back(node);
      reduce_all(nodes);
      compute_left(stage);
    }
    if (std::ranges::any_of(w_.group().outputs, [&](const Tensor& t) {
          return part_of(t.node(), w_.domain()) == Part::whole;
        }))
      k_.loop(0, n(), form_.lanes, std::vector<Tile>{},
              [&](const Tile& begin, const std::vector<Tile>&) {
                return w_.in_loop([&] {
                  set_block(begin);
                  w_.store(Part::whole, lanes());
                  return std::vector<Tile>{};
                });
              });
    w_.store(Part::left, is_rows() ? Shape{} : Shape{form_.columns});
  }

  // All reductions of a stage in one walk.
  void reduce_all(const std::vector<const Node*>& nodes) {
    std::vector<Combine> kinds;
    std::vector<Tile> starts;
    for (const Node* node : nodes) {
      kinds.push_back(kind_of(*node));
      starts.push_back(
          k_.full(lanes(), nothing(kinds.back()), tile::compute_type(node->input(0).dtype())));
    }
    const auto walk = [&](const Tile& begin, const Tile& end) {
      return k_.loop(
          begin, end, form_.lanes, starts, [&](const Tile& at, const std::vector<Tile>& so_far) {
            return w_.in_loop([&] {
              const Tile inside = set_block(at);
              std::vector<Tile> next;
              for (size_t i = 0; i < nodes.size(); ++i) {
                const Tile x = tile::widen(w_.operand(*nodes[i], 0));
                next.push_back(combined(kinds[i], so_far[i], where(inside, x, nothing(kinds[i]))));
              }
              return next;
            });
          });
    };
    std::vector<Tile> sums;
    if (form_.is_long) {
      // The result of chunk c joins lane c mod 64; the others join what changes nothing.
      sums = k_.loop(0, n(), tile::kReduceChunk, starts,
                     [&](const Tile& begin, const std::vector<Tile>& so_far) {
                       const std::vector<Tile> chunk =
                           walk(begin, minimum(begin + tile::kReduceChunk, n()));
                       const Tile here = lane() == begin / tile::kReduceChunk % tile::kReduceLanes;
                       std::vector<Tile> next;
                       for (size_t i = 0; i < nodes.size(); ++i)
                         next.push_back(combined(
                             kinds[i], so_far[i],
                             where(here, reduce(kinds[i], chunk[i], 0), nothing(kinds[i]))));
                       return next;
                     });
    } else if (form_.is_one_block) {
      sums = w_.in_loop([&] {
        const Tile inside = set_block(k_.constant(0, DType::i64));
        std::vector<Tile> values;
        for (size_t i = 0; i < nodes.size(); ++i)
          values.push_back(where(inside, tile::widen(w_.operand(*nodes[i], 0)), nothing(kinds[i])));
        return values;
      });
    } else {
      sums = walk(k_.constant(0, DType::i64), n());
    }
    for (size_t i = 0; i < nodes.size(); ++i)
      w_.set_value(*nodes[i], tile::narrow(reduce(kinds[i], sums[i], 0), nodes[i]->output().dtype));
  }

  GroupWriter& w_;
  tile::Builder& k_;
  const GroupForm form_;
  int along_;
  std::vector<int> outer_;  // axes along which a program stands at one place
  Tile column_inside_;
  NodeMap<bool> inside_;
  NodeMap<int> stages_;
};

}  // namespace

void write_reduction(GroupWriter& writer, const GroupForm& form) { Writer(writer, form).write(); }

GroupForm reduction_form(const GroupBinding& binding, std::span<const int64_t> sizes) {
  const auto along = static_cast<size_t>(binding.reduced);
  const int64_t n = sizes[along];
  GroupForm form{n > tile::kReduceChunk, tile::kReduceLanes, kColumns};
  if (along + 1 == sizes.size()) return form;
  form.lanes = power_of_two(n, 1, tile::kReduceLanes);
  form.is_one_block = n <= form.lanes;
  form.columns = power_of_two(sizes.back(), 16, kColumns);
  return form;
}

// Lanes belong to the order of a sum; columns do not.
void reduction_forms(const GroupBinding& binding, const GroupForm& usual,
                     std::span<const int64_t> sizes, const AddForm& add) {
  if (static_cast<size_t>(binding.reduced) + 1 == sizes.size()) return;
  for (const int64_t columns : {16, 32, 64, 128}) {
    GroupForm form = usual;
    form.columns = columns;
    if (columns < 2 * sizes.back()) add(form);
  }
}

GroupWork reduction_work(const GroupBinding& binding, const GroupForm& form,
                         std::span<const int64_t> sizes) {
  const size_t along = static_cast<size_t>(binding.reduced), last = sizes.size() - 1;
  int64_t programs = 1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (i == along) continue;
    programs *= i == last ? (sizes[i] + form.columns - 1) / form.columns : sizes[i];
  }
  return {programs, along == last ? sizes[along] : sizes[along] * form.columns};
}

}  // namespace cairn::detail
