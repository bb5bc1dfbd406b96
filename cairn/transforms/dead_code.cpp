// Removal of results that nobody reads. A node that nothing reaches is not in a graph at all; what
// is left are unused results of operations with several: loop (derivatives of loops stack values
// and carry tangents that are often not needed), cond and barrier.
#include <algorithm>

#include "cairn/transforms/rewrite.h"

namespace cairn::detail {
namespace {

// What a node is replaced by: its new outputs, and which old output each of them stands for.
struct Trimmed {
  std::vector<Tensor> outputs;
  std::vector<size_t> old_outputs;
};

std::vector<bool> reached_inputs(const Graph& graph) {
  TensorMap<bool> reached;
  for (const Node* node : topological_order(graph.outputs))
    for (const Tensor& input : node->inputs()) reached[input] = true;
  for (const Tensor& output : graph.outputs) reached[output] = true;
  std::vector<bool> flags;
  for (const Tensor& input : graph.inputs) flags.push_back(reached.contains(input));
  return flags;
}

Trimmed trim_barrier(const Node& node, const std::vector<Tensor>& inputs,
                     const std::vector<bool>& used) {
  Trimmed trimmed;
  std::vector<Tensor> kept;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!used[i]) continue;
    kept.push_back(inputs[i]);
    trimmed.old_outputs.push_back(i);
  }
  trimmed.outputs = rebuild(node, std::move(kept));
  return trimmed;
}

Trimmed trim_cond(const Node& node, const std::vector<Tensor>& inputs,
                  const std::vector<bool>& used) {
  Trimmed trimmed;
  for (size_t i = 0; i < used.size(); ++i)
    if (used[i]) trimmed.old_outputs.push_back(i);
  Attrs attrs = node.attrs();
  std::vector<bool> read(inputs.size() - 1);
  Graph branches[2];
  const Attr keys[] = {Attr::then, Attr::otherwise};
  for (int b = 0; b < 2; ++b) {
    branches[b] = *node.attrs().graph(keys[b]);
    std::vector<Tensor> outputs;
    for (size_t i : trimmed.old_outputs) outputs.push_back(branches[b].outputs[i]);
    branches[b].outputs = std::move(outputs);
    branches[b].output_names.clear();
    const std::vector<bool> reached = reached_inputs(branches[b]);
    for (size_t i = 0; i < read.size(); ++i) read[i] = read[i] || reached[i];
  }
  std::vector<Tensor> operands{inputs[0]};
  for (int b = 0; b < 2; ++b) {
    std::vector<Tensor> kept;
    for (size_t i = 0; i < read.size(); ++i)
      if (read[i]) kept.push_back(branches[b].inputs[i]);
    branches[b].inputs = std::move(kept);
    attrs.set(keys[b], std::make_shared<const Graph>(branches[b]));
  }
  for (size_t i = 0; i < read.size(); ++i)
    if (read[i]) operands.push_back(inputs[i + 1]);
  trimmed.outputs = rebuild(node, std::move(operands), std::move(attrs));
  return trimmed;
}

// A carried value stays when its result is used or when what stays reads it.
Trimmed trim_loop(const Node& node, const std::vector<Tensor>& inputs,
                  const std::vector<bool>& used) {
  const Graph& body = *node.attrs().graph(Attr::body);
  const size_t carried = static_cast<size_t>(node.attrs().integer(Attr::carried));
  const size_t scanned = static_cast<size_t>(node.attrs().integer(Attr::scanned));
  std::vector<bool> kept = used;
  std::vector<bool> read;
  Graph inner{body.name, {}, {}, {}};
  for (bool grown = true; grown;) {
    grown = false;
    inner.outputs.clear();
    for (size_t i = 0; i < kept.size(); ++i)
      if (kept[i]) inner.outputs.push_back(body.outputs[i]);
    read = reached_inputs({body.name, body.inputs, inner.outputs, {}});
    for (size_t i = 0; i < carried; ++i) {
      if (!read[i + 1] || kept[i]) continue;
      kept[i] = true;
      grown = true;
    }
  }
  Trimmed trimmed;
  for (size_t i = 0; i < kept.size(); ++i)
    if (kept[i]) trimmed.old_outputs.push_back(i);
  std::vector<Tensor> operands;
  int64_t carries = 0, scans = 0;
  for (size_t i = 0; i < body.inputs.size(); ++i) {
    const bool is_carried = i > 0 && i <= carried;
    const bool is_scanned = i > carried && i <= carried + scanned;
    if (i > 0 && !(is_carried ? kept[i - 1] : read[i])) continue;
    carries += is_carried;
    scans += is_scanned;
    inner.inputs.push_back(body.inputs[i]);
    operands.push_back(inputs[i]);
  }
  Attrs attrs = node.attrs();
  attrs.set(Attr::carried, carries);
  attrs.set(Attr::scanned, scans);
  attrs.set(Attr::body, std::make_shared<const Graph>(std::move(inner)));
  trimmed.outputs = rebuild(node, std::move(operands), std::move(attrs));
  return trimmed;
}

