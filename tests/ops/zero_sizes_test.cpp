// Tensors without elements, over the whole table of operation cases: each axis that may have
// another size is set to 0, and each row is mapped over a batch of 0. Values, types, derivatives
// and vmap; then what calls ask for by themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "cairn/cairn.h"
#include "tests/ops/run_cases.h"
#include "tests/ops/zero_sizes.h"
#include "tests/support/message_of.h"
#include "tests/transforms/numeric.h"

namespace cairn::test {
namespace {

std::string text_of(const std::vector<Tensor>& operands) {
  std::string text;
  for (const Tensor& t : operands) text += " " + to_string(t.type());
  return text;
}

Arrays untyped_all(const std::vector<HostArray>& hosts) {
  Arrays result;
  for (const HostArray& host : hosts) result.push_back(untyped(host));
  return result;
}

bool all_finite(const Arrays& arrays) {
  for (const Array& a : arrays)
    for (const double x : a.v)
      if (!std::isfinite(x)) return false;
  return true;
}

// Against differences where the results are finite; of others the types, and that they run.
void expect_derivatives(const TensorFunction& fn, const std::vector<Tensor>& operands,
                        bool finite) {
  if (finite) {
    check_derivatives(fn, operands, "");
    return;
  }
  std::vector<Tensor> of_floats, tangents(operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!is_float(operands[i].dtype())) continue;
    of_floats.push_back(operands[i]);
    tangents[i] = operands[i];
  }
  const std::vector<Tensor> gradients = gradient_of(fn)(operands);
  ASSERT_EQ(gradients.size(), of_floats.size());
  for (size_t i = 0; i < gradients.size(); ++i)
    EXPECT_EQ(to_string(gradients[i].type()), to_string(of_floats[i].type()));
  values(gradients);
  const Jvp pushed = jvp(fn, operands, tangents);
  for (size_t i = 0; i < pushed.outputs.size(); ++i) {
    if (!is_float(pushed.outputs[i].dtype())) continue;
    EXPECT_EQ(to_string(pushed.tangents[i].type()), to_string(pushed.outputs[i].type()));
    value(pushed.tangents[i]);
  }
}

// One row with one of its axes at 0. Returns what it says when it refuses to.
std::string expect_of_nothing(const Case& c, const TiedAxes& tied, DType dtype) {
  const std::vector<Tensor> leaves = c.leaves(dtype), nothing = resized(leaves, tied, 0);
  SCOPED_TRACE(label(c, dtype) + " of" + text_of(nothing));
  std::vector<Tensor> results;
  std::vector<HostArray> got;
  const std::string refusal = message_of([&] {
    results = c.call(nothing);
    got = hosts(case_runtime(), results);
  });
  if (refusal != "no error") return refusal;

  const std::vector<Tensor> whole = c.call(leaves);
  const std::vector<std::optional<Shape>> predicted = shapes_of_nothing(c, leaves, tied);
  std::vector<Shape> shapes;
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(name(results[i].dtype()), name(whole[i].dtype()));
    EXPECT_EQ(name(got[i].dtype()), name(whole[i].dtype()));
    EXPECT_EQ(to_string(got[i].shape()), to_string(results[i].shape()));
    if (predicted[i]) {
      EXPECT_EQ(to_string(got[i].shape()), to_string(*predicted[i]));
    }
    shapes.push_back(got[i].shape());
  }
  Arrays operands;
  for (const Tensor& t : nothing) operands.push_back(untyped(t.host()));
  const Arrays zeros = untyped_all(hosts(case_runtime(), c.call(resized(leaves, tied, tied.size))));
  const Arrays expected = values_of_nothing(c, operands, shapes, zeros);
  for (size_t i = 0; i < got.size(); ++i)
    expect_within(c, got[i].dtype(), untyped(got[i]), expected[i], "output " + std::to_string(i));
  if (dtype != c.dtypes.front()) return "";

  if (c.orders >= 1 && dtype == DType::f64)
    expect_derivatives(c.call, nothing, all_finite(untyped_all(got)));
  if (c.maps)
    for (const std::vector<BatchAxis>& axes : batches_of(nothing.size()))
      expect_vmap_equals_a_loop(c, nothing, nothing, axes);
  return "";
}

// Runs f, with an Error that it throws as a failure of the row.
template <class F>
void without_error(const Case& c, DType dtype, F f) {
  try {
    f();
  } catch (const Error& e) {
    ADD_FAILURE() << label(c, dtype) << ": " << e.what();
  }
}

