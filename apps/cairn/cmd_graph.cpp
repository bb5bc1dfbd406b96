// cairn graph: the primitives, a graph as text, and running one.
#include "apps/cairn/commands.h"
#include "apps/cairn/graph_commands.h"

namespace cairn::app {

void add_graph(const Command& program) {
  const Command group =
      program.group("graph", "Look at graphs of operations, and run them.", kGraphs);
  add_graph_ops(group);
  add_graph_show(group);
  add_graph_run(group);
  group.example("cairn graph run step.graph --in x=x.npy w=w.npy lr=lr.npy --out y=y.npy --grad w");
}

}  // namespace cairn::app
