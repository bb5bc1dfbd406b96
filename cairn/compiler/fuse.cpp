#include "cairn/compiler/fuse.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <set>

#include "cairn/compiler/pointwise.h"
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
    pointwise_.resize(nodes_.size());
    before_.resize(nodes_.size());
    after_.resize(nodes_.size());
    notes_.resize(nodes_.size());
    for (size_t i = 0; i < nodes_.size(); ++i) pointwise_[i] = is_pointwise(*nodes_[i]);
    for (size_t i = 0; i < nodes_.size(); ++i) find_reads(static_cast<int>(i));
    for (const auto& [argument, result] : overwrites) order_readers(argument, result);
  }

  Schedule run() {
    if (!options_.eager)
      for (size_t i = 0; i < nodes_.size(); ++i)
        if (joins(static_cast<int>(i))) join(static_cast<int>(i));
    return finish();
  }

 private:
  bool joins(int i) const {
    return pointwise_[static_cast<size_t>(i)] && !is_inlined(*nodes_[static_cast<size_t>(i)]);
  }

  // What node i reads when it computes the constants and broadcasts among its operands itself: the
  // roots of the values, and the inlined nodes in between.
  struct Reads {
    std::vector<Tensor> roots;
    std::vector<int> inlined;  // operands first
  };

  void find_reads(int i) {
    Reads& reads = reads_.emplace_back();
    const Node& node = *nodes_[static_cast<size_t>(i)];
    for (const Tensor& t : node.inputs()) follow(t, i, reads);
    for (const Tensor& root : reads.roots)
      if (const int* from = place_.find(root.node_pointer())) add_edge(*from, i);
  }
  void follow(const Tensor& t, int reader, Reads& reads) {
    const Tensor root = root_of(t);
    const int* place = place_.find(root.node_pointer());
    if (place && !options_.eager && joins(reader) && may_inline(*place, t)) {
      if (std::find(reads.inlined.begin(), reads.inlined.end(), *place) != reads.inlined.end())
        return;
      const Node& inlined = root.node();
      for (const Tensor& operand : inlined.inputs()) follow(operand, reader, reads);
      reads.inlined.push_back(*place);
      return;
    }
    reads.roots.push_back(root);
  }
  // A broadcast that is read under another shape than its own keeps its launch, as does one of a
  // value that pointwise nodes do not read.
  bool may_inline(int place, const Tensor& seen) const {
    const Node& node = *nodes_[static_cast<size_t>(place)];
    return pointwise_[static_cast<size_t>(place)] && is_inlined(node) &&
           squeezed(seen.shape()) == squeezed(node.output().shape);
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
      if (i == writer || !reads_argument(reads, argument)) continue;
      if (i < writer) {
        add_edge(i, writer);
        continue;
      }
      // Read what the schedule has computed before.
      for (const int inlined : reads.inlined) add_edge(inlined, i);
      reads = {};
      for (const Tensor& t : nodes_[static_cast<size_t>(i)]->inputs())
        reads.roots.push_back(root_of(t));
    }
  }
  static bool reads_argument(const Reads& reads, const Tensor& argument) {
    return std::any_of(reads.roots.begin(), reads.roots.end(),
                       [&](const Tensor& root) { return same(root, argument); });
  }

  // --- merging
  // ------------------------------------------------------------------------------------

  const Shape& shape(int i) const { return nodes_[static_cast<size_t>(i)]->output().shape; }

  void join(int i) {
    for (const Tensor& t : nodes_[static_cast<size_t>(i)]->inputs()) {
      const int* from = place_.find(root_of(t).node_pointer());
      if (!from || !joins(*from)) continue;
      const int a = groups_.find(*from);
      const int b = groups_.find(i);
      if (a == b) continue;
      const std::string_view problem = obstacle(a, b, t, shape(*from), shape(i));
      if (problem.empty()) {
        groups_.merge(a, b);
      } else {
        notes_[static_cast<size_t>(i)].push_back(
            fmt::format("{} is not in one launch with its operand {}: {}",
                        nodes_[static_cast<size_t>(i)]->info().name,
                        nodes_[static_cast<size_t>(*from)]->info().name, problem));
      }
    }
  }
  // Why two groups cannot be one; empty when they can.
  std::string_view obstacle(int a, int b, const Tensor& read, const Shape& from, const Shape& to) {
    if (squeezed(from) != squeezed(to)) return "they run over different shapes";
    if (squeezed(read.shape()) != squeezed(from)) return "it is read under another shape";
    if (is_too_large(a, b)) return "together they are too large";
    if (has_path_around(a, b)) return "something else must run in between";
    return {};
  }
  bool is_too_large(int a, int b) {
    size_t nodes = 0;
    std::set<const Node*> buffers;  // that are read from outside
    for (const int group : {a, b})
      for (const int i : groups_.members(group)) {
        nodes += 1 + reads_[static_cast<size_t>(i)].inlined.size();
        for (const Tensor& root : reads_[static_cast<size_t>(i)].roots) {
          const int* place = place_.find(root.node_pointer());
          const int from = place ? groups_.find(*place) : -1;
          if (from != a && from != b) buffers.insert(root.node_pointer());
        }
      }
    return nodes > static_cast<size_t>(options_.max_nodes) ||
           buffers.size() > static_cast<size_t>(options_.max_buffers);
  }
  // Whether something outside of both groups lies between them, either way. Edges of the schedule
  // lead forward, so what stands before the first node of both is on no such path.
  bool has_path_around(int a, int b) {
    const int first = std::min(groups_.members(a)[0], groups_.members(b)[0]);
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
          if (groups_.members(g).back() < first) continue;
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
  // Beyond so many groups between two, fusing them is not worth the search.
  static constexpr size_t kMaxSearch = 2000;

  // --- the new schedule
  // ---------------------------------------------------------------------------

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
      for (const Tensor& root : reads_[i].roots) need(root);
      for (const int inlined : reads_[i].inlined) computed[static_cast<size_t>(inlined)] = true;
    }
  }
  // A constant or broadcast that all its readers compute for themselves.
  bool is_dropped(int i) const {
    return pointwise_[static_cast<size_t>(i)] && is_inlined(*nodes_[static_cast<size_t>(i)]) &&
           !needed_[static_cast<size_t>(i)];
  }
  LaunchGroup launch(int group) {
    const std::vector<int>& members = groups_.members(group);
    if (!pointwise_[static_cast<size_t>(members[0])])
      return group_of(*nodes_[static_cast<size_t>(members[0])]);
    std::vector<const Node*> nodes;
    std::vector<Tensor> outputs;
    NodeMap<bool> added;
    for (const int i : members) {
      for (const int inlined : reads_[static_cast<size_t>(i)].inlined)
        if (added.insert(nodes_[static_cast<size_t>(inlined)]).second)
          nodes.push_back(nodes_[static_cast<size_t>(inlined)]);
      nodes.push_back(nodes_[static_cast<size_t>(i)]);
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
    const Node* node = nodes_[static_cast<size_t>(i)];
    for (const Tensor& t : graph_.outputs)
      if (root_of(t).node_pointer() == node) return true;
    for (const int reader : after_[static_cast<size_t>(i)])
      if (groups_.find(reader) != group) {
        const auto& roots = reads_[static_cast<size_t>(reader)].roots;
        if (std::any_of(roots.begin(), roots.end(),
                        [&](const Tensor& t) { return t.node_pointer() == node; }))
          return true;
      }
    return false;
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
  std::vector<bool> pointwise_;
  std::vector<Reads> reads_;
  std::vector<std::vector<int>> before_, after_;
  std::vector<std::vector<std::string>> notes_;
  std::vector<bool> needed_;  // whose results are read from memory
  Groups groups_;
};

}  // namespace

void fuse(const Graph& graph, std::span<const std::pair<Tensor, Tensor>> overwrites,
          Schedule& schedule, const FuseOptions& options) {
  schedule = Fuser(graph, overwrites, schedule, options).run();
}

}  // namespace cairn