TEST(ZeroSizes, AxesOfEveryRow) {
  std::set<std::string> have_axes, functions, refused;
  int runs = 0;
  for (const Case& c : all_cases()) {
    functions.insert(c.function);
    for (const TiedAxes& tied : free_axes(c, c.leaves(c.dtypes.front()))) {
      have_axes.insert(c.function);
      for (const DType dtype : c.dtypes)
        without_error(c, dtype, [&] {
          ++runs;
          const std::string refusal = expect_of_nothing(c, tied, dtype);
          if (refusal.empty()) return;
          refused.insert(c.function);
          const auto [first, last] = kRefuseNothing.equal_range(c.function);
          const bool is_listed = std::any_of(first, last, [&](const auto& known) {
            return refusal.find(known.second) != std::string::npos;
          });
          EXPECT_TRUE(is_listed) << label(c, dtype) << " refuses: " << refusal;
        });
    }
  }
  // Nothing is left out, and the lists hold nothing that is not so.
  for (const std::string& function : functions)
    EXPECT_NE(have_axes.count(function), kWithoutFreeAxes.count(function)) << function;
  for (const auto& [function, why] : kWithoutFreeAxes) EXPECT_TRUE(functions.count(function));
  for (const auto& [function, why] : kRefuseNothing)
    EXPECT_TRUE(refused.count(function)) << function << " refuses nothing";
  EXPECT_GT(runs, 5000);
}

// Over all operands, and over each while the others are shared.
TEST(ZeroSizes, ABatchOfNoExamples) {
  int runs = 0;
  for (const Case& c : all_cases()) {
    if (c.inputs.empty()) {
      EXPECT_EQ(kWithoutFreeAxes.at(c.function), "no operands");
      continue;
    }
    if (!c.maps) {
      EXPECT_EQ(c.function, "axis_index");  // depends on no operand
      continue;
    }
    for (const DType dtype : c.dtypes) {
      const std::vector<Tensor> leaves = c.leaves(dtype), whole = c.call(leaves);
      for (const std::vector<BatchAxis>& axes : batches_of(leaves.size())) {
        without_error(c, dtype, [&] {
          std::vector<Tensor> batch = leaves;
          for (size_t i = 0; i < batch.size(); ++i) {
            if (!axes[i]) continue;
            Shape shape = batch[i].shape();
            shape.insert(0, 0);
            batch[i] = Tensor(HostArray(batch[i].dtype(), shape));
          }
          SCOPED_TRACE(label(c, dtype) + " of" + text_of(batch));
          const TensorFunction mapped = vmap(c.call, axes);
          const std::vector<HostArray> got = hosts(case_runtime(), mapped(batch));
          ASSERT_EQ(got.size(), whole.size());
          for (size_t i = 0; i < got.size(); ++i) {
            Shape shape = whole[i].shape();
            shape.insert(0, 0);
            EXPECT_EQ(to_string(got[i].shape()), to_string(shape));
            EXPECT_EQ(name(got[i].dtype()), name(whole[i].dtype()));
          }
          if (c.orders >= 1 && dtype == DType::f64) check_derivatives(mapped, batch, "");
          ++runs;
        });
        if (dtype != c.dtypes.front()) break;  // all operands only
      }
    }
  }
  EXPECT_GT(runs, 4000);
}

// Sizes of 0 that are no operand's: a call asks for them.
TEST(ZeroSizes, AskedForByTheCall) {
  const Tensor none(HostArray(DType::f32, {0}));
  const Tensor three = Tensor::from<float>({1, 2, 3}, {3});
  const Tensor indices(HostArray(DType::i32, {0}));
  const Tensor key = random_key(1);
  struct Row {
    const char* name;
    Tensor result;
    Shape shape;
  };
  const std::vector<Row> table = {
      {"top_k", top_k(three, 0).first, {0}},
      {"slice", slice(three, {Slice{1, 1}}), {0}},
      {"tiled", tiled(three, {0}), {0}},
      {"repeat", repeat(three, 0, 0), {0}},
      {"eye", eye(0), {0, 0}},
      {"take nothing from nothing", take(none, indices), {0}},
      {"uniform", uniform(key, {0, 2}), {0, 2}},
      {"permutation", permutation(key, 0), {0}},
  };
  for (const Row& row : table) {
    EXPECT_EQ(to_string(row.result.shape()), to_string(row.shape)) << row.name;
    EXPECT_EQ(to_string(eval(runtime(), row.result).shape()), to_string(row.shape)) << row.name;
  }
}

}  // namespace
}  // namespace cairn::test
