// Fusion on random graphs: every node is computed, before it is read and before its memory is given
// away, and the results have the bits of the reference backend.
//
// Values are f64 (whose functions both backends take from base/math.h) or of types and operations
// that IEEE 754 defines, so nothing has a tolerance; the f32 functions of kernels have tests with
// their error bounds (tests/tile/math_test.cpp).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "cairn/compiler/fuse.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/node_class.h"
#include "cairn/graph/print.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/runtime.h"
#include "cairn/runtime/verify_plan.h"
#include "tests/compiler/random_kernel.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

using test::Random;

constexpr DType kTypes[] = {DType::f64, DType::f64, DType::f32,  DType::f16,
                            DType::i32, DType::i64, DType::bf16, DType::b8};

class GraphMaker {
 public:
  // `exact`: the reference backend has the same bits.
  explicit GraphMaker(uint64_t seed, bool exact) : random_(seed), exact_(exact) {}

  Graph make(int length) {
    const int64_t n = random_.between(1, 9), m = random_.between(1, 300);
    for (const Shape& shape : {Shape{n, m}, Shape{n, m}, Shape{m}, Shape{n, 1}, Shape{m, n}}) {
      graph_.inputs.push_back(
          Tensor::input({any_type(), shape}, "x" + std::to_string(graph_.inputs.size())));
      values_.push_back(graph_.inputs.back());
    }
    for (int i = 0; i < length; ++i) values_.push_back(next());
    for (int64_t i = random_.between(1, 4); i > 0; --i)
      graph_.outputs.push_back(
          values_[values_.size() - 1 -
                  static_cast<size_t>(random_.below(std::min<int64_t>(8, std::ssize(values_))))]);
    return std::move(graph_);
  }

 private:
  DType any_type() { return kTypes[random_.below(std::size(kTypes))]; }
  // Later ones more often.
  Tensor any() {
    const int64_t count = std::ssize(values_);
    const int64_t back = random_.one_in(3) ? random_.below(count) : random_.below(4);
    return values_[static_cast<size_t>(std::max<int64_t>(0, count - 1 - back))];
  }
  // Another value that broadcasts with x, as x's type; or a number.
  Tensor beside(const Tensor& x) {
    for (int tries = 0; tries < 5; ++tries) {
      const Tensor y = any();
      bool fits = y.rank() <= x.rank();
      for (int i = 1; fits && i <= y.rank(); ++i)
        fits = y.shape()[y.rank() - i] == x.shape()[x.rank() - i] || y.shape()[y.rank() - i] == 1;
      // Not what rounds on its way.
      if (fits && (y.dtype() == x.dtype() || can_lower(Op::cast, y.dtype(), x.dtype())))
        return broadcast_to(cast(y, x.dtype()), x.shape());
    }
    return full(x.shape(), 3, x.dtype());
  }
  Tensor next() {
    const Tensor x = any();
    switch (random_.below(16)) {
      case 0: return x.dtype() == DType::f64 ? tanh(x) : x.dtype() == DType::b8 ? x : -x;
      case 1: return is_float(x.dtype()) ? sqrt(abs(x)) : x;
      case 2: return cast(x, any_type());
      case 3: return reshape(x, {x.elements()});
      case 4: return reshape(x, {1, x.elements()});
      case 5: {
        if (x.rank() != 2) return x;
        // Of small whole numbers the products are exact; else the reference rounds twice.
        const Tensor y = exact_ ? cast(cast(x, DType::i8), DType::f64)
                                : cast(x, random_.one_in(3) ? DType::f64 : DType::f32);
        return random_.one_in(2) ? matmul(y, transpose(y)) : matmul(transpose(y), y);
      }
      case 6: return reduced(x);
      case 7: return random_.one_in(2) ? sliced(x) : x.rank() > 1 ? transpose(x) : x;
      case 8: {
        const Tensor y = beside(x);
        return where(x < y, x, y);
      }
      case 9: return make_many(Op::barrier, {x, any()}, {})[0];
      case 10: return x.rank() < 3 ? broadcast_to(x, with_two(x.shape())) : x;
      default: break;
    }
    const Tensor y = beside(x);
    if (x.dtype() == DType::b8) return x ^ y;
    switch (random_.below(5)) {
      case 0: return x + y;
      case 1: return x - y;
      case 2: return x * y;
      case 3: return maximum(x, y);
      default: return x + 1;
    }
  }
  Tensor reduced(const Tensor& x) {
    if (x.rank() == 0 || x.dtype() == DType::b8) return x;
    Ints axes;
    for (int axis = 0; axis < x.rank(); ++axis)
      if (axis + 1 == x.rank() ? axes.empty() || !random_.one_in(3) : random_.one_in(3))
        axes.push_back(axis);
    const bool keeps = !random_.one_in(3);
    if (exact_ || !is_float(x.dtype())) return max(x, axes, keeps);
    switch (random_.below(4)) {
      case 0: return max(x, axes, keeps);
      case 1: return exp(x - max(x, axes, true)) / sum(exp(x - max(x, axes, true)), axes, true);
      default: return sum(x, axes, keeps);
    }
  }
  Tensor sliced(const Tensor& x) {
    if (x.rank() == 0) return x;
    const int axis = static_cast<int>(random_.below(x.rank()));
    const int64_t n = x.shape()[axis], start = random_.below(n);
    return slice_axis(x, axis, start, start + random_.between(1, n - start));
  }
  static Shape with_two(Shape shape) {
    if (shape.elements() < 10000) shape.insert(0, 2);
    return shape;
  }

