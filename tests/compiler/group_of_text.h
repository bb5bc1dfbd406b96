// The launch that a graph in text becomes.
#pragma once

#include <gtest/gtest.h>

#include <string_view>
#include <utility>
#include <vector>

#include "cairn/compiler/fuse.h"
#include "cairn/graph/parse.h"

namespace cairn::test {

// A graph that is one launch.
struct Group {
  Graph graph;
  LaunchGroup launch;
};
inline Group group_of_text(std::string_view text) {
  Group result{parse_graph(text).value(), {}};
  std::vector<std::pair<Tensor, Tensor>> none;
  Schedule schedule = make_schedule(result.graph, none);
  fuse(result.graph, none, schedule);
  EXPECT_EQ(schedule.launches.size(), 1u) << text;
  result.launch = schedule.launches.at(0);
  return result;
}

}  // namespace cairn::test
