#include "cairn/ops/control.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "cairn/graph/graph.h"
#include "cairn/ops/helpers.h"

namespace cairn {

using detail::fail;

namespace {

// A branch has no placeholders that could tell its nodes from others: its nodes are those that were
// built while it was traced. Everything else that they read is captured, constants apart.
class Branch {
 public:
  Branch(uint64_t since, std::vector<Tensor> outputs)
      : since_(since), outputs_(std::move(outputs)) {
    std::vector<const Node*> stack;
    std::unordered_set<const Node*> seen;
    const auto visit = [&](const Tensor& t) {
      const Node* node = &t.node();
      if (is_inside(*node) && seen.insert(node).second) stack.push_back(node);
    };
    for (const Tensor& t : outputs_) visit(t);
    while (!stack.empty()) {
      const Node* node = stack.back();
      stack.pop_back();
      nodes_.push_back(node);
      for (const Tensor& input : node->inputs()) visit(input);
    }
    std::sort(nodes_.begin(), nodes_.end(),
              [](const Node* a, const Node* b) { return a->id() < b->id(); });
  }

  void capture(std::vector<Tensor>& captured) const {
    const auto add = [&](const Tensor& t) {
      if (is_inside(t.node()) || is_constant(t.node())) return;
      if (index_of(captured, t) == captured.size()) captured.push_back(t);
    };
    for (const Node* node : nodes_)
      for (const Tensor& input : node->inputs()) add(input);
    for (const Tensor& t : outputs_) add(t);
  }

  // The branch as a graph of all captured tensors, its own and the other branch's.
  GraphPtr graph(const std::vector<Tensor>& captured) const {
    Graph graph;
    TensorMap<Tensor> map;
    for (const Tensor& t : captured) {
      graph.inputs.push_back(Tensor::input(t.type(), fmt::format("c{}", graph.inputs.size())));
      map[t] = graph.inputs.back();
    }
    const auto replaced = [&map](const Tensor& t) {
      const auto found = map.find(t);
      return found == map.end() ? t : found->second;
    };
    for (const Node* node : nodes_) {
      std::vector<Tensor> inputs;
      bool changed = false;
      for (const Tensor& input : node->inputs()) {
        inputs.push_back(replaced(input));
        changed |= !same(inputs.back(), input);
      }
      if (!changed) continue;
      const std::vector<Tensor> built = rebuild(*node, std::move(inputs));
      for (size_t i = 0; i < built.size(); ++i)
        map[Tensor(const_cast<Node*>(node), static_cast<int>(i))] = built[i];
    }
    for (const Tensor& t : outputs_) graph.outputs.push_back(replaced(t));
    return std::make_shared<const Graph>(std::move(graph));
  }

 private:
  bool is_inside(const Node& node) const {
    return node.id() > since_ && node.op() != Op::leaf && node.op() != Op::input;
  }
  static bool is_constant(const Node& node) {
    return node.op() == Op::full || node.op() == Op::iota || node.op() == Op::dense;
  }

