// What runs over the table of operation cases, derivatives apart: values in every type, eager
// against compiled, numbers of threads, vmap against a loop.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "cairn/core/communicator.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/runtime/runtime.h"
#include "cairn/transforms/vmap.h"
#include "tests/ops/op_cases.h"

namespace cairn::test {
namespace {

// A mesh axis of one rank.
class Alone : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(const void* in, void* out, int64_t n, DType dtype, ReduceKind) override {
    copy(in, out, static_cast<size_t>(n) * size_of(dtype));
  }
  void all_gather(const void* in, void* out, size_t bytes) override { copy(in, out, bytes); }
  void reduce_scatter(const void* in, void* out, int64_t n, DType dtype) override {
    copy(in, out, static_cast<size_t>(n) * size_of(dtype));
  }
  void all_to_all(const void* in, void* out, size_t bytes) override { copy(in, out, bytes); }
  void permute(const void* in, void* out, size_t bytes, std::span<const int32_t> to) override {
    if (to[0] == 0)
      copy(in, out, bytes);
    else
      std::memset(out, 0, bytes);
  }
  void barrier() override {}
  void check_equal(uint64_t, std::string_view) override {}

 private:
  static void copy(const void* in, void* out, size_t bytes) {
    if (in != out && bytes) std::memcpy(out, in, bytes);
  }
};

std::unique_ptr<Runtime> make_runtime(int threads) {
  auto made = std::make_unique<Runtime>(RuntimeOptions{"ref", threads});
  made->mesh()["x"] = std::make_shared<Alone>();
  return made;
}
Runtime& runtime() {
  static const auto instance = make_runtime(1);
  return *instance;
}

std::vector<HostArray> hosts(Runtime& on, const std::vector<Tensor>& outputs, bool eager = false) {
  EvalOptions options;
  options.eager = eager;
  std::vector<HostArray> result;
  for (const Tensor& t : eval(on, outputs, options)) result.push_back(t.host());
  return result;
}

std::string label(const Case& c, DType dtype) {
  return c.name + " (" + std::string(name(dtype)) + ")";
}

// Against the case's reference, or else against the same call in f64 on the same numbers.
TEST(OpCases, ValuesInEveryType) {
  int runs = 0;
  for (const Case& c : all_cases()) {
    for (const DType dtype : c.dtypes) {
      SCOPED_TRACE(label(c, dtype));
      const std::vector<Tensor> leaves = c.leaves(dtype);
      const std::vector<HostArray> got = hosts(runtime(), c.call(leaves));
      Arrays exact;
      if (c.reference) {
        for (const Tensor& t : leaves) exact.push_back(untyped(t.host()));
        exact = c.reference(exact);
      } else {
        std::vector<Tensor> wide;
        for (size_t i = 0; i < leaves.size(); ++i)
          wide.push_back(c.inputs[i].fixed ? leaves[i] : cast(leaves[i], DType::f64));
        for (const HostArray& a : hosts(runtime(), c.call(wide))) exact.push_back(untyped(a));
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
  for (int threads : {2, 3, 8}) runtimes.push_back(make_runtime(threads));
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(c.name);
    const std::vector<Tensor> outputs = c.call(c.leaves(c.dtypes.front()));
    const std::vector<HostArray> expected = hosts(runtime(), outputs);
    const auto compare = [&](const std::vector<HostArray>& got) {
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(std::memcmp(got[i].data(), expected[i].data(), expected[i].bytes()), 0)
            << "output " << i;
    };
    compare(hosts(runtime(), outputs, true));
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
    for (Tensor& t : others)
      if (t.rank() >= 2) t = transpose(eval(runtime(), transpose(t)));
    if (same(others, leaves)) continue;
    const std::vector<HostArray> expected = hosts(runtime(), c.call(leaves));
    const std::vector<HostArray> got = hosts(runtime(), c.call(others));
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_EQ(std::memcmp(got[i].data(), expected[i].data(), expected[i].bytes()), 0)
          << "output " << i;
    ++turned;
  }
  EXPECT_GT(turned, 500);
}

// Two examples, mapped at once and one by one.
void expect_vmap_equals_a_loop(const Case& c, const std::vector<Tensor>& first,
                               const std::vector<Tensor>& second,
                               const std::vector<BatchAxis>& axes) {
  std::vector<Tensor> both;
  for (size_t i = 0; i < first.size(); ++i)
    both.push_back(axes[i] ? stack(std::vector<Tensor>{first[i], second[i]}) : first[i]);
  const std::vector<HostArray> together = hosts(runtime(), vmap(c.call, axes)(both));
  const std::vector<HostArray> ones[] = {hosts(runtime(), c.call(first)),
                                         hosts(runtime(), c.call(second))};
  for (size_t i = 0; i < together.size(); ++i) {
    EXPECT_EQ(together[i].dtype(), ones[0][i].dtype()) << "output " << i;
    const Array all = untyped(together[i]);
    for (size_t example : {0, 1}) {
      const Array alone = untyped(ones[example][i]);
      Array part(alone.shape);
      std::copy_n(all.v.begin() + static_cast<int64_t>(example) * part.size(), part.size(),
                  part.v.begin());
      expect_within(c, together[i].dtype(), part, alone,
                    "output " + std::to_string(i) + " of example " + std::to_string(example));
    }
  }
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
    const size_t count = c.inputs.size();
    for (const DType dtype : c.dtypes) {
      const std::vector<Tensor> first = c.leaves(dtype), reversed = other.leaves(dtype);
      for (size_t only = 0; only <= count; ++only) {
        if (only == 0 && count == 1) continue;  // the same as all
        SCOPED_TRACE(label(c, dtype) + (only == count ? "" : ", operand " + std::to_string(only)));
        std::vector<Tensor> second = first;
        std::vector<BatchAxis> axes(count);
        for (size_t i = 0; i < count; ++i) {
          if (only != count && i != only) continue;
          second[i] = reversed[i];
          axes[i] = 0;
        }
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
