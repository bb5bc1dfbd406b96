// What the batching rules share. Not part of the public interface. Inside, the batch axis is axis
// 0.
#pragma once

#include <span>
#include <vector>

#include "cairn/graph/graph.h"

namespace cairn::detail {

struct Batched {
  Tensor value;
  bool batched = false;
};

struct BatchContext {
  const Node& node;
  const std::vector<Batched>& inputs;
  int64_t size;  // of the batch

  const Attrs& attrs() const { return node.attrs(); }
  bool batched(int i) const { return inputs[static_cast<size_t>(i)].batched; }
  const Tensor& value(int i) const { return inputs[static_cast<size_t>(i)].value; }
  // Operand i with a batch axis, repeated along it if it had none.
  Tensor with_batch(int i) const;
  // Shape of operand i of one example.
  const Shape& example(int i) const { return node.input(i).shape(); }
  std::vector<Tensor> all_with_batch() const;
};

// At least one operand is batched.
using BatchRule = std::vector<Batched> (*)(const BatchContext& c);

// Null where there is none; elementwise operations and constants need none.
BatchRule batch_rule(Op op);

// x repeated along a new axis 0.
Tensor repeat(const Tensor& x, int64_t size);
Ints prefixed(const Ints& list, int64_t first);
// Axes of an example as axes of a batch.
Ints behind_batch(const Ints& axes);
std::vector<Batched> all_batched(const std::vector<Tensor>& outputs);

// The outputs of `graph` for inputs of which some are batched.
std::vector<Batched> batch_graph(const Graph& graph, std::vector<Batched> inputs, int64_t size);
// The graph on inputs of which those that `batched` marks have a batch axis. Outputs that `forced`
// marks get one even if they do not need it; `results` says which have one.
Graph batched_graph(const Graph& graph, const std::vector<bool>& batched, int64_t size,
                    const std::vector<bool>& forced, std::vector<bool>& results);

// Control flow (vmap_control.cpp) and products (vmap_products.cpp).
std::vector<Batched> batch_cond(const BatchContext& c);
std::vector<Batched> batch_loop(const BatchContext& c);
std::vector<Batched> batch_custom(const BatchContext& c);
std::vector<Batched> batch_matmul(const BatchContext& c);
std::vector<Batched> batch_grouped_matmul(const BatchContext& c);
std::vector<Batched> batch_convolution(const BatchContext& c);
// Indexing (vmap_indexing.cpp).
std::vector<Batched> batch_dynamic_slice(const BatchContext& c);
std::vector<Batched> batch_dynamic_update_slice(const BatchContext& c);
std::vector<Batched> batch_gather(const BatchContext& c);
std::vector<Batched> batch_scatter(const BatchContext& c);

}  // namespace cairn::detail
