// Elementwise primitives as machine code: the bits of the interpreter, for every number of 16 bits.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/builder.h"
#include "cairn/tile/interpreter.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

using tile::apply;
using tile::Builder;
using tile::Kernel;
using tile::Tile;
using Function = std::function<Tile(const Tile& x, const Tile& y)>;

constexpr int64_t kCount = 65536, kBlock = 1024;

// out[i] = f(x[i], y[i]).
Kernel kernel_of(DType dtype, DType result, const Function& f) {
  return tile::build("f", [&](Builder& k) {
    const tile::Buffer x = k.input("x", dtype), y = k.input("y", dtype),
                       out = k.output("out", result);
    const Tile n = k.size("n");
    k.grid([&] { return std::vector<Tile>{ceil_div(n, kBlock)}; });
    const Tile i = k.program_id(0) * kBlock + k.arange(kBlock);
    const Tile mask = i < n;
    k.store(out, i, f(k.load(x, i, mask), k.load(y, i, mask)), mask);
  });
}

// All bit patterns of the type's lowest 16 bits, times `step`, as x; special numbers as y.
struct Inputs {
  HostArray x, y;
  Inputs(DType dtype, const std::vector<double>& others, uint64_t step = 1)
      : x(dtype, {kCount}), y(dtype, {kCount}) {
    visit_dtype(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const auto elements = x.mutable_span<T>();
      const auto beside = y.mutable_span<T>();
      for (size_t i = 0; i < elements.size(); ++i) {
        const uint64_t bits = i * step;
        const double other = others[i % others.size()];
        if constexpr (std::is_integral_v<T>) {
          elements[i] = static_cast<T>(bits);
          beside[i] = static_cast<T>(static_cast<int64_t>(other));
        } else {
          std::memcpy(static_cast<void*>(&elements[i]), &bits, sizeof(T));
          if constexpr (std::is_same_v<T, double>)
            beside[i] = other;
          else
            beside[i] = T(static_cast<float>(other));
        }
      }
    });
  }
};

void expect_interpreted(const Inputs& in, DType result, const Function& f,
                        const std::string& what) {
  const Kernel kernel = kernel_of(in.x.dtype(), result, f);
  HostArray want(result, {kCount}), got(result, {kCount});
  tile::interpret(kernel, {in.x, in.y, want, kCount});
  for (const CpuTarget target : {CpuTarget::avx2, CpuTarget::avx512}) {
    if (target > detect_cpu_target()) continue;
    const CompiledKernel compiled = link_kernel(compile_kernel(kernel, target), "f");
    std::array<KernelSlot, 4> slots;
    slots[0].address = in.x.data();
    slots[1].address = in.y.data();
    slots[2].address = got.mutable_data();
    slots[3].integer = kCount;
    std::memset(got.mutable_data(), 0xa5, got.bytes());
    compiled.run(slots.data(), 0, kCount / kBlock);
    if (test::same_values(got, want)) continue;
    for (int64_t i = 0; i < kCount; ++i) {
      const auto one = [&](const HostArray& a) {
        HostArray element(result, {});
        std::memcpy(element.mutable_data(),
                    static_cast<const char*>(a.data()) + static_cast<size_t>(i) * size_of(result),
                    size_of(result));
        return element;
      };
      ASSERT_TRUE(test::same_values(one(got), one(want)))
          << what << " of " << name(in.x.dtype()) << " on " << name(target) << ": (" << in.x.at(i)
          << ", " << in.y.at(i) << ") gives " << got.at(i) << ", expected " << want.at(i);
    }
  }
}

class Elementwise : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_compile_kernels() || detect_cpu_target() < CpuTarget::avx2)
      GTEST_SKIP() << "needs LLVM and AVX2";
  }
};

const std::vector<double> kFloats = {0.0,     -0.0, NAN, 1.0,   -1.5, HUGE_VAL, -HUGE_VAL,
                                     65504.0, 3e-8, 0.1, -6e-5, 2.0,  1024.5};
const std::vector<double> kIntegers = {0, 1, -1, 2, -7, 15, 16, 31, 100, -128, 127};

// LLVM narrows what stands between conversions from f16 and back, and then gets some of it wrong.
TEST_F(Elementwise, SixteenBitFloats) {
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const Inputs in(dtype, kFloats);
    for (const Op op : {Op::negate, Op::abs, Op::sign, Op::floor, Op::ceil, Op::round, Op::sqrt})
      expect_interpreted(
          in, dtype, [&](const Tile& x, const Tile&) { return apply(op, {x}); },
          std::string(name(op)));
    for (const Op op : {Op::add, Op::subtract, Op::multiply, Op::divide, Op::maximum, Op::minimum,
                        Op::remainder}) {
      expect_interpreted(
          in, dtype, [&](const Tile& x, const Tile& y) { return apply(op, {x, y}); },
          std::string(name(op)));
      expect_interpreted(
          in, dtype, [&](const Tile& x, const Tile& y) { return apply(op, {y, x}); },
          std::string(name(op)) + " the other way round");
    }
    for (const Op op : {Op::equal, Op::less, Op::less_equal})
      expect_interpreted(
          in, DType::b8, [&](const Tile& x, const Tile& y) { return apply(op, {x, y}); },
          std::string(name(op)));
    // Two roundings, of which LLVM may leave out none.
    expect_interpreted(
        in, dtype, [](const Tile& x, const Tile& y) { return maximum(x * y + x, y) - x; },
        "a chain");
  }
}

constexpr std::array kTypes = {DType::f64, DType::f32, DType::f16, DType::bf16,
                               DType::i64, DType::i32, DType::i16, DType::i8,
                               DType::u8,  DType::u32, DType::b8};

TEST_F(Elementwise, Casts) {
  for (const DType from : kTypes)
    for (const DType to : kTypes) {
      if (from == DType::b8 || !can_lower(Op::cast, from, to)) continue;
      // Of wider types numbers of all sizes, by a step that is not a power of two.
      const uint64_t step = size_of(from) == 8   ? uint64_t{0x123456789abcd}
                            : size_of(from) == 4 ? uint64_t{65539}
                                                 : uint64_t{1};
      expect_interpreted(
          Inputs(from, is_float(from) ? kFloats : kIntegers, step), to,
          [&](const Tile& x, const Tile&) { return cast(x, to); },
          "cast to " + std::string(name(to)));
      if (is_integer(from) && is_float(to))
        expect_interpreted(
            Inputs(from, kIntegers), to, [&](const Tile& x, const Tile&) { return cast(x, to); },
            "cast of small numbers to " + std::string(name(to)));
    }
}

TEST_F(Elementwise, Integers) {
  for (const DType dtype : {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8, DType::u32}) {
    const Inputs in(dtype, kIntegers, size_of(dtype) > 2 ? 65539 : 1);
    for (const Op op : {Op::negate, Op::abs, Op::sign})
      expect_interpreted(
          in, dtype, [&](const Tile& x, const Tile&) { return apply(op, {x}); },
          std::string(name(op)));
    for (const Op op :
         {Op::add, Op::subtract, Op::multiply, Op::divide, Op::remainder, Op::maximum, Op::minimum,
          Op::bitwise_and, Op::bitwise_or, Op::bitwise_xor, Op::shift_left, Op::shift_right})
      expect_interpreted(
          in, dtype, [&](const Tile& x, const Tile& y) { return apply(op, {x, y}); },
          std::string(name(op)));
  }
}

}  // namespace
}  // namespace cairn
