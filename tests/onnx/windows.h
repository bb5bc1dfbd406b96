// What convolutions and pools of ONNX share: sizes per spatial axis, given in several ways.
#pragma once

#include "tests/onnx/operators.h"

namespace cairn::test {

// One number per spatial axis.
struct OnnxWindows {
  Ints kernel, stride, dilation;
  Ints low, high;  // padding that the node states or auto_pad implies
  Ints beyond;     // what ceil_mode adds behind that, to complete the last window

  bool is_dilated() const { return dilation != Ints(dilation.size(), 1); }
  bool is_symmetric() const { return low == high && beyond == Ints(beyond.size(), 0); }
};

// Of x[N, C, S...]; `kernel` replaces the attribute where it is not empty.
OnnxWindows onnx_windows(const OnnxCall& c, const Tensor& x, Ints kernel = {});

// The convolution of a node with these attributes, of operands that may have been changed before.
Tensor onnx_convolution(const OnnxCall& c, const Tensor& x, const Tensor& weight,
                        const Tensor& bias);

}  // namespace cairn::test
