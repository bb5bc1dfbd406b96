#include "cairn/compiler/fuse.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <queue>
#include <set>

#include "cairn/compiler/group_domain.h"
#include "cairn/compiler/launch_groups.h"
#include "cairn/compiler/node_reads.h"

namespace cairn {
namespace {

class Fuser {
 public:
  Fuser(const Graph& graph, std::span<const std::pair<Tensor, Tensor>> overwrites,
        const Schedule& schedule, const FuseOptions& options)
      : graph_(graph), options_(options), nodes_(schedule), groups_(nodes_.size()) {
    before_.resize(nodes_.size());
    after_.resize(nodes_.size());
    notes_.resize(nodes_.size());
    is_result_.resize(nodes_.size());
    overwritten_.resize(nodes_.size());
    again_.resize(nodes_.size());
    for (const Tensor& t : graph_.outputs)
      if (const int place = nodes_.place_of(root_of(t)); place >= 0)
        is_result_[static_cast<size_t>(place)] = true;
    for (int i = 0; i < size(); ++i) {
      domains_.push_back(domain_of(node(i)));
      reads_.push_back(options_.eager ? reads_from_memory(node(i)) : reads_of(nodes_, i));
      for (const Use& use : reads(i).uses)
        if (const int from = place_of(use); from >= 0) add_edge(from, i);
    }
    for (const auto& [argument, result] : overwrites) {
      overwritten_[static_cast<size_t>(nodes_.place_of(result))] = argument;
      order_readers(argument, result);
    }
  }

  Schedule run() {
    if (!options_.eager) {
      for (int i = 0; i < size(); ++i)
        if (nodes_.class_at(i) == NodeClass::reduction) claim_operands(i);
      for (int i = 0; i < size(); ++i)
        if (nodes_.joins(i)) join(i);
      for (int i = size(); i-- > 0;) compute_again(i);
    }
    return finish();
  }

 private:
  int size() const { return static_cast<int>(nodes_.size()); }
  const Node& node(int i) const { return nodes_.node(i); }
  const Reads& reads(int i) const { return reads_[static_cast<size_t>(i)]; }
  int place_of(const Use& use) const { return nodes_.place_of(use.root); }
  Domain& domain(int group) { return domains_[static_cast<size_t>(group)]; }

  // --- order

  void add_edge(int from, int to) {
    if (from == to) return;
    before_[static_cast<size_t>(to)].push_back(from);
    after_[static_cast<size_t>(from)].push_back(to);
  }
  // Readers of the argument come before the node that writes over it. In the schedule they do; with
  // broadcasts inlined a later node may read it, which then reads the broadcast's result as before.
  void order_readers(const Tensor& argument, const Tensor& result) {
    const int writer = nodes_.place_of(result);
    for (int i = 0; i < size(); ++i) {
      Reads& reads = reads_[static_cast<size_t>(i)];
      if (!reads_argument(reads, argument)) continue;
      if (i < writer) {
        add_edge(i, writer);
        continue;
      }
      if (i == writer &&
          (!nodes_.joins(i) || reads_in_place(i, i, argument, domains_[static_cast<size_t>(i)])))
        continue;
      // Read what the schedule has computed before.
      for (const int inlined : reads.inlined) add_edge(inlined, i);
      reads = reads_from_memory(node(i));
    }
  }
  static bool reads_argument(const Reads& reads, const Tensor& argument) {
    return std::ranges::any_of(reads.uses,
                               [&](const Use& use) { return same(use.root, argument); });
  }

  // --- merging

