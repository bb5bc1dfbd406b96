// The interpreter of tile kernels: the debugger of the language and the oracle of its compilers.
//
// It runs one instruction at a time and one element at a time, every program of the grid in order,
// and checks what a compiled kernel takes for granted: each access is inside its buffer, buffers
// are aligned and sizes divisible as their parameters promise, and each `assume` holds. What an
// instruction computes is defined here (with graph/scalar.h and reduction_order.h); a compiled
// kernel gives the same bits where docs/adr/0013-same-bits.md asks for them. An instruction takes
// some 10 ns an element (a sum of two vectors with masks 80 ns, measured on an EPYC), `dot` 6 ns a
// product.
#pragma once

#include <array>
#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>

#include "cairn/core/dispatch.h"
#include "cairn/core/host_array.h"
#include "cairn/tile/ir.h"

namespace cairn::tile {

// Memory that a buffer parameter gets.
struct BufferView {
  DType dtype = DType::f32;
  void* data = nullptr;
  int64_t elements = 0;
  bool writable = true;
};

// What a launch passes for one parameter: memory or a number.
class Argument {
 public:
  Argument(const BufferView& view) : data_(view) {}
  template <class T>
  Argument(std::span<T> elements)
      : data_(BufferView{dtype_of<std::remove_const_t<T>>(),
                         const_cast<std::remove_const_t<T>*>(elements.data()),
                         static_cast<int64_t>(elements.size()), !std::is_const_v<T>}) {}
  // A constant array is for reading only.
  Argument(HostArray& array)
      : data_(BufferView{array.dtype(), array.mutable_data(), array.elements()}) {}
  Argument(const HostArray& array)
      : data_(BufferView{array.dtype(), const_cast<void*>(array.data()), array.elements(), false}) {
  }
  Argument(Number number) : data_(number) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  Argument(T number) {
    if constexpr (std::is_floating_point_v<T>)
      data_ = Number(static_cast<double>(number));
    else
      data_ = Number(static_cast<int64_t>(number));
  }

  const BufferView* buffer() const { return std::get_if<BufferView>(&data_); }
  const Number* number() const { return std::get_if<Number>(&data_); }

 private:
  std::variant<BufferView, Number> data_;
};

struct InterpretOptions {
  // Where `print` goes: one call for each tile, without a newline. Without it nothing is printed.
  std::function<void(std::string_view)> print;
  // Products of bf16 as `vdpbf16ps` forms them, for which subnormal numbers are 0
  // (docs/adr/0004-strict-numerics.md).
  bool bf16_subnormals_are_zero = false;
};

// Runs every program of the grid, the first axis fastest, on one argument for each parameter.
// Throws Error "[tile <instruction>] ..." with the kernel, the program, the element and the line of
// the kernel's source where an access is out of bounds, an assumption is false or a step is not
// positive, and "[tile <kernel>] ..." where the arguments break what the parameters promise. What
// was stored before that stays. The kernel is one that verify.h accepts. Where the mask of an
// atomic is false its result is 0.
void interpret(const Kernel& kernel, std::span<const Argument> arguments,
               const InterpretOptions& options = {});
inline void interpret(const Kernel& kernel, std::initializer_list<Argument> arguments,
                      const InterpretOptions& options = {}) {
  interpret(kernel, std::span(arguments.begin(), arguments.size()), options);
}

// The grid for these values of the scalar parameters, in their order; missing axes are 1. Checks
// the values as `interpret` does.
std::array<int64_t, kMaxGridRank> grid_of(const Kernel& kernel, std::span<const Number> scalars);

}  // namespace cairn::tile
