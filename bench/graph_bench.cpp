// What a graph costs before anything is computed, and what launching costs: ns per node and per
// launch, on one thread, in time on a core (other load on the machine disturbs that less than the
// clock).
//
//   graph_bench [--json]      a table, or one JSON object {name: ns}
//
// Two graphs: a chain of 1,000 additions of one element, and a training step of a GPT (4 blocks,
// width 64) with its gradients and an update by SGD. Nodes are those of the graph as it is built,
// before simplification.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cairn/graph/compare.h"
#include "cairn/graph/hash.h"
#include "cairn/graph/numbering.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/loss.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/recipe.h"
#include "cairn/runtime/runtime.h"
#include "cairn/transforms/simplify.h"
#include "cairn/transforms/vjp.h"

namespace {

using namespace cairn;

double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Nanoseconds of one call: the fastest of at least 5, for about 0.2 s.
double nanoseconds(const std::function<void()>& call) {
  double best = 1e30, total = 0;
  for (int i = 0; i < 5 || total < 0.2; ++i) {
    const double start = now();
    call();
    const double s = now() - start;
    total += s;
    best = std::min(best, s);
  }
  return best * 1e9;
}

struct Figure {
  std::string key;
  std::string what;
  double ns;
};
std::vector<Figure> figures;

void report(const std::string& key, const std::string& what, double ns) {
  figures.push_back({key, what, ns});
}

Tensor chain(const Tensor& x, int64_t length) {
  Tensor y = x;
  for (int64_t i = 0; i < length; ++i) y = make(Op::add, {y, x});
  return y;
}

Graph chain_graph(int64_t length, int64_t size) {
  const Tensor x = Tensor::input({DType::f32, {size}}, "x");
  return {"", {x}, {chain(x, length)}, {}};
}

constexpr int64_t kBlocks = 4, kWidth = 64, kHeads = 4, kTime = 32, kVocabulary = 96;

// Tokens, targets, then the weights; gives the loss and the new weights.
Graph gpt_step(int64_t batch) {
  std::vector<TensorType> types{{DType::i32, {batch, kTime}}, {DType::i32, {batch, kTime}}};
  const auto weight = [&](Shape shape) { types.push_back({DType::f32, std::move(shape)}); };
  weight({kVocabulary, kWidth});
  for (int64_t b = 0; b < kBlocks; ++b) {
    for (int i = 0; i < 4; ++i) weight({kWidth});
    weight({kWidth, 3 * kWidth});
    weight({kWidth, kWidth});
    weight({kWidth, 4 * kWidth});
    weight({4 * kWidth, kWidth});
  }
  return trace(
      [&](std::span<const Tensor> a) {
        size_t next = 2;
        const auto take = [&]() -> const Tensor& { return a[next++]; };
        const Tensor& embedding = take();
        Tensor x = cairn::take(embedding, a[0], 0);
        for (int64_t b = 0; b < kBlocks; ++b) {
          const Tensor &w1 = take(), &b1 = take(), &w2 = take(), &b2 = take();
          const Tensor &qkv = take(), &out = take(), &up = take(), &down = take();
          const auto parts = split(matmul(layer_norm(x, w1, b1), qkv), 3, -1);
          const auto heads = [&](const Tensor& t) {
            return transpose(reshape(t, {batch, kTime, kHeads, kWidth / kHeads}), {0, 2, 1, 3});
          };
          AttentionOptions causal;
          causal.causal = true;
          const Tensor mixed =
              attention(heads(parts[0]), heads(parts[1]), heads(parts[2]), causal).out;
          x = x + matmul(reshape(transpose(mixed, {0, 2, 1, 3}), {batch, kTime, kWidth}), out);
          x = x + matmul(gelu(matmul(layer_norm(x, w2, b2), up)), down);
        }
        const Tensor logits = matmul(x, transpose(embedding, {1, 0}));
        const Tensor loss = cross_entropy(reshape(logits, {batch * kTime, kVocabulary}),
                                          reshape(a[1], {batch * kTime}));
        const std::vector<Tensor> weights(a.begin() + 2, a.end());
        std::vector<Tensor> results{loss};
        const auto all = gradients(loss, weights);
        for (size_t i = 0; i < weights.size(); ++i) results.push_back(weights[i] - all[i] * 0.01);
        return results;
      },
      types);
}

// Figures of one graph, which `build` makes for a size; sizes 4, 12 and 20 have one structure.
void bench_graph(const std::string& name, const std::string& what,
                 const std::function<Graph(int64_t)>& build) {
  const Graph graph = build(4);
  const Graph others[] = {build(12), build(20)};
  const Numbering numbering = number_nodes(graph);
  const auto nodes = static_cast<double>(numbering.operations.size());
  const auto add = [&](const std::string& key, const std::string& of,
                       const std::function<void()>& call) {
    report(name + "_" + key, fmt::format("{}, {}", what, of), nanoseconds(call) / nodes);
  };
  report(name + "_nodes", what + ", nodes", nodes);
  add("build", "build (and destroy)", [&] { build(4); });
  add("hash", "number and hash", [&] { hash_graph(graph); });
  const Graph same = build(4);
  add("compare", "compare", [&] { same_graph(graph, same); });
  add("simplify", "simplify", [&] { simplify(graph); });
  add("schedule", "schedule", [&] {
    std::vector<std::pair<Tensor, Tensor>> overwrites;
    make_schedule(graph, overwrites);
  });
  RuntimeOptions options;
  options.threads = 1;
  // Plans are kept, because to destroy them is not part of making them; now and then they all go.
  std::vector<std::shared_ptr<const Plan>> kept;
  const auto keep = [&](std::shared_ptr<const Plan> plan) {
    if (kept.size() == 32) kept.clear();
    kept.push_back(std::move(plan));
  };
  add("new_structure", "plan of a new structure", [&] {
    Runtime fresh(options);
    keep(fresh.plan(graph, {}, false));
  });
  // The first size shows which numbers vary; from the third on the schedule is known.
  Runtime runtime(options);
  runtime.plan(graph, {}, false);
  runtime.plan(others[0], {}, false);
  const int64_t schedules = runtime.stats().schedules_made;
  size_t turn = 0;
  add("new_size", "plan of a new size", [&] { keep(runtime.plan(others[++turn % 2], {}, false)); });
  if (runtime.stats().schedules_made != schedules)
    throw_error("a new size of a known structure was scheduled");
  // Without finding the structure: types, places of memory, nodes.
  const Recipe first(graph.outputs, numbering, {}, false, runtime.backend(), nullptr);
  const Numbering numbered[] = {number_nodes(others[0]), number_nodes(others[1])};
  const Recipe recipe(others[0].outputs, numbered[0], {}, false, runtime.backend(), &first);
  add("new_size_plan", "of which types and memory",
      [&] { keep(recipe.plan(others[1].outputs, numbered[1])); });
  add("known", "plan found again", [&] { runtime.cached_plan(graph.outputs, numbering, false); });
}

// One element, 100 additions: what a launch costs.
void bench_launches() {
  constexpr int64_t kLaunches = 100;
  RuntimeOptions options;
  options.threads = 1;
  Runtime runtime(options);
  const Tensor x = runtime.upload(HostArray::from<float>(std::vector<float>{1}, {1}));
  Function f = compile(
      [](std::span<const Tensor> a) { return std::vector<Tensor>{chain(a[0], kLaunches)}; });
  f(runtime, {x});
  const auto plan = f.last_plan();
  report("replay_launch", "a launch, of a plan of 100 that is run again",
         nanoseconds([&] { runtime.run(plan, {x}); }) / kLaunches);
  report("call_launch", "the same as a call of a function",
         nanoseconds([&] { f(runtime, {x}); }) / kLaunches);
  report("eval_launch", "the same built and evaluated anew",
         nanoseconds([&] { eval(runtime, chain(x, kLaunches)); }) / kLaunches);
  EvalOptions eager;
  eager.eager = true;
  report("eager_op", "one operation at a time: build and evaluate",
         nanoseconds([&] {
           Tensor y = x;
           for (int64_t i = 0; i < kLaunches; ++i) y = eval(runtime, make(Op::add, {y, x}), eager);
         }) / kLaunches);
}

}  // namespace

int main(int argc, char** argv) {
  const bool json = argc > 1 && std::string(argv[1]) == "--json";
  if (argc > (json ? 2 : 1)) {
    fmt::print(stderr, "usage: graph_bench [--json]\n");
    return 2;
  }
  bench_graph("chain", "chain of additions", [](int64_t size) { return chain_graph(1000, size); });
  bench_graph("gpt", "GPT training step", gpt_step);
  bench_launches();
  if (json) {
    nlohmann::json all;
    for (const Figure& figure : figures) all[figure.key] = figure.ns;
    fmt::print("{}\n", all.dump());
    return 0;
  }
  for (const Figure& figure : figures)
    fmt::print("{:52} {:8.0f}{}\n", figure.what, figure.ns,
               figure.key.ends_with("_nodes") ? "" : " ns");
  return 0;
}
