#include "tests/ops/zero_sizes.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>

namespace cairn::test {
namespace {

bool within(const TiedAxes& small, const TiedAxes& large) {
  for (size_t i = 0; i < small.axis.size(); ++i)
    if (small.axis[i] >= 0 && small.axis[i] != large.axis[i]) return false;
  return true;
}

// Sets of axes of one size, smaller sets first.
std::vector<TiedAxes> candidates(const std::vector<Tensor>& leaves) {
  std::vector<TiedAxes> all{{std::vector<int>(leaves.size(), -1), -1}};
  for (size_t i = 0; i < leaves.size(); ++i) {
    const size_t known = all.size();
    for (int axis = 0; axis < leaves[i].rank(); ++axis)
      for (size_t k = 0; k < known; ++k) {
        const int64_t size = leaves[i].shape()[axis];
        if (size < 1 || (all[k].size >= 0 && all[k].size != size)) continue;
        TiedAxes more = all[k];
        more.axis[i] = axis;
        more.size = size;
        all.push_back(more);
      }
  }
  all.erase(all.begin());
  const auto tied = [](const TiedAxes& t) {
    return std::count_if(t.axis.begin(), t.axis.end(), [](int axis) { return axis >= 0; });
  };
  std::stable_sort(all.begin(), all.end(),
                   [&](const auto& a, const auto& b) { return tied(a) < tied(b); });
  return all;
}

bool builds(const Case& c, const std::vector<Tensor>& operands, const std::vector<Tensor>& like) {
  try {
    const std::vector<Tensor> results = c.call(operands);
    return std::equal(results.begin(), results.end(), like.begin(), like.end(),
                      [](const Tensor& a, const Tensor& b) { return a.rank() == b.rank(); });
  } catch (const Error&) {
    return false;
  }
}

// Results at more than 0 that change by more or less than what is left at 0.
const std::set<std::string> kNoLine = {
    "convolution",     // a window of size 0 has no dilation; strides leave elements over
    "conv_transpose",  // likewise
    "pad",             // n elements have n - 1 gaps for interior padding, 0 have none
    "diag",            // as long as the shorter axis
    "slice",           // bounds beyond the end are the end
    "slice_axis",
};

using Values = std::function<Array(const Case& c, const Arrays& in, size_t output,
                                   const Shape& shape, const Arrays& zeros)>;

Values filled(double value) {
  return [value](const Case&, const Arrays&, size_t, const Shape& shape, const Arrays&) {
    return Array(shape, std::vector<double>(static_cast<size_t>(shape.elements()), value));
  };
}

// 0 where the row's name says so, else another number.
Values zero_if(const std::string& word, double otherwise) {
  return
      [=](const Case& c, const Arrays& in, size_t output, const Shape& shape, const Arrays& zeros) {
        const bool yes = c.name.find(word) != std::string::npos;
        return filled(yes ? 0 : otherwise)(c, in, output, shape, zeros);
      };
}

// The mean over a batch of what has no elements is 0 too.
Array kl_div_of_nothing(const Case& c, const Arrays& in, size_t output, const Shape& shape,
                        const Arrays& zeros) {
  const bool of_a_batch = c.name.find("/batchmean") != std::string::npos && in[0].shape[0] > 0;
  return (of_a_batch ? filled(0) : zero_if("/sum", NAN))(c, in, output, shape, zeros);
}

// The bias [channels] along axis 1, if there is one.
Array bias_alone(const Case&, const Arrays& in, size_t, const Shape& shape, const Arrays&) {
  Array out(shape);
  if (in.size() == 3) for_each_index(shape, [&](const Ints& i) { out[out.at(i)] = in[2][i[1]]; });
  return out;
}

Array first_operand(const Case&, const Arrays& in, size_t, const Shape&, const Arrays&) {
  return in[0];
}

// The operand that has elements; these rows have one.
Array what_is_left(const Case&, const Arrays& in, size_t, const Shape& shape, const Arrays&) {
  for (const Array& x : in)
    if (x.size() == shape.elements()) return {shape, x.v};
  throw Error("no operand has all the elements");
}

// Without keys nothing is seen, out is 0 and the logarithm of no sum -inf. Without width all scores
// are 0, as they are of zeros.
Array attention_of_nothing(const Case&, const Arrays& in, size_t output, const Shape& shape,
                           const Arrays& zeros) {
  const bool no_blocks = in.size() > 3 && in[3].size() == 0;
  if (in[1].shape[2] > 0 && !no_blocks) return zeros[output];
  return filled(output == 0 ? 0 : -INFINITY)({}, {}, output, shape, {});
}

// Values, counts and count: the fill value that the rows give, and none of any.
Array unique_of_nothing(const Case& c, const Arrays&, size_t output, const Shape& shape,
                        const Arrays& zeros) {
  // Zeros are one value at most: the rest of its list is the fill value.
  if (output == 0) return filled(zeros[0].v.back())(c, {}, output, shape, {});
  return Array(shape);
}

const std::map<std::string, Values> kOfNothing = {
    {"sum", filled(0)},
    {"trace", filled(0)},
    {"norm", filled(0)},
    {"any", filled(0)},
    {"diag", filled(0)},
    {"dot", filled(0)},
    {"matmul", filled(0)},
    {"tensordot", filled(0)},
    {"einsum", filled(0)},
    {"cosine_similarity", filled(0)},
    {"prod", filled(1)},
    {"all", filled(1)},
    {"logsumexp", filled(-INFINITY)},
    {"mean", filled(NAN)},
    {"variance", filled(NAN)},
    {"standard_deviation", filled(NAN)},
    {"adaptive_avg_pool", filled(NAN)},
    {"batch_norm", filled(NAN)},  // the running means: what is blended in is NaN
    {"max_pool", filled(-INFINITY)},
    {"avg_pool", zero_if("True", NAN)},  // whether padding counts
    {"mse_loss", zero_if("/sum", NAN)},
    {"l1_loss", zero_if("/sum", NAN)},
    {"huber_loss", zero_if("/sum", NAN)},
    {"smooth_l1_loss", zero_if("/sum", NAN)},
    {"bce_with_logits", zero_if("/sum", NAN)},
    {"cross_entropy", zero_if("/sum", NAN)},
    {"nll_loss", zero_if("/sum", NAN)},
    {"kl_div", kl_div_of_nothing},
    {"pad", filled(1.5)},  // the rows' padding
    {"convolution", bias_alone},
    {"conv_transpose", bias_alone},
    {"index_update", first_operand},
    {"scatter_along_axis", first_operand},
    {"concatenate", what_is_left},
    {"attention", attention_of_nothing},
    {"unique", unique_of_nothing},
};

// The row's reference, unless it was written for the sizes of the row.
std::optional<Arrays> by_reference(const Case& c, const Arrays& operands,
                                   const std::vector<Shape>& shapes) {
  if (!c.reference) return std::nullopt;
  try {
    Arrays values = c.reference(operands);
    for (size_t i = 0; i < shapes.size(); ++i)
      if (to_string(values.at(i).shape) != to_string(shapes[i])) return std::nullopt;
    return values;
  } catch (const std::out_of_range&) {
    return std::nullopt;
  }
}

}  // namespace

std::vector<Tensor> resized(const std::vector<Tensor>& leaves, const TiedAxes& tied, int64_t size) {
  std::vector<Tensor> result;
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (tied.axis[i] < 0) {
      result.push_back(leaves[i]);
      continue;
    }
    Shape shape = leaves[i].shape();
    shape[tied.axis[i]] = size;
    result.emplace_back(typed(Array(shape), leaves[i].dtype()));
  }
  return result;
}

