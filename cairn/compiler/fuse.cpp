#include "cairn/compiler/fuse.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <queue>
#include <set>

#include "cairn/compiler/group_domain.h"
#include "cairn/compiler/node_class.h"
#include "cairn/graph/node_map.h"

namespace cairn {
namespace {

// Launches as they are merged: a forest of sets, by place in the schedule.
class Groups {
 public:
  explicit Groups(size_t count) : parent_(count), members_(count) {
    for (size_t i = 0; i < count; ++i) {
      parent_[i] = static_cast<int>(i);
      members_[i] = {static_cast<int>(i)};
    }
  }
  int find(int i) {
    while (parent_[static_cast<size_t>(i)] != i) {
      int& above = parent_[static_cast<size_t>(i)];
      above = parent_[static_cast<size_t>(above)];
      i = above;
    }
    return i;
  }
  // The group of the lower number stays.
  void merge(int a, int b) {
    if (a > b) std::swap(a, b);
    parent_[static_cast<size_t>(b)] = a;
    auto& into = members_[static_cast<size_t>(a)];
    auto& from = members_[static_cast<size_t>(b)];
    const auto middle = static_cast<std::ptrdiff_t>(into.size());
    into.insert(into.end(), from.begin(), from.end());
    std::inplace_merge(into.begin(), into.begin() + middle, into.end());
    from.clear();
  }
  const std::vector<int>& members(int group) const { return members_[static_cast<size_t>(group)]; }

 private:
  std::vector<int> parent_;
  std::vector<std::vector<int>> members_;  // in the order of the schedule
};

class Fuser {
 public:
  Fuser(const Graph& graph, std::span<const std::pair<Tensor, Tensor>> overwrites,
        const Schedule& schedule, const FuseOptions& options)
      : graph_(graph), options_(options), groups_(schedule.launches.size()) {
    for (const LaunchGroup& launch : schedule.launches) {
      *place_.insert(&launch.node()).first = static_cast<int>(nodes_.size());
      nodes_.push_back(&launch.node());
    }
    before_.resize(nodes_.size());
    after_.resize(nodes_.size());
    notes_.resize(nodes_.size());
    for (const Node* node : nodes_) {
      classes_.push_back(class_of(*node));
      domains_.push_back(domain_of(*node));
    }
    count_readers();
    for (size_t i = 0; i < nodes_.size(); ++i) find_reads(static_cast<int>(i));
    overwritten_.resize(nodes_.size());
    for (const auto& [argument, result] : overwrites) {
      overwritten_[static_cast<size_t>(*place_.find(result.node_pointer()))] = argument;
      order_readers(argument, result);
    }
  }

  Schedule run() {
    if (!options_.eager) {
      for (size_t i = 0; i < nodes_.size(); ++i)
        if (classes_[i] == NodeClass::reduction) claim_operands(static_cast<int>(i));
      for (size_t i = 0; i < nodes_.size(); ++i)
        if (joins(static_cast<int>(i))) join(static_cast<int>(i));
    }
    return finish();
  }

 private:
  // Whether a kernel computes the node, for itself or with others.
  bool joins(int i) const {
    const NodeClass c = classes_[static_cast<size_t>(i)];
    return c != NodeClass::other && c != NodeClass::indexing;
  }
  bool is_indexing(int i) const { return classes_[static_cast<size_t>(i)] == NodeClass::indexing; }

  // --- what each node reads

  // How a node reads a value (under whatever shape, in row-major order): through its operand's
  // axes, as far as they are the value's. When it computes indexing nodes among its operands
  // itself, the value behind them.
  struct Use {
    Tensor root;
    int operand;
    // The operand's axes (without those of size 1) along which the root's lie, in their order;
    // nothing where it is read in another way.
    std::optional<std::vector<int>> axes;
  };
  struct Reads {
    std::vector<Use> uses;
    std::vector<int> inlined;  // indexing nodes that the reader computes itself, operands first
    bool is_strided = false;   // reads far apart what lies together
  };

  void count_readers() {
    readers_.resize(nodes_.size());
    is_result_.resize(nodes_.size());
    for (const Node* node : nodes_)
      for (const Tensor& t : node->inputs())
        if (const int* place = place_.find(root_of(t).node_pointer()))
          ++readers_[static_cast<size_t>(*place)];
    for (const Tensor& t : graph_.outputs)
      if (const int* place = place_.find(root_of(t).node_pointer()))
        is_result_[static_cast<size_t>(*place)] = true;
  }