  void join(int i) {
    for (const Use& use : reads(i).uses) {
      const int from = place_of(use);
      if (from < 0 || !nodes_.joins(from)) continue;
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
    if (!use.axes || to == Part::lhs || to == Part::rhs || node(reader).op() == Op::pad)
      return false;
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
    if (node(reader).op() == Op::pad) return false;
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
            nodes_.class_at(i) == NodeClass::pointwise)
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
        if (from < 0 || nodes_.class_at(from) != NodeClass::pointwise ||
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
             const bool is_inlined =
                 nodes_.is_indexing(reader) && after_[at].empty() && !is_result_[at];
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

  // --- what readers compute again

  // A value that is a few operations on others that its readers read anyway is not worth a write
  // and a read of memory: of gelu and its gradient four values are kept for the way back without
  // this, and with it one (a layer of 1024 x 384 x 1536, two threads: 12.2 and 7.0 ms, and 6.9
  // and 6.8). Nor is one that is made of a single other that is in memory anyway: of a gradient's
  // squares the sum reads the gradient instead.
  void compute_again(int i) {
    if (nodes_.class_at(i) != NodeClass::pointwise || is_result_[static_cast<size_t>(i)]) return;
    std::vector<std::pair<int, std::vector<int>>> found;  // group, what it takes
    for (const int reader : after_[static_cast<size_t>(i)]) {
      const int group = groups_.find(reader);
      if (is_computed_in(i, group) || !reads_from(reader, i)) continue;
      if (std::ranges::any_of(found, [&](const auto& f) { return f.first == group; })) continue;
      std::vector<int> taken;
      int operations = 0;
      if (!may_compute(i, group, taken, operations)) return;
      found.emplace_back(group, std::move(taken));
    }
    for (const auto& [group, taken] : found) {
      std::vector<int>& again = again_[static_cast<size_t>(group)];
      again.insert(again.end(), taken.begin(), taken.end());
      std::ranges::sort(again);
    }
  }
  // A function is some 25 operations (GroupBinding::cost).
  static constexpr int kMaxOperationsAgain = 40;

  bool is_again_in(int i, int group) const {
    return std::ranges::binary_search(again_[static_cast<size_t>(group)], i);
  }
  bool is_computed_in(int i, int group) {
    return groups_.find(i) == group || is_again_in(i, group);
  }
  bool reads_from(int reader, int i) const {
    return std::ranges::any_of(reads(reader).uses,
                               [&](const Use& use) { return place_of(use) == i; });
  }
  bool any_in(int group, const auto& holds) {
    return std::ranges::any_of(groups_.members(group), holds) ||
           std::ranges::any_of(again_[static_cast<size_t>(group)], holds);
  }
  // Whether the group can compute the node from what it has and reads; `taken` gets the nodes for
  // that which it does not have yet.
  bool may_compute(int i, int group, std::vector<int>& taken, int& operations) {
    if (nodes_.class_at(i) != NodeClass::pointwise || node(i).op() == Op::pad) return false;
    if (!nodes_.joins(groups_.members(group)[0]) || reads(i).is_strided) return false;
    const Domain& space = domain(group);
    const Domain own = domain_of(node(i));
    const std::optional<Domain> joined = join_domains(own, space);
    if (!joined || *joined != space || (own != space && !walks_joined(i, space))) return false;
    if (squeezed(node(i).output().shape).elements() != space.whole().elements()) return false;
    const auto misreads = [&](int reader) {
      return std::ranges::any_of(reads(reader).uses, [&](const Use& use) {
        return place_of(use) == i && !is_read_in_place(i, use, reader, space);
      });
    };
    if (any_in(group, misreads) || std::ranges::any_of(taken, misreads)) return false;
    operations += is_transcendental(node(i).op()) ? 25 : 1;
    if (operations > kMaxOperationsAgain) return false;
    for (const int inlined : reads(i).inlined)
      if (any_in(group, [&](int reader) { return reads_from(reader, inlined); })) return false;
    taken.push_back(i);
    if (groups_.members(group).size() + again_[static_cast<size_t>(group)].size() + taken.size() >
        static_cast<size_t>(options_.max_nodes))
      return false;
    for (const Use& use : reads(i).uses) {
      if (is_overwritten(use.root)) return false;
      const int from = place_of(use);
      const bool is_read = any_in(group, [&](int reader) {
        return std::ranges::any_of(reads(reader).uses,
                                   [&](const Use& u) { return same(u.root, use.root); });
      });
      if (from < 0 && !is_read) return false;
      if (from < 0) continue;
      const bool is_ours =
          is_computed_in(from, group) || std::ranges::find(taken, from) != taken.end();
      if (is_ours ? !is_read_in_place(from, use, i, space)
                  : !is_read && !(taken[0] == i && is_read_instead(i, use, space)) &&
                        !may_compute(from, group, taken, operations))
        return false;
    }
    return true;
  }
  // Whether a simple node reads but one value, as large as its own, which others read from memory,
  // too.
  bool is_read_instead(int i, const Use& use, const Domain& space) {
    const int from = place_of(use);
    if (is_transcendental(node(i).op()) || use.root.type() != node(i).output() ||
        !is_read_in_place(from, use, i, space) ||
        std::ranges::any_of(reads(i).uses, [&](const Use& u) { return !same(u.root, use.root); }))
      return false;
    const std::vector<int>& readers = after_[static_cast<size_t>(from)];
    return is_result_[static_cast<size_t>(from)] || std::ranges::any_of(readers, [&](int reader) {
             return reader != i && reads_from(reader, from) &&
                    !is_computed_in(from, groups_.find(reader));
           });
  }
  bool is_overwritten(const Tensor& argument) const {
    return std::ranges::any_of(overwritten_,
                               [&](const Tensor& t) { return t.defined() && same(t, argument); });
  }

  // --- the new schedule

  Schedule finish() {
    find_needed();
    Schedule schedule;
    for (const int group : order())
      if (std::ranges::any_of(groups_.members(group), [&](int i) { return is_needed(i); }))
        schedule.launches.push_back(launch(group));
    return schedule;
  }
  // Readers come after what they read, so one walk from the end finds what launches compute and
  // what they write to memory.
  void find_needed() {
    needed_ = stored_ = is_result_;
    std::vector<std::vector<int>> again_in(nodes_.size());  // groups
    for (int group = 0; group < size(); ++group)
      for (const int i : again_[static_cast<size_t>(group)])
        again_in[static_cast<size_t>(i)].push_back(group);
    std::vector<bool> computed(nodes_.size());  // by a reader, for itself
    const auto compute = [&](int reader, int group) {
      for (const int inlined : reads(reader).inlined) computed[static_cast<size_t>(inlined)] = true;
      for (const Use& use : reads(reader).uses) {
        const int from = place_of(use);
        if (from < 0 || is_again_in(from, group)) continue;
        needed_[static_cast<size_t>(from)] = true;
        if (groups_.find(from) != group) stored_[static_cast<size_t>(from)] = true;
      }
    };
    for (int i = size(); i-- > 0;) {
      const auto at = static_cast<size_t>(i);
      for (const int group : again_in[at]) compute(i, group);
      // What nobody reads: an operand of a barrier of which nobody reads the result.
      if (nodes_.is_indexing(i) ? !computed[at] : again_in[at].empty()) needed_[at] = true;
      if (is_needed(i)) compute(i, groups_.find(i));
    }
  }
  // Not an indexing node that all its readers compute for themselves, nor any other.
  bool is_needed(int i) const { return needed_[static_cast<size_t>(i)]; }
  LaunchGroup launch(int group) {
    std::vector<int> members = groups_.members(group);
    if (nodes_.class_at(members[0]) == NodeClass::other) return group_of(node(members[0]));
    std::erase_if(members, [&](int i) { return !is_needed(i); });
    std::vector<int> computed = again_[static_cast<size_t>(group)];
    const auto middle = static_cast<std::ptrdiff_t>(computed.size());
    computed.insert(computed.end(), members.begin(), members.end());
    std::inplace_merge(computed.begin(), computed.begin() + middle, computed.end());
    std::vector<const Node*> nodes;
    std::vector<Tensor> outputs;
    NodeMap<bool> added;
    for (const int i : computed) {
      for (const int inlined : reads(i).inlined)
        if (added.insert(&node(inlined)).second) nodes.push_back(&node(inlined));
      nodes.push_back(&node(i));
    }
    for (const int i : members)
      if (stored_[static_cast<size_t>(i)]) outputs.emplace_back(const_cast<Node*>(&node(i)), 0);
    // An operand of a barrier of which nobody reads the result.
    if (outputs.empty()) outputs.emplace_back(const_cast<Node*>(nodes.back()), 0);
    LaunchGroup result = fused_group(std::move(nodes), std::move(outputs));
    for (const int i : members) {
      const std::vector<std::string>& notes = notes_[static_cast<size_t>(i)];
      result.notes.insert(result.notes.end(), notes.begin(), notes.end());
    }
    return result;
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
  ScheduledNodes nodes_;
  std::vector<Domain> domains_;  // of nodes; then of groups, by their first member
  std::vector<bool> is_result_;
  std::vector<Tensor> overwritten_;  // the argument whose memory the node's result takes
  std::vector<Reads> reads_;
  std::vector<std::vector<int>> before_, after_;
  std::vector<std::vector<std::string>> notes_;
  std::vector<std::vector<int>> again_;  // what a group computes for itself, in order
  std::vector<bool> needed_;             // what a launch of its own group computes
  std::vector<bool> stored_;             // and what that writes to memory
  LaunchGroups groups_;
  std::vector<int> joined_;  // groups of several nodes
};

}  // namespace

void fuse(const Graph& graph, std::span<const std::pair<Tensor, Tensor>> overwrites,
          Schedule& schedule, const FuseOptions& options) {
  schedule = Fuser(graph, overwrites, schedule, options).run();
}

}  // namespace cairn
