#include "cairn/runtime/plan.h"

#include <algorithm>
#include <unordered_map>

#include "cairn/graph/compare.h"
#include "cairn/graph/numbering.h"
#include "cairn/runtime/memory_planner.h"
#include "cairn/runtime/planning.h"

namespace cairn {
namespace {

bool is_expanded(const Node& node, const Backend& backend) {
  return node.op() == Op::custom && !backend.has_kernel(node);
}

bool has_expanded(const Graph& graph, const Backend& backend) {
  for (const Node* node : topological_order(graph.outputs)) {
    if (is_expanded(*node, backend)) return true;
    if (node->op() == Op::custom) continue;
    for (const Graph* region : regions_of(*node))
      if (has_expanded(*region, backend)) return true;
  }
  return false;
}

// Custom operations that the backend has no kernel for replaced by their fallbacks, within
// fallbacks and regions too.
Graph expand_custom(const Graph& graph, const Backend& backend) {
  if (!has_expanded(graph, backend)) return graph;
  const auto expand = [&](const Graph& inside) { return expand_custom(inside, backend); };
  return rebuild(
      graph, [&](Graph&, const Node& node, std::span<const Tensor> inputs) -> std::vector<Tensor> {
        if (is_expanded(node, backend))
          return call(expand(*node.attrs().graph(Attr::body)), inputs);
        if (!owns_regions(node.op()) || node.op() == Op::custom) return {};
        return rebuild_with_regions(node, inputs, expand);
      });
}

class Planner {
 public:
  Planner(const Graph& graph, const Backend& backend, const PlanOptions& options)
      : backend_(backend), options_(options), plan_(std::make_shared<Plan>()) {
    // A region is part of a graph that went through this.
    plan_->graph = options.region ? graph : detail::prepared(graph, backend);
  }

  std::shared_ptr<Plan> run() {
    const Graph& graph = plan_->graph;
    for (size_t i = 0; i < graph.inputs.size(); ++i) {
      buffer_of_[graph.inputs[i]] = add(
          {PlanBuffer::Kind::argument, static_cast<int64_t>(i), graph.inputs[i].type().bytes()});
      plan_->arguments.push_back(buffer_of_[graph.inputs[i]]);
      plan_->argument_bytes += round_up_to_alignment(graph.inputs[i].type().bytes());
    }
    for (const auto& [argument, result] : detail::pair_donations(graph, options_.donated))
      overwrites_.emplace_back(graph.inputs[argument], root_of(graph.outputs[result]));
    schedule_ = make_schedule(graph, overwrites_);
    drop_unsafe_overwrites();
    backend_.fuse(graph, overwrites_, schedule_, options_.eager);
    place_results();
    make_launches();
    detail::place_arena(*plan_);
    if (!options_.eager) detail::find_together(*plan_);
    return plan_;
  }

 private:
  int add(PlanBuffer buffer) {
    plan_->buffers.push_back(buffer);
    return static_cast<int>(plan_->buffers.size()) - 1;
  }

  // A node that reads the argument and writes the result must be able to do so in place.
  void drop_unsafe_overwrites() {
    std::erase_if(overwrites_, [](const auto& pair) {
      const Node& writer = pair.second.node();
      for (size_t i = 0; i < writer.inputs().size(); ++i)
        if (same(root_of(writer.input(static_cast<int>(i))), pair.first) &&
            !may_overwrite(writer, static_cast<int>(i), pair.second.output()))
          return true;
      return false;
    });
  }

  void place_results() {
    const Graph& graph = plan_->graph;
    for (size_t j = 0; j < graph.outputs.size(); ++j) {
      const Tensor root = root_of(graph.outputs[j]);
      const auto found = buffer_of_.find(root);
      if (found != buffer_of_.end() && !options_.region) {
        plan_->results.push_back(found->second);
        plan_->donor.push_back(-1);
        continue;
      }
      const int buffer =
          add({PlanBuffer::Kind::result, static_cast<int64_t>(j), root.type().bytes()});
      plan_->results.push_back(buffer);
      plan_->donor.push_back(-1);
      if (found != buffer_of_.end()) {
        copies_.emplace_back(found->second, buffer);
        plan_->result_bytes += round_up_to_alignment(root.type().bytes());
        continue;
      }
      buffer_of_[root] = buffer;
      for (const auto& [argument, result] : overwrites_)
        if (same(result, root))
          for (size_t i = 0; i < graph.inputs.size(); ++i)
            if (same(graph.inputs[i], argument)) plan_->donor.back() = static_cast<int>(i);
      if (plan_->donor.back() < 0)
        plan_->result_bytes += round_up_to_alignment(root.type().bytes());
    }
  }

  int buffer_for(const Tensor& t) {
    const Tensor root = root_of(t);
    const auto [at, fresh] = buffer_of_.try_emplace(root, -1);
    CAIRN_ASSERT(!fresh || !is_given(root.node()));  // regions close over nothing
    if (fresh) at->second = add({PlanBuffer::Kind::arena, 0, root.type().bytes()});
    return at->second;
  }

