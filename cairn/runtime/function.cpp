// Function: traced once per types of its arguments, planned once per runtime and donation.
#include <fmt/format.h>

#include <algorithm>
#include <list>

#include "cairn/compiler/hoist.h"
#include "cairn/graph/infer.h"
#include "cairn/runtime/kept_values.h"
#include "cairn/runtime/runtime.h"
#include "cairn/transforms/simplify.h"

namespace cairn {

struct Function::State {
  TensorFunction fn;
  std::vector<std::string> names;

  struct PlanEntry {
    std::weak_ptr<const void> runtime;  // its lifetime()
    std::vector<bool> donated;
    bool eager;
    std::shared_ptr<const Plan> plan;
    // What the plan takes behind the arguments: values to be kept, then leaves.
    std::vector<Tensor> values, leaves;
    bool has_values = false;  // `values` have been computed
  };
  struct Entry {
    std::vector<TensorType> types;
    Graph traced;  // with the leaves that the function captured
    Graph graph;   // with inputs in their place
    std::vector<PlanEntry> plans;
  };
  std::mutex mutex;
  std::list<Entry> entries;
  KeptValues kept;
  int64_t traces = 0;
  std::shared_ptr<const Plan> last_plan;

  void add(std::vector<TensorType> types, Graph graph) {
    Graph closed = without_leaves(graph);
    entries.push_front({std::move(types), std::move(graph), std::move(closed), {}});
    ++traces;
  }

  // The entry for arguments of these types, or null. The caller holds the mutex.
  Entry* find(std::span<const Tensor> args) {
    for (Entry& e : entries)
      if (std::equal(e.types.begin(), e.types.end(), args.begin(), args.end(),
                     [](const TensorType& type, const Tensor& t) { return type == t.type(); }))
        return &e;
    return nullptr;
  }
  // The same; traced when there is none.
  Entry& entry(std::span<const TensorType> types) {
    for (Entry& e : entries)
      if (std::equal(e.types.begin(), e.types.end(), types.begin(), types.end())) return e;
    if (!fn) {
      std::string wanted;
      for (const TensorType& t : entries.front().types) wanted += " " + to_string(t);
      std::string given;
      for (const TensorType& t : types) given += " " + to_string(t);
      throw_error(
          fmt::format("[call] the graph takes arguments{}; these were given:{}", wanted, given));
    }
    add({types.begin(), types.end()}, trace(fn, types, names));
    return entries.front();
  }

