// Graphs on threads as ranks: each rank builds the program, differentiates it and evaluates it in a
// Runtime of its own, as processes would.
#pragma once

#include "cairn/ops/collective.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/runtime.h"
#include "cairn/transforms/vjp.h"
#include "tests/comm/ranks.h"
#include "tests/support/checked_runtime.h"

namespace cairn::test {

using Values = std::vector<double>;

// Small integers: in f64 all sums and products of these tests are exact, so results of different
// orders of summation are equal, not merely near.
inline HostArray integers(const Shape& shape, int seed) {
  HostArray array(DType::f64, shape);
  for (int64_t i = 0; i < array.elements(); ++i)
    array.mutable_span<double>()[static_cast<size_t>(i)] =
        static_cast<double>((i * 7 + seed * 13 + i * i % 11) % 9 - 4);
  return array;
}

// A leaf that differs along the axes: this rank's own.
inline Tensor own(Runtime& runtime, const HostArray& values, std::vector<std::string> axes) {
  const Tensor t = runtime.upload(values);
  return Tensor::leaf({t.dtype(), t.shape(), {}, std::move(axes)}, t.buffer());
}

inline Runtime& runtime() {
  static Runtime instance({"ref", 1});  // of several threads at once
  return instance;
}

inline std::vector<Values> values_of(Runtime& on, std::span<const Tensor> tensors) {
  std::vector<Values> result;
  for (const Tensor& t : eval(on, tensors)) result.push_back(t.to_vector<double>());
  return result;
}

// Part `index` of `count` along an axis, on the host.
inline HostArray part(const HostArray& whole, int axis, int64_t count, int64_t index) {
  const int64_t size = whole.shape()[axis] / count;
  return eval(runtime(), slice_axis(Tensor(whole), axis, index * size, (index + 1) * size)).host();
}
inline HostArray row(const HostArray& whole, int64_t index) {
  return eval(runtime(), squeeze(slice_axis(Tensor(whole), 0, index, index + 1), {0})).host();
}

// body(rank, runtime with its mesh).
inline void on_ranks(std::span<const LocalMeshAxis> axes,
                     const std::function<void(int, Runtime&)>& body) {
  const std::vector<LocalMesh> meshes = make_local_mesh(axes);
  run_ranks(meshes, [&](int rank) {
    Runtime own_runtime(test::checked({"ref", 1}));
    own_runtime.mesh() = meshes[static_cast<size_t>(rank)];
    body(rank, own_runtime);
  });
}
inline void on_ranks(int ranks, const std::function<void(int, Runtime&)>& body) {
  const LocalMeshAxis axis{"data", ranks};
  on_ranks({&axis, 1}, body);
}

}  // namespace cairn::test