  void find_reads(int i) {
    Reads reads;
    const int operands = static_cast<int>(nodes_[static_cast<size_t>(i)]->inputs().size());
    for (int o = 0; o < operands; ++o) follow(i, o, reads);
    // What it computes itself it does not read from memory too.
    if (std::ranges::any_of(reads.uses, [&](const Use& use) {
          const int* place = place_.find(use.root.node_pointer());
          return place && std::ranges::find(reads.inlined, *place) != reads.inlined.end();
        }))
      reads = from_memory(i);
    for (const Use& use : reads.uses)
      if (const int* from = place_.find(use.root.node_pointer())) add_edge(*from, i);
    reads_.push_back(std::move(reads));
  }
  Reads from_memory(int i) const {
    Reads reads;
    const Node& node = *nodes_[static_cast<size_t>(i)];
    for (int o = 0; o < static_cast<int>(node.inputs().size()); ++o)
      reads.uses.push_back(memory_use(node.input(o), o));
    return reads;
  }
  static Use memory_use(const Tensor& t, int operand) {
    return {root_of(t), operand, all_axes(squeezed(t.shape()).rank())};
  }
  static std::vector<int> all_axes(int rank) {
    std::vector<int> axes(static_cast<size_t>(rank));
    std::iota(axes.begin(), axes.end(), 0);
    return axes;
  }

  void follow(int i, int operand, Reads& reads) {
    const Tensor& t = nodes_[static_cast<size_t>(i)]->input(operand);
    const int rank = squeezed(t.shape()).rank();
    std::vector<int> passed;
    bool is_constant = false;
    const Traced traced =
        trace_indices(t, map_onto(t.shape(), all_axes(rank)), [&](const Node& node) {
          const int* place = place_.find(&node);
          if (!place || !is_indexing(*place)) return false;
          passed.push_back(*place);
          is_constant = node.inputs().empty();
          return true;
        });
    const bool is_strided = steps_far(t, traced);
    if (passed.empty() || options_.eager || !joins(i) ||
        !may_inline(i, operand, passed, is_strided)) {
      reads.uses.push_back(memory_use(t, operand));
      return;
    }
    reads.is_strided |= is_strided;
    for (size_t p = passed.size(); p-- > 0;)
      if (std::ranges::find(reads.inlined, passed[p]) == reads.inlined.end())
        reads.inlined.push_back(passed[p]);
    if (is_constant) return;
    Use use{traced.root, operand, std::vector<int>()};
    for (size_t a = 0; a < traced.axes.size(); ++a) {
      if (traced.seen[static_cast<int>(a)] == 1) continue;
      const AxisIndex& axis = traced.axes[a];
      if (axis.axis < 0 || !axis.steps.empty()) use.axes.reset();
      if (use.axes) use.axes->push_back(axis.axis);
    }
    reads.uses.push_back(std::move(use));
  }
  // Whether neighbours along the operand's last axis lie apart in memory.
  static bool steps_far(const Tensor& t, const Traced& traced) {
    const int last = squeezed(t.shape()).rank() - 1;
    for (size_t a = 0; a < traced.axes.size(); ++a)
      if (last >= 0 && traced.axes[a].axis == last)
        for (size_t behind = a + 1; behind < traced.axes.size(); ++behind)
          if (traced.seen[static_cast<int>(behind)] != 1) return true;
    return false;
  }
  // Indices cost nothing, but to read far apart what lies together does: a transposed value that
  // several nodes read is worth a launch of its own, as is one that a reduction reads, or a product
  // along its columns.
  bool may_inline(int reader, int operand, const std::vector<int>& passed, bool is_strided) const {
    const auto at = static_cast<size_t>(reader);
    const Shape& shape = nodes_[at]->input(operand).shape();
    if (classes_[at] == NodeClass::product) {
      // A product's axes of size 1 move too (map_of), which indices cannot say.
      if (shape[shape.rank() - 1] == 1 || shape[shape.rank() - 2] == 1) return false;
      return !is_strided || operand == 0;
    }
    return !is_strided ||
           (classes_[at] == NodeClass::pointwise && std::ranges::all_of(passed, [&](int place) {
              return readers_[static_cast<size_t>(place)] == 1;
            }));
  }

