// Runtime: a device with its pool of threads, its memory and its cache of plans. Passed down, never
// global; several may live in one process.
//
//   Runtime runtime;                                   // the reference backend, all cores
//   Tensor y = eval(runtime, matmul(x, w) + 1.0);      // a leaf
//   Function step = compile(fn);                       // traced once per argument types
//   state = step(runtime, std::move(state));           // donated: the memory is used again
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cairn/runtime/execute.h"
#include "cairn/runtime/plan.h"

namespace cairn {

struct Numbering;

struct RuntimeOptions {
  std::string device = {};  // cpu, ref or null; empty: CAIRN_DEVICE, else the first of devices()
  int threads = 0;          // 0: CAIRN_THREADS, else one per physical core
  // Observers, which tests hold to what is promised of every graph and plan. on_graph is called
  // with each graph that gets a plan, as it was built, leaves as further inputs; on_run after each
  // execution with the bytes that it had from the allocator at most, beside its arguments (not to
  // be used by several threads at once).
  std::function<void(const Graph&)> on_graph = nullptr;
  std::function<void(const Plan&, size_t allocated)> on_run = nullptr;
};

struct EvalOptions {
  // One launch per node, in the order of building, nothing simplified.
  bool eager = false;
  // Arguments of a Function that must give their memory to a result; when one cannot, because
  // another handle to it lives or because a reader comes after the writer, that is an Error that
  // says so.
  std::vector<int> must_alias = {};
  // Throws Error naming the first node whose result is not finite.
  bool check_finite = false;
};

struct RuntimeStats {
  int64_t schedules_made = 0;  // structures that were new: simplified and scheduled
  int64_t plans_made = 0;      // sizes that were new: types inferred and memory planned
  int64_t executions = 0;
  int64_t launches = 0;
};

// Every node of one execution, for `cairn trace` and profiles.
struct LaunchRecord {
  const Node* node;  // null for a copy
  double start;      // seconds since the execution began
  double seconds;
};

// What this build and processor can run on, the default first: cpu (compiled kernels), ref, null.
std::vector<std::string> devices();

class Runtime {
 public:
  explicit Runtime(const RuntimeOptions& options = {});
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Expires with this runtime: what is kept for it elsewhere, as plans of a Function, knows by this
  // that another runtime at the same address is another one.
  std::weak_ptr<const void> lifetime() const { return state_; }

  ThreadPool& pool();
  Allocator& allocator();
  const Backend& backend() const;
  // Communicators by mesh axis; set before the first use.
  Mesh& mesh();
  RuntimeStats stats() const;
  // Called with the records of each execution; empty switches it off. Slows small launches down.
  void set_profiler(std::function<void(const Plan&, std::span<const LaunchRecord>)> profiler);

  // A leaf with a copy of `values` in this runtime's memory.
  Tensor upload(const HostArray& values, std::string name = {});

  // Gives each leaf memory of its own, copied where it is shared: state that is to stay in place.
  // (Equal values of one eval come out as one buffer.)
  void separate(std::span<Tensor> leaves);

  // The plan for these outputs, whose leaves are its arguments in the order of `numbering`: that of
  // an equal graph if there was one, else a new one.
  std::shared_ptr<const Plan> cached_plan(std::span<const Tensor> outputs,
                                          const Numbering& numbering, bool eager);
  // A new plan. `donated` says which inputs the caller gives away. Where the structure is known and
  // only sizes are new, it is made after the schedule that is known (runtime/recipe.h).
  std::shared_ptr<const Plan> plan(const Graph& graph, const std::vector<bool>& donated,
                                   bool eager);
  // Runs a plan. `args`: the graph's inputs followed by its leaves, all leaves with values here.
  // An argument that the plan's results take over must be the only handle to its memory.
  std::vector<Tensor> run(const std::shared_ptr<const Plan>& plan, std::vector<Tensor> args,
                          const EvalOptions& options = {});

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Computes the tensors: returns leaves and changes no node. Throws the Error of an execution (an
// index out of range, a value that is not finite) with the node's source line. Thread-safe.
std::vector<Tensor> eval(Runtime& runtime, std::span<const Tensor> outputs,
                         const EvalOptions& options = {});
Tensor eval(Runtime& runtime, const Tensor& output, const EvalOptions& options = {});

// A function of tensors that is traced and planned once per types of its arguments.
class Function {
 public:
  Function() = default;
  explicit Function(TensorFunction fn, std::vector<std::string> argument_names = {});
  explicit Function(Graph graph);
  // Arguments moved in are donated; see Runtime::run.
  std::vector<Tensor> operator()(Runtime& runtime, std::vector<Tensor> args,
                                 const EvalOptions& options = {});
  // The graph for arguments of these types.
  const Graph& graph(std::span<const TensorType> types);
  // The plan that a call with these arguments would run.
  std::shared_ptr<const Plan> plan(Runtime& runtime, std::span<const TensorType> types,
                                   bool donate = true);
  int64_t traces() const;
  // What the last call ran; null before the first.
  std::shared_ptr<const Plan> last_plan() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

inline Function compile(TensorFunction fn, std::vector<std::string> argument_names = {}) {
  return Function(std::move(fn), std::move(argument_names));
}

}  // namespace cairn
