// What `cairn bench ops` measures: operations as graphs, and the sizes of each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apps/cairn/roofline.h"
#include "cairn/graph/graph.h"

namespace cairn::app {

// As reports put operations together.
enum class Family { product, attention, convolution, other };
std::string_view name(Family family);

struct BenchGraph {
  Graph graph;
  std::vector<bool> donated = {};  // inputs that give their memory to a result; empty: none
  bool has_weights = false;        // the last input is the same at every call, and known to be
};

// How many rows of a product a baseline computes: the rest takes as long a row.
inline constexpr int64_t kSlabRows = 16;

struct BenchOp {
  const char* name;
  Family family;
  BenchGraph (*build)(DType dtype, const Shape& sizes);
  // What counts as its work; null: memory is what it waits for, and rates are in bytes.
  double (*flops)(const Shape& sizes);
  // A loop as a beginner writes it, in place of a graph: C's first rows = A x B, [m, k] x [k, n].
  void (*loop)(const float* a, const float* b, float* c, int64_t m, int64_t k, int64_t n) = nullptr;
  // Of an input of bytes the block format; its products are of bytes.
  std::string_view format = {};
};

struct BenchCase {
  const BenchOp* op;
  DType dtype;
  Shape sizes;

  // "matmul f32 512x4096x11008".
  std::string title() const;
};
std::vector<BenchCase> bench_cases();
std::vector<std::string> bench_op_names();

// Its flops, and each input and output of the graph once. Of a loop, as of the whole product.
Work work_of(const BenchCase& work, const Graph& graph);

}  // namespace cairn::app
