// What the compiler makes of a node, by what it computes.
#pragma once

#include <cstdint>

#include "cairn/graph/graph.h"

namespace cairn {

enum class NodeClass : uint8_t {
  other,      // no tile kernel; the reference backend computes it
  pointwise,  // an elementwise primitive, or pad, which reads its operand from memory
  indexing,   // a constant, or elements of the operand at other places: indices and no work
  reduction,  // a reduce of floats along one axis (axes of size 1 do not count)
  product,    // a matmul, or convolution with `axes`, of floats of one type, summed in f32 or f64
};

// `other` for everything in a build that cannot compile kernels.
NodeClass class_of(const Node& node);

// The axis along which a reduction combines more than one element.
int reduced_axis(const Node& reduction);

// Without axes of size 1.
Shape squeezed(const Shape& shape);

}  // namespace cairn