std::vector<TiedAxes> free_axes(const Case& c, const std::vector<Tensor>& leaves) {
  const std::vector<Tensor> results = c.call(leaves);
  std::vector<TiedAxes> all;
  for (const TiedAxes& tied : candidates(leaves)) {
    const auto is_within = [&](const TiedAxes& known) { return within(known, tied); };
    if (std::any_of(all.begin(), all.end(), is_within)) continue;
    if (builds(c, resized(leaves, tied, 2 * tied.size), results) &&
        builds(c, resized(leaves, tied, 3 * tied.size), results))
      all.push_back(tied);
  }
  return all;
}

std::vector<std::optional<Shape>> shapes_of_nothing(const Case& c,
                                                    const std::vector<Tensor>& leaves,
                                                    const TiedAxes& tied) {
  const std::vector<Tensor> once = c.call(leaves),
                            twice = c.call(resized(leaves, tied, 2 * tied.size)),
                            thrice = c.call(resized(leaves, tied, 3 * tied.size));
  std::vector<std::optional<Shape>> shapes(once.size());
  if (kNoLine.count(c.function)) return shapes;
  for (size_t i = 0; i < once.size(); ++i) {
    Shape shape = once[i].shape();
    bool line = true;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const int64_t one = shape[axis], two = twice[i].shape()[axis];
      line = line && thrice[i].shape()[axis] - two == two - one;
      shape[axis] = std::max<int64_t>(0, 2 * one - two);
    }
    if (line) shapes[i] = shape;
  }
  return shapes;
}

Arrays values_of_nothing(const Case& c, const Arrays& operands, const std::vector<Shape>& shapes,
                         const Arrays& zeros) {
  if (const auto values = by_reference(c, operands, shapes)) return *values;
  Arrays result;
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (shapes[i].elements() == 0) {
      result.emplace_back(shapes[i]);
      continue;
    }
    const auto values = kOfNothing.find(c.function);
    if (values == kOfNothing.end())
      throw Error("'" + c.function + "' has no entry in the table of values of nothing");
    result.push_back(values->second(c, operands, i, shapes[i], zeros));
  }
  return result;
}

const std::multimap<std::string, std::string> kRefuseNothing = {
    {"arg_reduce", "has no elements"},
    {"argmax", "has no elements"},
    {"argmin", "has no elements"},
    {"max", "has no elements"},
    {"min", "has no elements"},
    {"norm", "has no elements"},               // of order infinity
    {"attention", "do not fit"},               // without key heads
    {"attention", "has no elements to take"},  // from a pool without blocks
    {"avg_pool", "is larger than"},            // the window
    {"convolution", "is larger than"},         // the window
    {"max_pool", "is larger than"},            // the window
    {"cross_entropy", "has no elements to take"},
    {"nll_loss", "has no elements to take"},
    {"embedding", "has no elements to take"},
    {"gather", "has no elements to take"},
    {"take", "has no elements to take"},
    {"take_along_axis", "has no elements to take"},
    {"index_update", "is out of range"},
    {"scatter", "is out of range"},
    {"scatter_along_axis", "is out of range"},
    {"dynamic_slice", "does not fit axis"},
    {"dynamic_update_slice", "larger than the operand"},
    {"pad", "does not fit axis"},  // copies of the edge
    {"slice", "axis"},             // an element or a range that is not there
    {"top_k", "is not between"},
};

const std::map<std::string, std::string> kWithoutFreeAxes = {
    {"full", "no operands"},
    {"iota", "no operands"},
    {"dense", "no operands"},
    {"arange", "no operands"},
    {"linspace", "no operands"},
    {"eye", "no operands"},
    {"zeros", "the row adds one of a given shape"},
    {"ones", "the row multiplies with one of a given shape"},
    {"broadcast_to", "to a given shape"},
};

}  // namespace cairn::test
