// Plan: a graph made executable. Launches in order, and for every value where its bytes lie.
//
// Buffers are of three kinds. Arguments and results are buffers of their own; everything between
// lives at a fixed offset of one arena. The planned peak is the sum of the three in requested bytes
// rounded to 64, and the executor allocates exactly that. (One tensor given as two arguments counts
// twice: a plan is made of types.)
//
// A plan is immutable and may run in several threads at once: an execution brings its own arena.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cairn/compiler/schedule.h"
#include "cairn/graph/graph.h"
#include "cairn/runtime/kernel.h"

namespace cairn {

struct Plan;

struct PlanBuffer {
  enum class Kind : uint8_t { argument, result, arena };
  Kind kind;
  int64_t index;  // argument or result number; offset in the arena
  size_t bytes;   // requested
};

struct Launch {
  enum class Kind : uint8_t { kernel, loop, cond, copy };
  Kind kind = Kind::kernel;
  LaunchGroup group;         // without nodes: of a copy
  LaunchCode code;           // of a kernel, and of a loop that is one function
  std::vector<int> inputs;   // buffers, one per input of the group
  std::vector<int> outputs;  // buffers, one per output
  // Of loop and cond: the regions' plans.
  std::vector<std::shared_ptr<const Plan>> regions;
  // The buffer of workspace_bytes() bytes, or -1 when there are none.
  int workspace = -1;
  // How many launches from this one on run at once: they touch nothing of each other's, and
  // together they have work for several threads (detail::find_together).
  int together = 1;
  // The last node, which stands for the launch; null of a copy.
  const Node* node() const { return group.nodes.empty() ? nullptr : &group.node(); }
};

struct PlanOptions {
  // Arguments that the caller gives away: their buffers may become results.
  std::vector<bool> donated;
  // Operations in the order of building, one launch per node, no simplification.
  bool eager = false;
  // Results are written to memory that the caller names, arguments included among the results too
  // (regions of loop and cond).
  bool region = false;
};

struct Plan {
  // With every leaf as a further input and every custom operation replaced by its fallback, in
  // regions too; keeps the nodes alive.
  Graph graph;
  std::vector<PlanBuffer> buffers;
  std::vector<Launch> launches;
  std::vector<int> arguments;  // buffer of each argument
  std::vector<int> results;    // buffer of each result; may be an argument's, or another result's
  // For each result: the donated argument whose memory it takes over, or -1.
  std::vector<int> donor;
  size_t arena_bytes = 0;
  size_t argument_bytes = 0;
  size_t result_bytes = 0;  // newly allocated: donated ones are not counted
  size_t peak_bytes() const { return arena_bytes + argument_bytes + result_bytes; }
};

// What a launch needs beside operands and results: what its kernel asks for; of a cond the larger
// arena; of a loop the step number, one more set of carried values, and the body's arena.
size_t workspace_bytes(const Launch& launch, const Backend& backend);

// The graph with every leaf replaced by a further input, in topological order: a pattern that holds
// no memory.
Graph without_leaves(const Graph& graph);
// Its leaves, in the order of those inputs.
std::vector<Tensor> leaves_of(const Graph& graph);

// Throws Error when the backend cannot run an operation of the graph.
std::shared_ptr<Plan> make_plan(const Graph& graph, const Backend& backend,
                                const PlanOptions& options = {});

// Equal graphs, and the same launches on the same places in the same order.
bool same_plan(const Plan& a, const Plan& b);

// The text form, which parse_plan.h reads back.
std::string to_text(const Plan& plan);

}  // namespace cairn
