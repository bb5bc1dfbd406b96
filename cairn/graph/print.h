// The text form of graphs, written. parse.h has the grammar and reads it back.
//
// A graph that is printed, parsed and printed again gives the same text, and the parsed graph has
// the same structure (compare.h). Three things have no text: the values of leaves, which become
// further inputs; the functions of a CustomDefinition; scopes and source lines.
#pragma once

#include <functional>
#include <string>

#include "cairn/graph/graph.h"

namespace cairn {

struct PrintOptions {
  // After each operation a comment with its source line and scope: "// model.cpp:12 in 'layers.0'".
  bool locations = false;
  // More for the comment of an operation; nothing when it returns an empty string.
  std::function<std::string(const Node&)> comment = nullptr;
};

// Prints graphs that verify() refuses, too: what cannot be named is "%?".
std::string to_text(const Graph& graph, const PrintOptions& options = {});

// "f32[4,8]", "f32[4]@host:0{data}": with placement and varying mesh axes where they are not the
// default.
std::string type_text(const TensorType& type);

}  // namespace cairn