  void make_launches() {
    for (const LaunchGroup& group : schedule_.launches) {
      const Op op = group.node().op();
      Launch launch;
      launch.group = group;
      for (const Tensor& t : group.inputs) launch.inputs.push_back(buffer_for(t));
      for (const Tensor& t : group.outputs) launch.outputs.push_back(buffer_for(t));
      if (op == Op::loop) {
        launch.kind = Launch::Kind::loop;
        add_region(launch, Attr::body);
      } else if (op == Op::cond) {
        launch.kind = Launch::Kind::cond;
        add_region(launch, Attr::then);
        add_region(launch, Attr::otherwise);
      } else {
        launch.code = backend_.code(group);
      }
      if (const size_t bytes = workspace_bytes(launch, backend_))
        launch.workspace = add({PlanBuffer::Kind::arena, 0, bytes});
      if (launch.kind == Launch::Kind::loop && !options_.eager)
        detail::set_loop_code(launch, backend_);
      plan_->launches.push_back(std::move(launch));
    }
    for (const auto& [from, to] : copies_) {
      Launch launch;
      launch.kind = Launch::Kind::copy;
      launch.inputs = {from};
      launch.outputs = {to};
      plan_->launches.push_back(std::move(launch));
    }
  }

  void add_region(Launch& launch, Attr attr) {
    PlanOptions options;
    options.region = true;
    options.eager = options_.eager;
    launch.regions.push_back(make_plan(*launch.node()->attrs().graph(attr), backend_, options));
  }