  void add_edge(int from, int to) {
    if (from == to) return;
    before_[static_cast<size_t>(to)].push_back(from);
    after_[static_cast<size_t>(from)].push_back(to);
  }
  // Readers of the argument come before the node that writes over it. In the schedule they do; with
  // broadcasts inlined a later node may read it, which then reads the broadcast's result as before.
  void order_readers(const Tensor& argument, const Tensor& result) {
    const int writer = *place_.find(result.node_pointer());
    for (int i = 0; i < static_cast<int>(nodes_.size()); ++i) {
      Reads& reads = reads_[static_cast<size_t>(i)];
      if (!reads_argument(reads, argument)) continue;
      if (i < writer) {
        add_edge(i, writer);
        continue;
      }
      if (i == writer &&
          (!joins(i) || reads_in_place(i, i, argument, domains_[static_cast<size_t>(i)])))
        continue;
      // Read what the schedule has computed before.
      for (const int inlined : reads.inlined) add_edge(inlined, i);
      reads = from_memory(i);
    }
  }
  static bool reads_argument(const Reads& reads, const Tensor& argument) {
    return std::ranges::any_of(reads.uses,
                               [&](const Use& use) { return same(use.root, argument); });
  }

  // --- merging

  const Node& node(int i) const { return *nodes_[static_cast<size_t>(i)]; }
  const Reads& reads(int i) const { return reads_[static_cast<size_t>(i)]; }
  Domain& domain(int group) { return domains_[static_cast<size_t>(group)]; }
  // The node of the schedule that computes what is read, -1 of an argument.
  int place_of(const Use& use) const {
    const int* place = place_.find(use.root.node_pointer());
    return place ? *place : -1;
  }

  void join(int i) {
    for (const Use& use : reads(i).uses) {
      const int from = place_of(use);
      if (from < 0 || !joins(from)) continue;
      const int a = groups_.find(from);
      const int b = groups_.find(i);
      if (a == b) continue;
      const std::string_view problem = obstacle(a, b);
      if (problem.empty()) {
        merge(a, b);
      } else {
        notes_[static_cast<size_t>(i)].push_back(
            fmt::format("{} is not in one launch with its operand {}: {}", node(i).info().name,
                        node(from).info().name, problem));
      }
    }
  }
  void merge(int a, int b) { merge(a, b, *join_domains(domain(a), domain(b))); }
  void merge(int a, int b, const Domain& joined) {
    groups_.merge(a, b);
    const int group = groups_.find(a);
    domain(group) = joined;
    if (std::ranges::find(joined_, group) == joined_.end()) joined_.push_back(group);
  }

  // The space of a kernel that computes both; none when there is no such kernel.
  static std::optional<Domain> join_domains(const Domain& a, const Domain& b) {
    const bool is_pointwise = a.kind == GroupKind::pointwise;
    if (!is_pointwise && b.kind == GroupKind::pointwise) return join_domains(b, a);
    if (is_pointwise && b.kind != GroupKind::pointwise) {
      // Down columns what is reduced joins by claim_operands().
      const bool fits = (b.kind != GroupKind::columns && joined_axes(a.shape, b.whole())) ||
                        (b.reduced >= 0 && joined_axes(a.shape, b.left()));
      return fits ? std::optional(b) : std::nullopt;
    }
    if (a.kind != b.kind || a.kind == GroupKind::product) return std::nullopt;
    if (a == b) return a;
    if (a.kind == GroupKind::columns) return std::nullopt;
    if (a.kind == GroupKind::rows && a.shape.back() != b.shape.back()) return std::nullopt;
    if (joined_axes(a.shape, b.shape)) return b;
    return joined_axes(b.shape, a.shape) ? std::optional(a) : std::nullopt;
  }

