// The parser of graphs. What it accepts is right, prints, and is read back as the same graph.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cairn/graph/compare.h"
#include "cairn/graph/cost.h"
#include "cairn/graph/hash.h"
#include "cairn/graph/parse.h"
#include "cairn/graph/print.h"
#include "cairn/graph/verify.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const auto graph = parse_graph({reinterpret_cast<const char*>(data), size});
  if (!graph) return 0;
  const std::string text = to_text(graph.value());
  const auto again = parse_graph(text);
  if (!again || to_text(again.value()) != text) std::abort();
  if (!same_graph(graph.value(), again.value())) std::abort();
  if (hash_graph(graph.value()) != hash_graph(again.value())) std::abort();
  cost_of(graph.value());
  try {
    verify(graph.value());
  } catch (const InternalError& error) {
    // The one rule that reading does not check: a mesh axis has one size.
    if (std::string_view(error.what()).find("mesh axis") == std::string_view::npos) std::abort();
  }
  return 0;
}
