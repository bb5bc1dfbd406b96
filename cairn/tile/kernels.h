// Named kernels: the operations that models spend their time in, written in the tile language.
//
// They are examples, a library to start from, and what compilers and back ends are tried on. Each
// comes with what it takes to run it alone: arguments for a shape, filled from a seed, and plain
// loops in f64 that say what comes out and how far off a kernel may be. `cairn kernel` lists, shows
// and runs them.
//
// Sizes are parameters of a kernel, and any size works. Narrow floats are read, computed in f32,
// and rounded once when they are written. A shape given to `make` chooses blocks only.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "cairn/core/host_array.h"
#include "cairn/tile/interpreter.h"

namespace cairn::tile {

// What a launch passes, one for each parameter of the kernel.
struct KernelCall {
  std::vector<std::variant<HostArray, Number>> values;

  HostArray& array(int parameter) { return std::get<HostArray>(values[size_t(parameter)]); }
  const HostArray& array(int parameter) const {
    return std::get<HostArray>(values[size_t(parameter)]);
  }
  double number(int parameter) const {
    return std::get<Number>(values[size_t(parameter)]).as_double();
  }
  std::vector<Argument> arguments();
  std::vector<Number> scalars() const;
};

// What a buffer holds afterwards, and the largest error that roundings explain: a bound from the
// order of the operations and the errors of tile/math.h, not a measured figure. Of a large buffer
// some elements, evenly spread, with the last.
struct Expected {
  int parameter = 0;
  std::vector<int64_t> elements;  // which
  std::vector<double> values, tolerances;
};

struct NamedKernel {
  std::string_view name;
  std::string_view summary;
  std::string_view axes;  // what the sizes of a shape are: "ROWSxCOLUMNS"; empty: any shape
  Shape shape;            // a usual one
  Shape small_shape;      // one that the interpreter runs in a moment
  std::vector<DType> dtypes;

  // `block`: one of blocks; empty where there are none.
  Kernel (*make_in)(DType dtype, const Shape& shape, const Ints& block);
  // Inputs are filled from the seed, outputs with bytes that are no result.
  KernelCall (*call)(DType dtype, const Shape& shape, uint64_t seed);
  // For a call that has not run yet.
  std::vector<Expected> (*expect)(DType dtype, const Shape& shape, const KernelCall& call);
  // Floating-point operations of its products, a multiply-add being two; null where there are none.
  double (*flops)(const Shape& shape, const KernelCall& call) = nullptr;
  // What a program of the grid may take, the usual first: elements, or rows x columns x depth of a
  // product. The results are the same, bit for bit.
  std::vector<Ints> blocks = {};

  Kernel make(DType dtype, const Shape& given) const {
    return make_in(dtype, given, blocks.empty() ? Ints{} : blocks[0]);
  }
};

std::span<const NamedKernel> named_kernels();
// Throws Error that names the nearest one.
const NamedKernel& named_kernel(std::string_view name);
// Throws Error where the kernel does not take that type or shape.
void check(const NamedKernel& kernel, DType dtype, const Shape& shape);

struct Difference {
  double error = 0;      // the largest
  double tolerance = 0;  // there
  double ratio = 0;      // the largest of error / tolerance; above 1 the kernel is wrong
  int64_t element = 0;   // where that ratio is
};
Difference compare(const Expected& expected, const HostArray& result);

}  // namespace cairn::tile