  // The axes of the domain on which the axes of a node's operand lie.
  std::vector<int> places_of(int reader, int operand, Part part, const Domain& domain) const {
    const Shape shape = squeezed(node(reader).input(operand).shape());
    return joined_axes(shape, part == Part::whole ? domain.whole() : domain.left()).value();
  }
  // Whether a kernel over the domain reads a value where it computes it, or writes over it.
  bool is_read_in_place(int from, const Use& use, int reader, const Domain& domain) const {
    const Part to = part_of_operand(node(reader), use.operand, domain);
    if (!use.axes || to == Part::lhs || to == Part::rhs) return false;
    const Part of = part_of(node(from), domain);
    if (of != to && (of != Part::left || to != Part::whole)) return false;
    std::vector<int> expected;
    const std::vector<int> places = places_of(reader, use.operand, to, domain);
    for (size_t axis = 0; axis < places.size(); ++axis)
      if (of == to || places[axis] != domain.reduced) expected.push_back(static_cast<int>(axis));
    return *use.axes == expected;
  }
  // Whether everything that a node reads walks axes that the domain has joined as one.
  bool walks_joined(int reader, const Domain& domain) const {
    for (const Use& use : reads(reader).uses) {
      const Part part = part_of_operand(node(reader), use.operand, domain);
      if (part == Part::lhs || part == Part::rhs) continue;
      const std::vector<int> places = places_of(reader, use.operand, part, domain);
      for (size_t i = 1; i < places.size(); ++i) {
        if (places[i] != places[i - 1]) continue;
        if (!use.axes) return false;
        const int second = static_cast<int>(i);
        const auto first = std::ranges::find(*use.axes, second - 1);
        const auto next = first == use.axes->end() ? first : first + 1;
        const bool both = next != use.axes->end() && *next == second;
        const bool neither =
            first == use.axes->end() && std::ranges::find(*use.axes, second) == use.axes->end();
        if (!both && !neither) return false;
      }
    }
    const auto counts = [&](int i) { return node(i).op() == Op::iota; };
    if (std::ranges::none_of(reads(reader).inlined, counts)) return true;
    const Part part = part_of(node(reader), domain);
    const std::vector<int> places = places_of(reader, 0, part, domain);
    return std::ranges::adjacent_find(places) == places.end();
  }

  // Whether the reader is done with each element of the argument when the writer's result takes its
  // place.
  bool reads_in_place(int writer, int reader, const Tensor& argument, const Domain& domain) const {
    return std::ranges::all_of(reads(reader).uses, [&](const Use& use) {
      return !same(use.root, argument) || is_read_in_place(writer, use, reader, domain);
    });
  }
  bool overwrites_in_place(int a, int b, const Domain& domain) {
    for (const int writers : {a, b})
      for (const int writer : groups_.members(writers)) {
        const auto& argument = overwritten_[static_cast<size_t>(writer)];
        if (!argument.defined()) continue;
        for (const int readers : {a, b})
          for (const int reader : groups_.members(readers))
            if (!reads_in_place(writer, reader, argument, domain)) return false;
      }
    return true;
  }

  // Why two groups cannot be one; empty when they can.
  std::string_view obstacle(int a, int b) {
    const std::optional<Domain> joined = join_domains(domain(a), domain(b));
    if (!joined) return "they run over different shapes";
    for (const auto& [from_group, to_group] : {std::pair(a, b), std::pair(b, a)})
      for (const int i : groups_.members(to_group))
        for (const Use& use : reads(i).uses) {
          const int from = place_of(use);
          if (from < 0 || groups_.find(from) != from_group) continue;
          if (!is_read_in_place(from, use, i, *joined)) return "it is read under another shape";
        }
    for (const int group : {a, b})
      for (const int i : groups_.members(group)) {
        if (domain(group) != *joined && !walks_joined(i, *joined))
          return "they run over different shapes";
        // Only a pointwise kernel has blocks for that, and a product for its first operand.
        if (joined->kind != GroupKind::pointwise && reads(i).is_strided &&
            classes_[static_cast<size_t>(i)] == NodeClass::pointwise)
          return "a transposed value is read on the way";
      }
    if (!overwrites_in_place(a, b, *joined)) return "one writes over what the other reads";
    if (is_inlined_and_read(a, b) || is_inlined_and_read(b, a))
      return "one reads from memory what the other computes for itself";
    if (is_too_large(a, b)) return "together they are too large";
    if (has_path_around(a, b)) return "something else must run in between";
    return {};
  }
  bool is_inlined_and_read(int inliner, int reader) {
    std::set<int> inlined;
    for (const int i : groups_.members(inliner))
      inlined.insert(reads(i).inlined.begin(), reads(i).inlined.end());
    return !inlined.empty() && std::ranges::any_of(groups_.members(reader), [&](int i) {
      return std::ranges::any_of(reads(i).uses,
                                 [&](const Use& use) { return inlined.contains(place_of(use)); });
    });
  }

