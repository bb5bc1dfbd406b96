#include "tests/ops/run_cases.h"

#include <gtest/gtest.h>

#include <cstring>

#include "cairn/core/communicator.h"
#include "cairn/ops/movement.h"
#include "tests/support/checked_runtime.h"

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

}  // namespace

std::unique_ptr<Runtime> make_case_runtime(int threads) {
  auto made = std::make_unique<Runtime>(checked({"", threads}));
  made->mesh()["x"] = std::make_shared<Alone>();
  return made;
}

Runtime& case_runtime() {
  static const auto instance = make_case_runtime(1);
  return *instance;
}

std::vector<HostArray> hosts(Runtime& runtime, const std::vector<Tensor>& outputs, bool eager) {
  EvalOptions options;
  options.eager = eager;
  std::vector<HostArray> result;
  for (const Tensor& t : eval(runtime, outputs, options)) result.push_back(t.host());
  return result;
}

std::string label(const Case& c, DType dtype) {
  return c.name + " (" + std::string(name(dtype)) + ")";
}

void expect_vmap_equals_a_loop(const Case& c, const std::vector<Tensor>& first,
                               const std::vector<Tensor>& second,
                               const std::vector<BatchAxis>& axes) {
  std::vector<Tensor> both;
  for (size_t i = 0; i < first.size(); ++i)
    both.push_back(axes[i] ? stack(std::vector<Tensor>{first[i], second[i]}) : first[i]);
  const std::vector<HostArray> together = hosts(case_runtime(), vmap(c.call, axes)(both));
  const std::vector<HostArray> ones[] = {hosts(case_runtime(), c.call(first)),
                                         hosts(case_runtime(), c.call(second))};
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

std::vector<std::vector<BatchAxis>> batches_of(size_t operands) {
  std::vector<std::vector<BatchAxis>> batches{std::vector<BatchAxis>(operands, 0)};
  if (operands == 1) return batches;
  for (size_t only = 0; only < operands; ++only) {
    batches.emplace_back(operands);
    batches.back()[only] = 0;
  }
  return batches;
}

}  // namespace cairn::test
