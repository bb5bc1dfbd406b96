// Graph: a function of tensors as a value. Transforms take one and give another; plans are made of
// it.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cairn/graph/tensor.h"

namespace cairn {

struct Graph {
  std::string name;
  std::vector<Tensor> inputs;  // nodes of Op::input, in the order of the arguments
  std::vector<Tensor> outputs;
  // Names of the outputs in the text form; empty, or one per output.
  std::vector<std::string> output_names;
};

struct CustomKernel;  // tile/custom_kernel.h

// A custom operation: a kernel with a fallback of plain primitives that defines it.
struct CustomDefinition {
  std::string name;
  // Builds the definition from operands.
  std::function<std::vector<Tensor>(std::span<const Tensor> inputs)> fallback;
  // Cotangents of the operands (an undefined Tensor means zero); without it the fallback's are
  // used.
  std::function<std::vector<Tensor>(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                                    std::span<const Tensor> cotangents)>
      vjp = nullptr;
  // Computes it where a device compiles kernels; elsewhere the fallback does.
  std::shared_ptr<const CustomKernel> kernel = nullptr;
  // The same results with products on numbers of a narrow type, as the transform `precision` asks;
  // without it the operation stays as it is.
  std::function<std::vector<Tensor>(std::span<const Tensor> inputs, DType compute)> narrowed =
      nullptr;
};
// Of a node of Op::custom; null where it has none.
const CustomKernel* kernel_of(const Node& custom);

using TensorFunction = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

// Calls fn on placeholders of the given types (names: "x0", ... unless given) and keeps what it
// built. Tensors that fn captures and that are leaves stay leaves inside the graph.
Graph trace(const TensorFunction& fn, std::span<const TensorType> types,
            std::span<const std::string> names = {});

// The graph's outputs for the given arguments: its nodes are built again on them. Types must agree.
std::vector<Tensor> call(const Graph& graph, std::span<const Tensor> args);

// Every node that the roots depend on, operands first, in the order of building.
std::vector<const Node*> topological_order(std::span<const Tensor> roots);

// Builds `node` again on other operands: the core of every transform. Leaves and inputs are
// returned as they are. Name, scope and location are kept.
std::vector<Tensor> rebuild(const Node& node, std::vector<Tensor> inputs);
std::vector<Tensor> rebuild(const Node& node, std::vector<Tensor> inputs, Attrs attrs);

// Builds the whole graph again, in the same order (which hashes and collectives follow), with
// replace(result, node, its new operands) in place of the nodes for which that gives something.
using Replacement = std::function<std::vector<Tensor>(Graph& result, const Node& node,
                                                      std::span<const Tensor> inputs)>;
Graph rebuild(const Graph& graph, const Replacement& replace);

// A graph whose body reads tensors that are not its inputs (free variables) gets them as further
// inputs, leaves included; the tensors are appended to `captured`. Constants are built again
// inside.
Graph close_over(const Graph& graph, std::vector<Tensor>& captured);

// Maps tensors to something, for graph walks.
struct TensorHash {
  size_t operator()(const Tensor& t) const {
    return std::hash<const void*>()(t.node_pointer()) * 31 + static_cast<size_t>(t.output());
  }
};
struct SameTensor {
  bool operator()(const Tensor& a, const Tensor& b) const { return same(a, b); }
};
template <class T>
using TensorMap = std::unordered_map<Tensor, T, TensorHash, SameTensor>;
using TensorSet = std::unordered_set<Tensor, TensorHash, SameTensor>;
// Whether the lists hold the same results of the same nodes.
bool same(std::span<const Tensor> a, std::span<const Tensor> b);
// The first place of `t` itself in `tensors`, tensors.size() when it is not there.
size_t index_of(std::span<const Tensor> tensors, const Tensor& t);

}  // namespace cairn