  // Down columns a kernel computes what only it reads: there is no second walk to write it.
  void claim_operands(int reduction) {
    const Domain space = domain(reduction);
    if (space.kind != GroupKind::columns) return;
    for (std::vector<int> readers = {reduction}; !readers.empty();) {
      const int reader = readers.back();
      readers.pop_back();
      for (const Use& use : reads(reader).uses) {
        const int from = place_of(use);
        const int group = groups_.find(reduction);
        if (from < 0 || classes_[static_cast<size_t>(from)] != NodeClass::pointwise ||
            groups_.find(from) == group || domain(from).shape != space.shape ||
            groups_.members(groups_.find(from)).size() != 1 ||
            !is_read_in_place(from, use, reader, space) || is_read_elsewhere(from, group) ||
            is_inlined_and_read(from, group) || is_inlined_and_read(group, from) ||
            !overwrites_in_place(from, group, space) || is_too_large(from, group) ||
            has_path_around(from, group))
          continue;
        merge(from, group, space);
        readers.push_back(from);
      }
    }
  }
  bool is_read_elsewhere(int i, int group) {
    return is_result_[static_cast<size_t>(i)] ||
           std::ranges::any_of(after_[static_cast<size_t>(i)], [&](int reader) {
             const auto at = static_cast<size_t>(reader);
             const bool is_inlined = is_indexing(reader) && after_[at].empty() && !is_result_[at];
             return !is_inlined && groups_.find(reader) != group;
           });
  }

  bool is_too_large(int a, int b) {
    size_t nodes = 0;
    std::set<const Node*> buffers;  // that are read from outside
    for (const int group : {a, b})
      for (const int i : groups_.members(group)) {
        nodes += 1 + reads(i).inlined.size();
        for (const Use& use : reads(i).uses) {
          const int place = place_of(use);
          const int from = place >= 0 ? groups_.find(place) : -1;
          if (from != a && from != b) buffers.insert(use.root.node_pointer());
        }
      }
    return nodes > static_cast<size_t>(options_.max_nodes) ||
           buffers.size() > static_cast<size_t>(options_.max_buffers);
  }
  // Whether something outside of both groups lies between them, either way.
  bool has_path_around(int a, int b) {
    const int lowest = lowest_on_paths(a, b);
    std::vector<int> stack;
    std::vector<int> seen;
    const auto push_operands = [&](int group, bool of_ours) {
      for (const int member : groups_.members(group))
        for (const int operand : before_[static_cast<size_t>(member)]) {
          const int g = groups_.find(operand);
          if (g == a || g == b) {
            if (!of_ours) return true;
            continue;
          }
          if (groups_.members(g).back() < lowest) continue;
          if (std::find(seen.begin(), seen.end(), g) != seen.end()) continue;
          seen.push_back(g);
          stack.push_back(g);
        }
      return false;
    };
    push_operands(a, true);
    push_operands(b, true);
    while (!stack.empty()) {
      if (seen.size() > kMaxSearch) return true;
      const int g = stack.back();
      stack.pop_back();
      if (push_operands(g, false)) return true;
    }
    return false;
  }
  // Nodes before this place are on no path from one group to the other. Edges of the schedule lead
  // forward, so that would be the first place of both; but a path may also enter a group behind it
  // and leave the group before it.
  int lowest_on_paths(int a, int b) {
    int lowest = std::min(groups_.members(a)[0], groups_.members(b)[0]);
    std::erase_if(joined_, [&](int g) { return groups_.find(g) != g; });
    for (bool changed = true; changed;) {
      changed = false;
      for (const int g : joined_)
        if (g != a && g != b && g < lowest && groups_.members(g).back() >= lowest) {
          lowest = g;
          changed = true;
        }
    }
    return lowest;
  }
  // Beyond so many groups between two, fusing them is not worth the search.
  static constexpr size_t kMaxSearch = 2000;

  // --- the new schedule

