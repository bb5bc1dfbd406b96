// What the tests of the graph share: graphs from texts, and the corpus of texts.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/graph/parse.h"

namespace cairn::test {

// The graph of a text that is right; throws what is wrong otherwise.
inline Graph parsed(std::string_view text) { return parse_graph(text).value(); }

inline std::string error_of(std::string_view text) {
  const Result<Graph> result = parse_graph(text);
  return result.ok() ? "no error" : result.error().what();
}

// Texts that cover every primitive and attribute, each exactly as the printer writes it; also the
// seeds of the parser's fuzz target.
inline std::vector<std::filesystem::path> corpus() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(CAIRN_SOURCE_DIR) / "tests/fuzz/corpus/graph_text"))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

inline std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

// All operations of a graph, those inside regions too.
inline void collect_nodes_deep(const Graph& graph, std::vector<const Node*>& nodes) {
  for (const Node* node : topological_order(graph.outputs)) {
    nodes.push_back(node);
    for (const auto& [key, value] : node->attrs())
      if (const GraphPtr* region = std::get_if<GraphPtr>(&value))
        collect_nodes_deep(**region, nodes);
  }
}

}  // namespace cairn::test
