// A custom operation's tile kernel: what computes a node of Op::custom on a device that compiles
// kernels, in place of its fallback.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cairn/graph/tensor.h"
#include "cairn/tile/ir.h"

namespace cairn {

struct CustomTypes {
  std::span<const TensorType> inputs, outputs;
};

// The kernel's parameters are a buffer for each operand, a buffer for each result, then scalars. It
// computes what the fallback does, within roundings, and writes every element of the results.
struct CustomKernel {
  std::function<tile::Kernel(const CustomTypes&)> make;
  // Values of the scalar parameters: the sizes of this call.
  std::function<std::vector<Number>(const CustomTypes&)> scalars;
  // What `make` reads of the types beside dtypes; without it nothing, and one kernel serves all
  // sizes. Equal keys, equal kernels.
  std::function<Ints(const CustomTypes&)> key = nullptr;
  // Kernels of one name are equal where keys and dtypes are, whatever node they are of, and are
  // made once. Empty: of this node alone.
  std::string name = {};
};

}  // namespace cairn