  Random random_;
  bool exact_;
  Graph graph_;
  std::vector<Tensor> values_;
};

Graph random_graph(uint64_t seed, bool exact = true) {
  return GraphMaker(seed, exact).make(5 + static_cast<int>(seed % 40));
}

HostArray values_for(const TensorType& type, uint64_t seed) {
  HostArray array(type.dtype, type.shape);
  Random random(seed);
  visit_dtype(type.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (T& x : array.mutable_span<T>())
      x = static_cast<T>(static_cast<float>(random.between(-8, 8)) * 0.25f);
  });
  return array;
}

bool is_indexing(const Node& node) { return class_of(node) == NodeClass::indexing; }

bool writes(const LaunchGroup& group, const Node& node) {
  return std::ranges::any_of(group.outputs, [&](const Tensor& t) { return &t.node() == &node; });
}

// What reads what, and when it was written.
void expect_complete(const Graph& graph, const Schedule& schedule,
                     std::span<const std::pair<Tensor, Tensor>> overwrites) {
  TensorMap<size_t> written;
  std::set<const Node*> launched;
  std::vector<std::pair<Tensor, size_t>> reads;
  for (size_t i = 0; i < schedule.launches.size(); ++i) {
    const LaunchGroup& group = schedule.launches[i];
    for (const Tensor& t : group.inputs) {
      const Tensor root = root_of(t);
      reads.emplace_back(root, i);
      EXPECT_TRUE(is_given(root.node()) || written.find(root) != written.end())
          << "launch " << i << " reads what comes later";
    }
    for (const Tensor& t : group.outputs)
      EXPECT_TRUE(written.emplace(t, i).second) << "launch " << i << " writes again";
    // Again is computed what costs nothing, or what is not written here.
    for (const Node* node : group.nodes)
      EXPECT_TRUE(launched.insert(node).second || is_indexing(*node) ||
                  (class_of(*node) == NodeClass::pointwise && !writes(group, *node)))
          << node->info().name;
  }
  for (const Node* node : topological_order(graph.outputs))
    EXPECT_TRUE(is_given(*node) || is_alias(*node) || is_indexing(*node) || launched.contains(node))
        << node->info().name << " is not computed";
  for (const Tensor& t : graph.outputs) {
    const Tensor root = root_of(t);
    EXPECT_TRUE(is_given(root.node()) || written.find(root) != written.end());
  }
  for (const auto& [argument, result] : overwrites) {
    const size_t writer = written.at(result);
    for (const auto& [value, reader] : reads)
      EXPECT_TRUE(!same(value, argument) || reader <= writer) << "read after it was written over";
  }
}