  // What the function computes from captured leaves alone is taken out of the plan.
  PlanEntry& plan(Entry& e, Runtime& runtime, const std::vector<bool>& donated, bool eager) {
    const std::shared_ptr<const void> here = runtime.lifetime().lock();
    for (PlanEntry& p : e.plans)
      if (p.donated == donated && p.eager == eager && p.runtime.lock() == here) return p;
    std::erase_if(e.plans, [](const PlanEntry& p) { return p.runtime.expired(); });
    Hoisted hoisted{e.traced, {}};
    if (!eager && e.graph.inputs.size() > e.traced.inputs.size())
      hoisted = hoist(simplify(e.traced), runtime.backend().packs_weights());
    PlanEntry made{here,
                   donated,
                   eager,
                   runtime.plan(hoisted.graph, donated, eager),
                   std::move(hoisted.values),
                   leaves_of(hoisted.graph)};
    e.plans.push_back(std::move(made));
    return e.plans.back();
  }
};

Function::Function(TensorFunction fn, std::vector<std::string> argument_names)
    : state_(std::make_shared<State>()) {
  state_->fn = std::move(fn);
  state_->names = std::move(argument_names);
}

Function::Function(Graph graph) : state_(std::make_shared<State>()) {
  std::vector<TensorType> types;
  for (const Tensor& input : graph.inputs) types.push_back(input.type());
  state_->add(std::move(types), std::move(graph));
}

const Graph& Function::graph(std::span<const TensorType> types) {
  const std::lock_guard lock(state_->mutex);
  return state_->entry(types).graph;
}

std::shared_ptr<const Plan> Function::plan(Runtime& runtime, std::span<const TensorType> types,
                                           bool donate) {
  const std::lock_guard lock(state_->mutex);
  State::Entry& entry = state_->entry(types);
  return state_->plan(entry, runtime, std::vector<bool>(types.size(), donate), false).plan;
}

int64_t Function::traces() const {
  const std::lock_guard lock(state_->mutex);
  return state_->traces;
}

std::shared_ptr<const Plan> Function::last_plan() const {
  const std::lock_guard lock(state_->mutex);
  return state_->last_plan;
}

namespace {

std::vector<TensorType> types_of(std::span<const Tensor> tensors) {
  std::vector<TensorType> types;
  for (const Tensor& t : tensors) types.push_back(t.type());
  return types;
}

// True when the handle is the only one to the leaf and the leaf the only one to its memory.
bool is_sole_owner(const Tensor& t) {
  const auto& buffer = t.buffer();
  return t.node().references() == 1 && buffer.use_count() == 1 && buffer->writable;
}

void check_aliases(const Plan& plan, std::span<const Tensor> args, const std::vector<bool>& donated,
                   std::span<const int> must_alias) {
  for (const int i : must_alias) {
    const auto at = static_cast<size_t>(i);
    if (at >= donated.size()) throw_error(fmt::format("[must_alias] there is no argument {}", i));
    if (std::find(plan.donor.begin(), plan.donor.end(), i) != plan.donor.end()) continue;
    // Handed through, it is a result in its own memory.
    if (std::find(plan.results.begin(), plan.results.end(), plan.arguments[at]) !=
        plan.results.end())
      continue;
    const std::string& own = args[at].name();
    const std::string argument =
        fmt::format("argument {} ('{}', {})", i, own.empty() ? plan.graph.inputs[at].name() : own,
                    to_string(args[at].type()));
    if (!donated[at])
      throw_error(fmt::format(
          "[must_alias] {} cannot give its memory to a result: another handle to it lives, "
          "or it is a mapped file; move the only handle in",
          argument));
    std::string readers;
    for (const Launch& launch : plan.launches)
      for (int b : launch.inputs)
        if (b == plan.arguments[at] && launch.node()) {
          readers = std::string(name(launch.node()->op()));
          if (launch.node()->location().line())
            readers += " at " + locate(launch.node()->location());
        }
    throw_error(fmt::format("[must_alias] {} cannot give its memory to a result: {}", argument,
                            readers.empty()
                                ? "nothing reads it"
                                : "no result has its type, or the last reader (" + readers +
                                      ") needs the old value after the result is written"));
  }
}

}  // namespace

std::vector<Tensor> Function::operator()(Runtime& runtime, std::vector<Tensor> args,
                                         const EvalOptions& options) {
  std::vector<bool> donated;
  donated.reserve(args.size());
  for (const Tensor& arg : args) {
    if (!arg.is_leaf()) arg.buffer();  // throws, naming the tensor
    donated.push_back(is_sole_owner(arg));
  }
  std::shared_ptr<const Plan> plan;
  {
    const std::lock_guard lock(state_->mutex);
    State::Entry* known = state_->find(args);
    State::Entry& entry = known ? *known : state_->entry(types_of(args));
    State::PlanEntry& planned = state_->plan(entry, runtime, donated, options.eager);
    plan = planned.plan;
    check_aliases(*plan, args, donated, options.must_alias);
    state_->last_plan = plan;
    if (!planned.has_values) planned.values = state_->kept.get(runtime, planned.values);
    planned.has_values = true;
    args.insert(args.end(), planned.values.begin(), planned.values.end());
    args.insert(args.end(), planned.leaves.begin(), planned.leaves.end());
  }
  return runtime.run(plan, std::move(args), options);
}

}  // namespace cairn
