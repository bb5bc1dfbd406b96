// Initialisers: what a field holds until `initialize` gives it a value. Each is a small graph with
// one input, the key that initialize() derives from the seed and the field's path.
//
// fan_in and fan_out are those of PyTorch: a weight [out, in, kernel...] has fan_in = in * kernel.
#pragma once

#include "cairn/graph/tensor.h"

namespace cairn::init {

Tensor zeros(const Shape& shape);
Tensor ones(const Shape& shape);
Tensor constant(const Shape& shape, double value);
Tensor uniform(const Shape& shape, double low, double high);
Tensor normal(const Shape& shape, double mean, double standard_deviation);
// Normal, drawn again (by the inverse of the distribution) within two standard deviations.
Tensor truncated_normal(const Shape& shape, double mean, double standard_deviation);
Tensor xavier_uniform(const Shape& shape, double gain = 1);  // Glorot and Bengio 2010
Tensor xavier_normal(const Shape& shape, double gain = 1);
Tensor kaiming_uniform(const Shape& shape,
                       double gain = 1.4142135623730951);  // He et al. 2015, fan_in
Tensor kaiming_normal(const Shape& shape, double gain = 1.4142135623730951);

}  // namespace cairn::init
