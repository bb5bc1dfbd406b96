// Derivatives of a whole graph as graphs: what control flow and the public transforms are made of.
// Not part of the public interface.
#pragma once

#include <vector>

#include "cairn/graph/graph.h"
#include "cairn/transforms/rules.h"

namespace cairn::detail {

// A placeholder of the type of a tangent (or cotangent) of `like`, named prefix + its name.
Tensor tangent_input(const Tensor& like, const std::string& prefix);

// inputs: those of `graph`, then a cotangent for each output that `given` marks.
// outputs: the graph's outputs when `with_outputs`, then the cotangents of the inputs in `wrt`,
// zeros where there is no dependence.
Graph pullback(const Graph& graph, const std::vector<bool>& given, const std::vector<int>& wrt,
               bool with_outputs = false, const MeshSizes& meshes = {});

// Tangents (undefined: zero) of `roots` for tangents of some tensors that they depend on. The roots
// come back too: control flow computes values and tangents in one body.
Pushed push(std::span<const Tensor> roots, const TensorMap<Tensor>& tangents);

// inputs: those of `graph`, then tangents of those that `given` marks. `tangents` of the result may
// be undefined.
struct PushedGraph {
  std::vector<Tensor> inputs;
  Pushed results;
};
PushedGraph push_graph(const Graph& graph, const std::vector<bool>& given);

// A node of Op::custom named kCheckpoint is differentiated by computing its body again.
inline constexpr const char* kCheckpoint = "checkpoint";

}  // namespace cairn::detail
