// What runs over the table of operation cases, derivatives apart: values in every type, eager
// against compiled, numbers of threads, vmap against a loop.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "tests/ops/run_cases.h"
#include "tests/support/same_values.h"

namespace cairn::test {
namespace {

// Against the case's reference, or else against the same call in f64 on the same numbers.
TEST(OpCases, ValuesInEveryType) {
  int runs = 0;
  for (const Case& c : all_cases()) {
    for (const DType dtype : c.dtypes) {
      SCOPED_TRACE(label(c, dtype));
      const std::vector<Tensor> leaves = c.leaves(dtype);
      const std::vector<HostArray> got = hosts(case_runtime(), c.call(leaves));
      Arrays exact;
      if (c.reference) {
        for (const Tensor& t : leaves) exact.push_back(untyped(t.host()));
        exact = c.reference(exact);
      } else {
        std::vector<Tensor> wide;
        for (size_t i = 0; i < leaves.size(); ++i)
          wide.push_back(c.inputs[i].fixed ? leaves[i] : cast(leaves[i], DType::f64));
        for (const HostArray& a : hosts(case_runtime(), c.call(wide))) exact.push_back(untyped(a));
      }
      ASSERT_EQ(got.size(), exact.size());
      for (size_t i = 0; i < got.size(); ++i)
        expect_within(c, got[i].dtype(), untyped(got[i]), exact[i], "output " + std::to_string(i));
      ++runs;
    }
  }
  EXPECT_GT(runs, 2000);
}

// The same bits, launched node by node or as one plan, on 1, 2, 3 and 8 threads.
TEST(OpCases, EagerAndThreadsGiveTheSameBits) {
  std::vector<std::unique_ptr<Runtime>> runtimes;
  for (int threads : {2, 3, 8}) runtimes.push_back(make_case_runtime(threads));
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(c.name);
    const std::vector<Tensor> outputs = c.call(c.leaves(c.dtypes.front()));
    const std::vector<HostArray> expected = hosts(case_runtime(), outputs);
    const auto compare = [&](const std::vector<HostArray>& got) {
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_TRUE(same_values(got[i], expected[i])) << "output " << i;
    };
    compare(hosts(case_runtime(), outputs, true));
    for (const auto& other : runtimes) compare(hosts(*other, outputs));
  }
}

// Operands that are the transposes of others, with their axes in reverse order in memory: the same
// bits.
TEST(OpCases, OperandsInAnotherOrderOfMemory) {
  int turned = 0;
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(c.name);
    const std::vector<Tensor> leaves = c.leaves(c.dtypes.front());
    std::vector<Tensor> others = leaves;
    bool any = false;
    for (Tensor& t : others) {
      if (t.rank() < 2) continue;
      t = transpose(eval(case_runtime(), transpose(t)));
      any = true;
    }
    if (!any) continue;
    const std::vector<HostArray> expected = hosts(case_runtime(), c.call(leaves));
    const std::vector<HostArray> got = hosts(case_runtime(), c.call(others));
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(same_values(got[i], expected[i])) << "output " << i;
    ++turned;
  }
  EXPECT_GT(turned, 500);
}

// The second example has its elements in reverse order: in all operands, and in each operand by
// itself while the others are shared. In every type of the row.
TEST(OpCases, VmapEqualsALoop) {
  std::map<DType, int> mapped;
  for (const Case& c : all_cases()) {
    if (!c.maps || c.inputs.empty()) continue;
    Case other = c;
    for (CaseInput& input : other.inputs)
      if (!input.fixed) std::reverse(input.array.v.begin(), input.array.v.end());
    for (const DType dtype : c.dtypes) {
      const std::vector<Tensor> first = c.leaves(dtype), reversed = other.leaves(dtype);
      for (const std::vector<BatchAxis>& axes : batches_of(first.size())) {
        std::string mapping;
        for (const BatchAxis& axis : axes) mapping += axis ? " mapped" : " shared";
        SCOPED_TRACE(label(c, dtype) + mapping);
        std::vector<Tensor> second = first;
        for (size_t i = 0; i < axes.size(); ++i)
          if (axes[i]) second[i] = reversed[i];
        expect_vmap_equals_a_loop(c, first, second, axes);
        ++mapped[dtype];
      }
    }
  }
  EXPECT_GT(mapped[DType::f64], 1500);
  for (const DType dtype : kIntegers) EXPECT_GT(mapped[dtype], 100) << name(dtype);
  EXPECT_GT(mapped[DType::b8], 50);
}

}  // namespace
}  // namespace cairn::test
