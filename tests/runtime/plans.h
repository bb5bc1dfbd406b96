// What the tests of plans share: arguments of any type, runs compared by bits, random graphs.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "cairn/graph/parse.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/runtime.h"

namespace cairn::test {

inline Graph parsed(std::string_view text) { return parse_graph(text).value(); }

// Texts of graphs that cover every primitive.
inline std::vector<Graph> corpus_graphs() {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  for (const auto& entry :
       fs::directory_iterator(fs::path(CAIRN_SOURCE_DIR) / "tests/fuzz/corpus/graph_text"))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<Graph> graphs;
  for (const fs::path& file : files) {
    std::ifstream in(file);
    std::stringstream text;
    text << in.rdbuf();
    graphs.push_back(parsed(text.str()));
  }
  return graphs;
}

// Small whole numbers: right as elements, as indices, as trip counts and as conditions.
inline HostArray small_numbers(const TensorType& type, int seed) {
  HostArray array(type.dtype, type.shape);
  visit_dtype(type.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto values = array.mutable_span<T>();
    for (size_t i = 0; i < values.size(); ++i) {
      const auto number = static_cast<int>((i * 7 + i / 3 + static_cast<size_t>(seed) * 5) % 3);
      if constexpr (std::is_same_v<T, bool>) {
        values[i] = number == 1;
      } else {
        values[i] = static_cast<T>(static_cast<float>(number));
      }
    }
  });
  return array;
}

inline std::vector<Tensor> small_arguments(Runtime& runtime, const Graph& graph) {
  std::vector<Tensor> arguments;
  for (const Tensor& input : graph.inputs) {
    const Tensor values =
        runtime.upload(small_numbers(input.type(), static_cast<int>(arguments.size())));
    arguments.push_back(Tensor::leaf(input.type(), values.buffer()));
  }
  return arguments;
}

inline std::string bytes_of(const Tensor& t) {
  return {static_cast<const char*>(t.buffer()->data), t.type().bytes()};
}

// The bytes of all results, or what an execution throws.
inline std::vector<std::string> outcome(Runtime& runtime, const std::shared_ptr<const Plan>& plan) {
  std::vector<std::string> outcome;
  try {
    for (const Tensor& result : runtime.run(plan, small_arguments(runtime, plan->graph)))
      outcome.push_back(bytes_of(result));
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    outcome.emplace_back(error.what());
  }
  return outcome;
}

// About `length` operations on two inputs: with views, values read much later, values read twice,
// results that are inputs or stand there twice.
inline Graph random_graph(uint64_t seed, int length, int64_t n, int64_t m) {
  std::mt19937_64 random(seed);
  const auto below = [&](size_t end) { return static_cast<size_t>(random() % end); };
  Graph graph;
  graph.inputs = {Tensor::input({DType::f32, {n, m}}, "x"), Tensor::input({DType::f32, {m}}, "y")};
  std::vector<Tensor> values = graph.inputs;
  for (int i = 0; i < length; ++i) {
    const Tensor& a = values[below(values.size())];
    const Tensor& b = values[below(values.size())];
    switch (below(9)) {
      case 0: values.push_back(a.shape() == b.shape() ? a + b : a + 1.0); break;
      case 1: values.push_back(tanh(a)); break;
      case 2: values.push_back(reshape(a, {a.elements()})); break;
      case 3: values.push_back(a.rank() == 2 ? sum(a, {0}) : sum(a)); break;
      case 4: values.push_back(a.rank() == 2 ? a * broadcast_to(a, a.shape()) : -a); break;
      case 5: values.push_back(a.shape() == b.shape() ? where(a < b, a, b) : -a); break;
      case 6: values.push_back(reshape(a, {1, a.elements()}) * 0.5); break;
      case 7: {
        const auto sorted = a.rank() ? make_many(Op::sort, {a}, {{Attr::axis, int64_t{0}}})
                                     : std::vector<Tensor>{a};
        values.insert(values.end(), sorted.begin(), sorted.begin() + 1);
        break;
      }
      default: values.push_back(maximum(a, 0.25)); break;
    }
  }
  for (size_t i = 0; i < 1 + below(4); ++i)
    graph.outputs.push_back(values[values.size() - 1 - below(std::min<size_t>(values.size(), 6))]);
  return graph;
}

inline Graph random_graph(uint64_t seed, int length) {
  return random_graph(seed, length, 1 + static_cast<int64_t>(seed % 5),
                      1 + static_cast<int64_t>(seed % 37));
}

}  // namespace cairn::test