  uint64_t since_;
  std::vector<Tensor> outputs_;
  std::vector<const Node*> nodes_;  // in the order of building
};

}  // namespace

std::vector<Tensor> cond(Operand condition, const std::function<std::vector<Tensor>()>& then,
                         const std::function<std::vector<Tensor>()>& otherwise) {
  const Provenance provenance(condition.where());
  const Tensor chosen = cast(condition.value(), DType::b8);
  const uint64_t since = Tensor::scalar(0, DType::i32).node().id();
  std::vector<Tensor> first = then();
  std::vector<Tensor> second = otherwise();
  if (first.size() != second.size())
    fail("cond", fmt::format("the branches give {} and {} tensors", first.size(), second.size()));
  for (size_t i = 0; i < first.size(); ++i) {
    std::vector<Tensor> both{first[i], second[i]};
    vary_together(both);
    first[i] = both[0];
    second[i] = both[1];
  }
  const Branch a(since, std::move(first));
  const Branch b(since, std::move(second));
  std::vector<Tensor> captured;
  a.capture(captured);
  b.capture(captured);
  Attrs attrs{{Attr::then, a.graph(captured)}, {Attr::otherwise, b.graph(captured)}};
  captured.insert(captured.begin(), chosen);
  return make_many(Op::cond, std::move(captured), std::move(attrs));
}

Step loop(Operand count, std::vector<Tensor> carried, std::vector<Tensor> scanned,
          const std::function<Step(const Tensor&, std::span<const Tensor>,
                                   std::span<const Tensor>)>& body,
          const LoopOptions& options) {
  const Provenance provenance(count.where());
  std::optional<int64_t> max = options.max;
  for (const Tensor& t : scanned) {
    if (t.rank() == 0) fail("loop", "a scanned tensor needs a first axis");
    if (!max) max = t.size(0);
  }
  if (!max && count.is_number()) max = std::max<int64_t>(0, count.number().as_integer());
  if (!max)
    fail("loop",
         "the count is a tensor and nothing is scanned: set LoopOptions::max, the largest count");
  const Tensor n = count.is_number() ? count.as(DType::i64) : count.tensor();
  const Tensor steps = n.dtype() == DType::i32 ? n : cast(minimum(n, *max), DType::i32);

  std::vector<TensorType> types{{DType::i32, {}}};
  for (const Tensor& t : carried) types.push_back(t.type());
  for (const Tensor& t : scanned) {
    types.push_back(t.type());
    types.back().shape.erase(0);
  }
  const size_t kept = carried.size();
  const Graph traced = trace(
      [&](std::span<const Tensor> in) {
        Step next = body(in[0], in.subspan(1, kept), in.subspan(1 + kept));
        if (next.carried.size() != kept)
          fail("loop", fmt::format("{} values are carried in, {} out", kept, next.carried.size()));
        next.carried.insert(next.carried.end(), next.stacked.begin(), next.stacked.end());
        return next.carried;
      },
      types);

  std::vector<Tensor> operands{steps};
  operands.insert(operands.end(), carried.begin(), carried.end());
  operands.insert(operands.end(), scanned.begin(), scanned.end());
  Attrs attrs{{Attr::body, std::make_shared<const Graph>(close_over(traced, operands))},
              {Attr::max, *max},
              {Attr::carried, static_cast<int64_t>(kept)},
              {Attr::scanned, static_cast<int64_t>(scanned.size())}};
  if (options.reverse) attrs.set(Attr::reverse, true);
  std::vector<Tensor> outputs = make_many(Op::loop, std::move(operands), std::move(attrs));
  Step result;
  result.stacked.assign(outputs.begin() + static_cast<int64_t>(kept), outputs.end());
  outputs.resize(kept);
  result.carried = std::move(outputs);
  return result;
}

std::vector<Tensor> fori(
    Operand count, std::vector<Tensor> carried,
    const std::function<std::vector<Tensor>(const Tensor&, std::span<const Tensor>)>& body,
    const LoopOptions& options) {
  return loop(
             std::move(count), std::move(carried), {},
             [&](const Tensor& k, std::span<const Tensor> values, std::span<const Tensor>) {
               return Step{body(k, values)};
             },
             options)
      .carried;
}

Tensor fori(Operand count, const Tensor& carried,
            const std::function<Tensor(const Tensor&, const Tensor&)>& body,
            const LoopOptions& options) {
  return fori(
      std::move(count), std::vector<Tensor>{carried},
      [&](const Tensor& k, std::span<const Tensor> values) {
        return std::vector<Tensor>{body(k, values[0])};
      },
      options)[0];
}

Step scan(std::vector<Tensor> carried, std::vector<Tensor> scanned,
          const std::function<Step(std::span<const Tensor>, std::span<const Tensor>)>& body,
          bool reverse, const std::source_location& where) {
  const Provenance provenance(where);
  if (scanned.empty()) fail("scan", "nothing is scanned: use fori");
  LoopOptions options;
  options.reverse = reverse;
  const int64_t rows = scanned[0].rank() ? scanned[0].size(0) : 0;
  return loop(
      Operand(rows, where), std::move(carried), std::move(scanned),
      [&](const Tensor&, std::span<const Tensor> values, std::span<const Tensor> row) {
        return body(values, row);
      },
      options);
}

}  // namespace cairn