  const Backend& backend_;
  const PlanOptions& options_;
  std::shared_ptr<Plan> plan_;
  Schedule schedule_;
  TensorMap<int> buffer_of_;
  std::vector<std::pair<Tensor, Tensor>> overwrites_;  // donated argument, result in its memory
  std::vector<std::pair<int, int>> copies_;            // buffers, for results that are given values
};

}  // namespace

namespace detail {

Graph close(std::span<const Tensor> outputs, const Numbering& numbering) {
  Graph graph{"", {}, {outputs.begin(), outputs.end()}, {}};
  for (const Node* leaf : numbering.leaves)
    if (leaf->op() == Op::input) graph.inputs.emplace_back(const_cast<Node*>(leaf), 0);
  const bool has_leaves = graph.inputs.size() < numbering.leaves.size();
  graph = without_leaves(graph);
  if (!has_leaves) return graph;
  graph.inputs.clear();
  for (const Node* input : number_nodes(graph.outputs).leaves)
    graph.inputs.emplace_back(const_cast<Node*>(input), 0);
  return graph;
}

Graph prepared(const Graph& graph, const Backend& backend) {
  // What the backend puts in the place of other operations may have no kernel either.
  return expand_custom(backend.prepare(expand_custom(without_leaves(graph), backend)), backend);
}

void set_loop_code(Launch& loop, const Backend& backend) {
  LoopCode made = backend.loop_code(loop);
  loop.code = std::move(made.code);
  if (!made.note.empty()) loop.group.notes = {std::move(made.note)};
}

std::vector<std::pair<size_t, size_t>> pair_donations(const Graph& graph,
                                                      const std::vector<bool>& donated) {
  std::vector<std::pair<size_t, size_t>> pairs;
  if (std::find(donated.begin(), donated.end(), true) == donated.end()) return pairs;
  // Free results by a hash of their type, in order; of results in one memory the first.
  std::unordered_map<size_t, std::vector<size_t>> free;
  std::vector<Tensor> roots;
  TensorMap<bool> seen;
  const auto key = [](const TensorType& type) {
    size_t hash = static_cast<size_t>(type.dtype);
    for (const int64_t size : type.shape) hash = hash * 1'000'003 + static_cast<size_t>(size);
    return hash;
  };
  for (size_t j = 0; j < graph.outputs.size(); ++j) {
    roots.push_back(root_of(graph.outputs[j]));
    if (seen.emplace(roots[j], true).second && !is_given(roots[j].node()))
      free[key(graph.outputs[j].type())].push_back(j);
  }
  for (size_t i = 0; i < donated.size(); ++i) {
    const Tensor& argument = graph.inputs[i];
    if (!donated[i] || seen.contains(argument)) continue;
    const auto found = free.find(key(argument.type()));
    if (found == free.end()) continue;
    std::vector<size_t>& results = found->second;
    const auto fits = std::find_if(results.begin(), results.end(), [&](size_t j) {
      return graph.outputs[j].dtype() == argument.dtype() &&
             graph.outputs[j].shape() == argument.shape();
    });
    if (fits == results.end()) continue;
    pairs.emplace_back(i, *fits);
    results.erase(fits);
  }
  return pairs;
}

void place_arena(Plan& plan) {
  ArenaPlanner arena(plan.buffers.size());
  for (size_t at = 0; at < plan.launches.size(); ++at) {
    const Launch& launch = plan.launches[at];
    for (int b : launch.inputs) arena.use(b, static_cast<int>(at));
    for (int b : launch.outputs) arena.use(b, static_cast<int>(at));
    if (launch.workspace >= 0) arena.use(launch.workspace, static_cast<int>(at));
  }
  for (size_t b = 0; b < plan.buffers.size(); ++b)
    if (plan.buffers[b].kind == PlanBuffer::Kind::arena)
      arena.require(static_cast<int>(b), plan.buffers[b].bytes);
  for (size_t at = 0; at < plan.launches.size(); ++at) {
    const Launch& launch = plan.launches[at];
    int in_place = -1;
    if (launch.node() && launch.outputs.size() == 1)
      for (size_t i = 0; i < launch.inputs.size() && in_place < 0; ++i)
        if (arena.dies_at(launch.inputs[i], static_cast<int>(at)) &&
            may_overwrite(launch.group, static_cast<int>(i)))
          in_place = launch.inputs[i];
    arena.step(static_cast<int>(at), launch.outputs, launch.workspace, in_place);
  }
  for (size_t b = 0; b < plan.buffers.size(); ++b)
    if (plan.buffers[b].kind == PlanBuffer::Kind::arena)
      plan.buffers[b].index = arena.offset(static_cast<int>(b));
  plan.arena_bytes = arena.bytes();
}

}  // namespace detail

size_t workspace_bytes(const Launch& launch, const Backend& backend) {
  switch (launch.kind) {
    case Launch::Kind::kernel: return backend.workspace_bytes(launch.group);
    case Launch::Kind::copy: return 0;
    case Launch::Kind::cond:
      return std::max(launch.regions[0]->arena_bytes, launch.regions[1]->arena_bytes);
    case Launch::Kind::loop: break;
  }
  size_t bytes = kBufferAlignment + launch.regions[0]->arena_bytes;
  for (int64_t i = 0; i < launch.node()->attrs().integer(Attr::carried); ++i)
    bytes += round_up_to_alignment(launch.node()->output(static_cast<int>(i)).bytes());
  return bytes;
}

Graph without_leaves(const Graph& graph) {
  const auto order = topological_order(graph.outputs);
  if (std::none_of(order.begin(), order.end(),
                   [](const Node* node) { return node->op() == Op::leaf; }))
    return graph;
  return rebuild(
      graph, [](Graph& result, const Node& node, std::span<const Tensor>) -> std::vector<Tensor> {
        if (node.op() != Op::leaf) return {};
        result.inputs.push_back(Tensor::input(node.output(), node.name()));
        return {result.inputs.back()};
      });
}

std::vector<Tensor> leaves_of(const Graph& graph) {
  std::vector<Tensor> leaves;
  for (const Node* node : topological_order(graph.outputs))
    if (node->op() == Op::leaf) leaves.emplace_back(const_cast<Node*>(node), 0);
  return leaves;
}

std::shared_ptr<Plan> make_plan(const Graph& graph, const Backend& backend,
                                const PlanOptions& options) {
  return Planner(graph, backend, options).run();
}

namespace {

bool same_launch(const Launch& a, const Launch& b) {
  if (a.kind != b.kind || a.inputs != b.inputs || a.outputs != b.outputs ||
      a.workspace != b.workspace || a.regions.size() != b.regions.size() ||
      (a.kind == Launch::Kind::kernel && a.code.run != b.code.run))
    return false;
  for (size_t i = 0; i < a.regions.size(); ++i)
    if (!same_plan(*a.regions[i], *b.regions[i])) return false;
  return true;
}

}  // namespace

bool same_plan(const Plan& a, const Plan& b) {
  if (!same_graph(a.graph, b.graph) || a.launches.size() != b.launches.size() ||
      a.arguments != b.arguments || a.results != b.results || a.donor != b.donor ||
      a.arena_bytes != b.arena_bytes || a.argument_bytes != b.argument_bytes ||
      a.result_bytes != b.result_bytes)
    return false;
  const auto same_buffer = [](const PlanBuffer& x, const PlanBuffer& y) {
    return x.kind == y.kind && x.index == y.index && x.bytes == y.bytes;
  };
  if (!std::equal(a.buffers.begin(), a.buffers.end(), b.buffers.begin(), b.buffers.end(),
                  same_buffer))
    return false;
  const Numbering numbers_a = number_nodes(a.graph);
  const Numbering numbers_b = number_nodes(b.graph);
  for (size_t i = 0; i < a.launches.size(); ++i) {
    const bool same_nodes = std::ranges::equal(
        a.launches[i].group.nodes, b.launches[i].group.nodes,
        [&](const Node* x, const Node* y) { return numbers_a.of(x) == numbers_b.of(y); });
    if (!same_nodes || !same_launch(a.launches[i], b.launches[i])) return false;
  }
  return true;
}

}  // namespace cairn
