// What the operation cases give when an axis of their operands has no elements.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/ops/op_cases.h"

namespace cairn::test {

// Axes that have one size together: at most one of each operand, -1 for none of it.
struct TiedAxes {
  std::vector<int> axis;
  int64_t size;
};

// The operands with these axes at another size; those that have one of them are zeros.
std::vector<Tensor> resized(const std::vector<Tensor>& leaves, const TiedAxes& tied, int64_t size);

// The axes of a row that may have another size; no set holds another. Found by building the call
// at two and three times the size: sizes that a window, a group or a reshape must divide stay
// divisible, and an axis of 1 is not taken for free because it broadcasts to an axis of 2.
std::vector<TiedAxes> free_axes(const Case& c, const std::vector<Tensor>& leaves);

// Shapes of the results at size 0: on the line through those at the size, at twice and at three
// times it. None where they lie on no line, or where a function's line does not go on to 0.
std::vector<std::optional<Shape>> shapes_of_nothing(const Case& c,
                                                    const std::vector<Tensor>& leaves,
                                                    const TiedAxes& tied);

// What the results must be, of these shapes, at operands with empty ones among them: by the row's
// reference where that holds for any size, else by a table of functions; an error of the test when
// there is neither. `zeros`: the results where those axes have their size and hold zeros.
Arrays values_of_nothing(const Case& c, const Arrays& operands, const std::vector<Shape>& shapes,
                         const Arrays& zeros);

// Functions that refuse a size of 0 in some axis, and part of what they say.
extern const std::multimap<std::string, std::string> kRefuseNothing;
// Functions that have no row with an axis that may be 0, and why.
extern const std::map<std::string, std::string> kWithoutFreeAxes;

}  // namespace cairn::test
