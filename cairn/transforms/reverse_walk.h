// Reverse-mode differentiation of a graph in two steps. Not part of the public interface.
//
// First the graph is walked forward: every node that depends on a tensor of `wrt` is marked, and a
// loop among them is built again so that it keeps what its backward loop reads. Then cotangents are
// pulled from the roots to `wrt`, in reverse order of building. Sums of cotangents are formed in
// that order, which makes them deterministic. Backward nodes take scope and location of their
// forward node.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cairn/transforms/substitute.h"

namespace cairn::detail {

// How a loop that was built with residuals is run backward (vjp_control.cpp).
struct LoopTape {
  // The backward loop: carried are cotangents of `carried`, then sums for `captured`; scanned are
  // `residuals`, `scanned_reads`, then cotangents of `stacked`; captured are `captured_reads`.
  GraphPtr body;
  int forward_outputs = 0;          // those before the residuals
  std::vector<int> carried;         // operands whose cotangents are carried
  std::vector<int> captured;        // operands whose cotangents are summed
  std::vector<int> scanned;         // operands whose cotangents are stacked
  std::vector<int> stacked;         // outputs whose cotangents are read
  std::vector<int> scanned_reads;   // scanned operands that the backward body reads
  std::vector<int> captured_reads;  // captured operands that it reads
};

struct TapedLoop {
  std::vector<Tensor> outputs;  // of the original loop
  LoopTape tape;
};

// Builds a loop node again with residuals; active: per operand, whether derivatives flow into it.
TapedLoop tape_loop(const Node& loop, std::vector<Tensor> inputs, const std::vector<bool>& active,
                    const MeshSizes& meshes);

class ReverseWalk {
 public:
  // meshes: sizes of mesh axes that the graph around this one knows.
  ReverseWalk(std::span<const Tensor> roots, std::span<const Tensor> wrt, MeshSizes meshes = {});

  // The roots, built again where a loop keeps residuals. Use these instead of the ones given.
  const std::vector<Tensor>& roots() const { return roots_; }
  // Whether a derivative flows into root i.
  bool reaches(size_t root) const { return differentiable(roots_[root]); }
  // Cotangents of wrt from those of the roots; undefined means zero, in both directions.
  std::vector<Tensor> pull(std::span<const Tensor> cotangents) const;

 private:
  bool active(const Tensor& t) const;
  bool differentiable(const Tensor& t) const;
  std::vector<Tensor> pull_node(const Node& node, std::span<const Tensor> cotangents) const;

  std::vector<Tensor> roots_, wrt_;
  std::vector<const Node*> order_;  // of roots_
  MeshSizes meshes_;
  TensorMap<bool> sources_;
  std::unordered_set<const Node*> active_;
  std::unordered_map<const Node*, LoopTape> tapes_;
};

}  // namespace cairn::detail
