// How each function of the golden cases is called, and how far from the golden its result may be.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cairn/graph/tensor.h"
#include "tests/support/op_golden.h"

namespace cairn::test {

// What |result - golden| may be. eps is that of the result's type.
struct Bound {
  enum Kind {
    exact,     // the golden rounded once: movement, comparisons, and what IEEE 754 rounds correctly
    relative,  // k eps |golden|: a chain of k roundings, each of a function with condition number
               // near 1
    terms,  // k n eps s^degree: sums of at most n products of `degree` numbers that are at most s,
            // with k roundings each; n is 4 + the elements of the largest input, s the largest of 1
            // and of all finite numbers of the case
  };
  Kind kind = exact;
  double k = 0;
  int degree = 1;
};

using Tensors = std::span<const Tensor>;
using GoldenCall = std::function<std::vector<Tensor>(Tensors in, const GoldenCase& c)>;

struct GoldenFunction {
  Bound bound;
  // Results beyond the golden's outputs are the first one computed another way.
  GoldenCall call;
};

using GoldenFunctions = std::map<std::string, GoldenFunction>;

// All of them, by the name in the golden files.
const GoldenFunctions& golden_functions();

// The parts of the table.
void add_elementwise(GoldenFunctions& table);  // golden_elementwise.cpp
void add_reductions(GoldenFunctions& table);   // golden_reductions.cpp
void add_movement(GoldenFunctions& table);
void add_products(GoldenFunctions& table);  // golden_networks.cpp
void add_networks(GoldenFunctions& table);

// A list of the golden's attributes; null is empty.
inline Ints ints(const nlohmann::json& list) {
  Ints result;
  if (!list.is_null())
    for (const auto& v : list) result.push_back(v.get<int64_t>());
  return result;
}

}  // namespace cairn::test
