// Attention's kernels by themselves: machine code does what the interpreter does, bit for bit.
#include "cairn/tile/attention.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cairn/runtime/runtime.h"
#include "tests/compiler/run_kernel.h"

namespace cairn {
namespace {

tile::AttentionForm small_form(int64_t queries) {
  tile::AttentionForm form;
  form.width = 5;
  form.value_width = 18;
  form.queries = queries;
  return form;
}

std::vector<tile::AttentionForm> forms() {
  std::vector<tile::AttentionForm> result;
  const auto add = [&](auto change) {
    result.push_back(small_form(result.size() % 2 ? 16 : 48));
    change(result.back());
  };
  add([](auto&) {});
  add([](auto& f) { f.is_causal = true; });
  add([](auto& f) { f.is_causal = f.is_folded = true; });
  add([](auto& f) { f.is_causal = f.has_window = true; });
  add([](auto& f) { f.has_window = f.has_query_start = f.has_soft_cap = true; });
  add([](auto& f) { f.has_kv_lengths = f.is_causal = f.is_folded = true; });
  add([](auto& f) { f.segments = DType::i32; });
  add([](auto& f) { f.has_mask = f.is_folded = true; });
  add([](auto& f) { f.dtype = DType::bf16; });
  // Pairs of bf16 that end with a tile, and with a register.
  add([](auto& f) { f.dtype = DType::bf16, f.is_causal = true, f.width = 32, f.value_width = 16; });
  add([](auto& f) { f.dtype = DType::bf16, f.has_window = true, f.width = 7, f.value_width = 33; });
  add([](auto& f) { f.dtype = DType::f16, f.is_causal = true; });
  // Few queries, which are rows.
  const auto few = [](auto& f, int64_t queries) {
    f.queries = queries, f.width = 32, f.value_width = 24, f.is_causal = true;
  };
  add([&](auto& f) { few(f, 1), f.has_kv_lengths = true; });
  add([&](auto& f) { few(f, 2), f.is_folded = f.has_soft_cap = true; });
  add([&](auto& f) { few(f, 8), f.dtype = DType::bf16, f.is_folded = true; });
  add([](auto& f) { f.dtype = DType::f64, f.is_causal = true; });
  // Keys and values of another type, as those of a cache.
  add([](auto& f) { f.keys = DType::f16, f.is_causal = true, f.width = 32; });
  add([&](auto& f) { few(f, 4), f.keys = DType::f16, f.is_folded = true; });
  add([](auto& f) { f.keys = DType::i8, f.width = 32, f.value_width = 64; });
  add([&](auto& f) { few(f, 2), f.keys = DType::i8, f.value_width = 32; });
  return result;
}

class AttentionKernels : public ::testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs LLVM and AVX2";
    if (GetParam() > detect_cpu_target()) GTEST_SKIP() << "needs " << name(GetParam());
  }
  static void expect_interpreted(const tile::Kernel& kernel, const tile::AttentionForm& form) {
    tile::AttentionSizes sizes;
    sizes.batch = 2, sizes.heads = 4, sizes.kv_heads = 2, sizes.queries = 21, sizes.keys = 70;
    sizes.scale = 0.5, sizes.window = 9, sizes.soft_cap = 3, sizes.query_start_stride = 1;
    const int64_t mask_strides[] = {0, sizes.queries * sizes.keys, sizes.keys, 1};
    std::copy_n(mask_strides, 4, sizes.mask_strides);
    // Every buffer has room for any of them.
    constexpr int64_t kElements = 2 * 4 * 70 * 33;
    std::vector<test::RandomArgument> arguments;
    for (const tile::Parameter& p : kernel.parameters)
      if (p.is_buffer()) arguments.push_back({kElements, {}, true});
    for (const Number& scalar : attention_scalars(form, sizes)) arguments.push_back({0, scalar});
    for (const uint64_t seed : {1, 2}) {
      const auto difference = test::find_difference(kernel, arguments, seed, GetParam());
      EXPECT_FALSE(difference) << *difference;
    }
  }
};

TEST_P(AttentionKernels, ForwardAsInterpreted) {
  int number = 0;
  for (tile::AttentionForm form : forms()) {
    SCOPED_TRACE(number++);
    expect_interpreted(attention_kernel(form), form);
    form.sinks = form.bias = DType::f32;
    expect_interpreted(attention_kernel(form), form);
  }
}

TEST_P(AttentionKernels, GradientAsInterpreted) {
  int number = 0;
  for (const tile::AttentionForm& form : forms()) {
    SCOPED_TRACE(number++);
    if (form.keys) continue;  // a cache is not trained on
    expect_interpreted(attention_gradient_kernel(form), form);
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionKernels,
                         ::testing::Values(CpuTarget::avx2, CpuTarget::avx512),
                         [](const auto& info) { return std::string(name(info.param)); });

}  // namespace
}  // namespace cairn