TEST(FuseRandom, SchedulesAreCompleteAndInOrder) {
  if (!can_compile_kernels()) GTEST_SKIP() << "needs LLVM";
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const Graph graph = random_graph(seed, seed % 4 < 2);
    // Results that may take the memory of an argument of their type.
    std::vector<std::pair<Tensor, Tensor>> overwrites;
    for (const Tensor& output : graph.outputs)
      for (const Tensor& input : graph.inputs) {
        const Node& node = output.node();
        const bool taken = std::ranges::any_of(overwrites, [&](const auto& pair) {
          return same(pair.first, input) || same(pair.second, output);
        });
        if (seed % 2 && !taken && !is_given(node) && !is_alias(node) &&
            output.type() == input.type())
          overwrites.emplace_back(input, output);
      }
    Schedule schedule = make_schedule(graph, overwrites);
    FuseOptions options;
    options.eager = seed % 5 == 0;
    if (seed % 3 == 0) options.max_nodes = 4;
    fuse(graph, overwrites, schedule, options);
    expect_complete(graph, schedule, overwrites);
    if (::testing::Test::HasFailure()) FAIL() << "seed " << seed << "\n" << to_text(graph);
  }
}

bool is_long() {
  const char* wanted = std::getenv("CAIRN_TEST_LONG");
  return wanted && *wanted == '1';
}

std::vector<HostArray> run_on(Runtime& runtime, const Graph& graph, bool eager, bool donate) {
  const auto plan = runtime.plan(graph, std::vector<bool>(graph.inputs.size(), donate), eager);
  verify(*plan, runtime.backend());
  std::vector<Tensor> arguments;
  for (const Tensor& input : graph.inputs)
    arguments.push_back(runtime.upload(values_for(input.type(), arguments.size())));
  std::vector<HostArray> results;
  for (const Tensor& t : runtime.run(plan, std::move(arguments))) results.push_back(t.host());
  return results;
}

TEST(FuseRandom, ResultsAreThoseOfTheReference) {
  if (!can_compile_kernels() || detect_cpu_target() < CpuTarget::avx2)
    GTEST_SKIP() << "needs LLVM and AVX2";
  Runtime reference({.device = "ref", .threads = 1});
  Runtime runtime({.device = "cpu", .threads = 2});
  for (uint64_t seed = 0; seed < (is_long() ? 2000 : 60); ++seed) {
    const Graph graph = random_graph(seed);
    const std::vector<HostArray> want = run_on(reference, graph, true, false);
    for (const bool eager : {false, true})
      for (const bool donate : {false, true}) {
        const std::vector<HostArray> got = run_on(runtime, graph, eager, donate);
        for (size_t i = 0; i < want.size(); ++i)
          ASSERT_TRUE(test::same_values(got[i], want[i]))
              << "seed " << seed << ", result " << i << (eager ? ", eager" : "")
              << (donate ? ", donated" : "") << "\n"
              << to_text(graph);
      }
  }
}

TEST(FuseRandom, FusedHasTheBitsOfEager) {
  if (!can_compile_kernels() || detect_cpu_target() < CpuTarget::avx2)
    GTEST_SKIP() << "needs LLVM and AVX2";
  Runtime runtime({.device = "cpu", .threads = 2});
  const uint64_t count = is_long() ? 5000 : 80;
  for (uint64_t seed = 1000; seed < 1000 + count; ++seed) {
    const Graph graph = random_graph(seed, false);
    const std::vector<HostArray> want = run_on(runtime, graph, true, false);
    for (const bool donate : {false, true}) {
      const std::vector<HostArray> got = run_on(runtime, graph, false, donate);
      for (size_t i = 0; i < want.size(); ++i)
        ASSERT_TRUE(test::same_values(got[i], want[i]))
            << "seed " << seed << ", result " << i << (donate ? ", donated" : "") << "\n"
            << to_text(graph);
    }
  }
}

}  // namespace
}  // namespace cairn
