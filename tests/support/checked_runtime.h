// What is promised of every graph and plan, checked on all of a test: a graph and a plan have a
// text form that gives them back, and an execution takes the memory that its plan says, to the
// byte.
//
//   Runtime runtime(checked({.threads = 1}));
#pragma once

#include <gtest/gtest.h>

#include "cairn/graph/compare.h"
#include "cairn/graph/hash.h"
#include "cairn/graph/parse.h"
#include "cairn/graph/print.h"
#include "cairn/graph/verify.h"
#include "cairn/runtime/parse_plan.h"
#include "cairn/runtime/runtime.h"

namespace cairn::test {

// Whether some operation has a definition: functions have no text.
inline bool has_definition(const Graph& graph) {
  for (const Node* node : topological_order(graph.outputs))
    for (const auto& [key, value] : node->attrs()) {
      if (key == Attr::definition) return true;
      if (const auto* region = std::get_if<GraphPtr>(&value); region && has_definition(**region))
        return true;
    }
  return false;
}

// Parses what was printed, and checks that it is the same graph and prints alike.
inline void expect_round_trip(const Graph& graph) {
  const std::string text = to_text(graph);
  const Result<Graph> again = parse_graph(text);
  ASSERT_TRUE(again.ok()) << again.error().what() << "\n" << text;
  EXPECT_EQ(to_text(again.value()), text);
  EXPECT_NO_THROW(verify(again.value()));
  if (has_definition(graph)) return;
  EXPECT_TRUE(same_graph(graph, again.value())) << text;
  EXPECT_EQ(hash_graph(graph), hash_graph(again.value())) << text;
}

inline void expect_planned_memory(const Plan& plan, size_t allocated) {
  EXPECT_EQ(allocated, plan.peak_bytes() - plan.argument_bytes) << to_text(plan);
}

inline RuntimeOptions checked(RuntimeOptions options = {}) {
  options.on_graph = expect_round_trip;
  options.on_run = expect_planned_memory;
  return options;
}

}  // namespace cairn::test