// A region whose own loops and branches are trimmed.
Attrs trimmed_regions(const Node& node, int64_t& rewrites) {
  Attrs attrs = node.attrs();
  for (const auto& [key, value] : node.attrs()) {
    const auto* region = std::get_if<GraphPtr>(&value);
    if (!region) continue;
    int64_t inside = 0;
    Graph changed = remove_dead(**region, inside);
    if (inside) attrs.set(key, std::make_shared<const Graph>(std::move(changed)));
    rewrites += inside;
  }
  return attrs;
}

}  // namespace

Graph remove_dead(const Graph& graph, int64_t& rewrites) {
  TensorMap<bool> used;
  const std::vector<const Node*> order = topological_order(graph.outputs);
  for (const Node* node : order)
    for (const Tensor& input : node->inputs()) used[input] = true;
  for (const Tensor& output : graph.outputs) used[output] = true;
  TensorMap<Tensor> map;
  const auto now = [&](const Tensor& t) {
    const auto found = map.find(t);
    return found == map.end() ? t : found->second;
  };
  bool changed = false;  // from the first change on, as in rewrite_graph
  for (const Node* node : order) {
    if (node->op() == Op::input || node->op() == Op::leaf) continue;
    std::vector<Tensor> inputs;
    for (const Tensor& input : node->inputs()) {
      inputs.push_back(now(input));
      changed |= !same(inputs.back(), input);
    }
    const auto old = [&](size_t i) { return Tensor(const_cast<Node*>(node), static_cast<int>(i)); };
    std::vector<bool> reads;
    for (int i = 0; i < node->output_count(); ++i)
      reads.push_back(used.contains(old(static_cast<size_t>(i))));
    const bool has_regions = node->op() == Op::cond || node->op() == Op::loop;
    if (has_regions || node->op() == Op::barrier) {
      const int64_t before = rewrites;
      Attrs attrs = has_regions ? trimmed_regions(*node, rewrites) : node->attrs();
      Tensor current = old(0);
      changed |= rewrites > before;
      if (changed) current = rebuild(*node, inputs, std::move(attrs))[0];
      Trimmed trimmed{all_outputs(current), {}};
      for (size_t i = 0; i < trimmed.outputs.size(); ++i) trimmed.old_outputs.push_back(i);
      if (std::find(reads.begin(), reads.end(), false) != reads.end()) {
        const Node& n = current.node();
        Trimmed less = node->op() == Op::loop   ? trim_loop(n, inputs, reads)
                       : node->op() == Op::cond ? trim_cond(n, inputs, reads)
                                                : trim_barrier(n, inputs, reads);
        if (less.outputs.size() < trimmed.outputs.size()) {
          ++rewrites;
          changed = true;
          trimmed = std::move(less);
        }
      }
      for (size_t i = 0; i < trimmed.outputs.size(); ++i)
        if (!same(trimmed.outputs[i], old(trimmed.old_outputs[i])))
          map[old(trimmed.old_outputs[i])] = trimmed.outputs[i];
    } else if (changed) {
      const std::vector<Tensor> outputs = rebuild(*node, std::move(inputs));
      for (size_t i = 0; i < outputs.size(); ++i) map[old(i)] = outputs[i];
    }
  }
  Graph result{graph.name, graph.inputs, {}, graph.output_names};
  for (const Tensor& output : graph.outputs) result.outputs.push_back(now(output));
  return result;
}

}  // namespace cairn::detail
