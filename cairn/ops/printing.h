// Tensors as text, exactly as NumPy 2.4 prints arrays (str): shortest digits that give the number
// back, at most 8 after the point, aligned columns, lines of 75 characters, `...` in the middle of
// more than 1,000 elements.
#pragma once

#include <iosfwd>
#include <string>

#include "cairn/graph/tensor.h"

namespace cairn {

// The values of a leaf; on an unevaluated tensor this throws an Error that names eval().
std::string to_string(const Tensor& x);
std::ostream& operator<<(std::ostream& out, const Tensor& x);

}  // namespace cairn