  Schedule finish() {
    find_needed();
    Schedule schedule;
    for (const int group : order())
      if (!is_dropped(groups_.members(group)[0])) schedule.launches.push_back(launch(group));
    return schedule;
  }
  // Readers come after what they read, so one walk from the end finds what is read by what is
  // launched.
  void find_needed() {
    needed_.resize(nodes_.size());
    const auto need = [&](const Tensor& root) {
      if (const int* place = place_.find(root.node_pointer()))
        needed_[static_cast<size_t>(*place)] = true;
    };
    for (const Tensor& t : graph_.outputs) need(root_of(t));
    std::vector<bool> computed(nodes_.size());  // by a reader, for itself
    for (size_t i = nodes_.size(); i-- > 0;) {
      // An operand of a barrier of which nobody reads the result.
      if (is_dropped(static_cast<int>(i)) && !computed[i]) needed_[i] = true;
      if (is_dropped(static_cast<int>(i))) continue;
      for (const Use& use : reads_[i].uses) need(use.root);
      for (const int inlined : reads_[i].inlined) computed[static_cast<size_t>(inlined)] = true;
    }
  }
  // An indexing node that all its readers compute for themselves.
  bool is_dropped(int i) const { return is_indexing(i) && !needed_[static_cast<size_t>(i)]; }
  LaunchGroup launch(int group) {
    const std::vector<int>& members = groups_.members(group);
    if (classes_[static_cast<size_t>(members[0])] == NodeClass::other)
      return group_of(node(members[0]));
    std::vector<const Node*> nodes;
    std::vector<Tensor> outputs;
    NodeMap<bool> added;
    for (const int i : members) {
      for (const int inlined : reads(i).inlined)
        if (added.insert(&node(inlined)).second) nodes.push_back(&node(inlined));
      nodes.push_back(&node(i));
    }
    for (const int i : members)
      if (is_read_outside(i, group))
        outputs.emplace_back(const_cast<Node*>(nodes_[static_cast<size_t>(i)]), 0);
    // An operand of a barrier of which nobody reads the result.
    if (outputs.empty()) outputs.emplace_back(const_cast<Node*>(nodes.back()), 0);
    LaunchGroup result = fused_group(std::move(nodes), std::move(outputs));
    for (const int i : members) {
      const std::vector<std::string>& notes = notes_[static_cast<size_t>(i)];
      result.notes.insert(result.notes.end(), notes.begin(), notes.end());
    }
    return result;
  }
  bool is_read_outside(int i, int group) {
    return is_result_[static_cast<size_t>(i)] ||
           std::ranges::any_of(after_[static_cast<size_t>(i)], [&](int reader) {
             return groups_.find(reader) != group && !is_dropped(reader) &&
                    std::ranges::any_of(reads(reader).uses,
                                        [&](const Use& use) { return place_of(use) == i; });
           });
  }

  // Kahn's algorithm over the groups, earliest built first.
  std::vector<int> order() {
    const auto count = nodes_.size();
    std::vector<int> waiting(count);
    std::vector<std::vector<int>> next(count);
    for (size_t i = 0; i < count; ++i)
      for (const int operand : before_[i]) {
        const int from = groups_.find(operand);
        const int to = groups_.find(static_cast<int>(i));
        if (from == to) continue;
        next[static_cast<size_t>(from)].push_back(to);
        ++waiting[static_cast<size_t>(to)];
      }
    // By the place of the last member: a group runs when its last operand is there.
    using Entry = std::pair<int, int>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
    const auto push = [&](int group) { ready.emplace(groups_.members(group).back(), group); };
    for (size_t i = 0; i < count; ++i)
      if (groups_.find(static_cast<int>(i)) == static_cast<int>(i) && !waiting[i])
        push(static_cast<int>(i));
    std::vector<int> result;
    while (!ready.empty()) {
      const int group = ready.top().second;
      ready.pop();
      result.push_back(group);
      for (const int after : next[static_cast<size_t>(group)])
        if (--waiting[static_cast<size_t>(after)] == 0) push(after);
    }
    size_t covered = 0;
    for (const int group : result) covered += groups_.members(group).size();
    CAIRN_ASSERT(covered == count);
    return result;
  }

  const Graph& graph_;
  const FuseOptions& options_;
  std::vector<const Node*> nodes_;  // in the order of the schedule
  NodeMap<int> place_;
  std::vector<NodeClass> classes_;
  std::vector<Domain> domains_;  // of nodes; then of groups, by their first member
  std::vector<int> readers_;     // how many operands each is
  std::vector<bool> is_result_;
  std::vector<Tensor> overwritten_;  // the argument whose memory the node's result takes
  std::vector<Reads> reads_;
  std::vector<std::vector<int>> before_, after_;
  std::vector<std::vector<std::string>> notes_;
  std::vector<bool> needed_;  // whose results are read from memory
  Groups groups_;
  std::vector<int> joined_;  // groups of several nodes
};

}  // namespace

void fuse(const Graph& graph, std::span<const std::pair<Tensor, Tensor>> overwrites,
          Schedule& schedule, const FuseOptions& options) {
  schedule = Fuser(graph, overwrites, schedule, options).run();
}

}  // namespace cairn
