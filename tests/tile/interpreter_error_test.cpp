// What the interpreter refuses, and that its words lead to the line of the kernel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "cairn/tile/interpreter.h"
#include "tests/support/message_of.h"
#include "tests/tile/tiles.h"

namespace cairn::tile {
namespace {

using namespace tile::test;
using cairn::test::message_of;
using testing::HasSubstr;
using Tiles = std::vector<Tile>;

std::string at_line(int line) {
  return " (at interpreter_error_test.cpp:" + std::to_string(line) + ")";
}

std::string message(const Kernel& kernel, std::initializer_list<Argument> arguments) {
  return message_of([&] { interpret(kernel, arguments); });
}

TEST(InterpreterErrors, AccessOutOfBounds) {
  int line = 0;
  const Kernel kernel = build("copy", [&](Builder& k) {
    const Buffer x = k.input("x", DType::f32), out = k.output("out", DType::f32);
    k.grid([&] { return Tiles{k.size("n")}; });
    const Tile i = reshape(k.program_id(0) * 8 + k.arange(8), {2, 4});
    line = __LINE__ + 1;
    k.store(out, i, k.load(x, i));
  });
  const HostArray x = random_array({16}, 1);
  HostArray out(DType::f32, {14});
  EXPECT_EQ(
      message(kernel, {x, out, 3}),
      "[tile store] offset 14 at element [1,2] is outside buffer 'out' of 14 elements; kernel "
      "'copy', program (1, 0, 0)" +
          at_line(line));
  HostArray large(DType::f32, {100});
  EXPECT_EQ(message(kernel, {x, large, 3}),
            "[tile load] offset 16 at element [0,0] is outside buffer 'x' of 16 elements; kernel "
            "'copy', program (2, 0, 0)" +
                at_line(line));
  EXPECT_EQ(message(kernel, {x, large, 2}), "no error");
}

TEST(InterpreterErrors, NegativeOffset) {
  int line = 0;
  const Kernel kernel = build("before", [&](Builder& k) {
    const Buffer x = k.inout("x", DType::f32);
    const Tile at = k.size("at");
    line = __LINE__ + 1;
    k.atomic(Combine::sum, x, at, 1);
  });
  HostArray x(DType::f32, {4});
  EXPECT_EQ(message(kernel, {x, -1}),
            "[tile atomic] offset -1 is outside buffer 'x' of 4 elements; kernel 'before', program "
            "(0, 0, 0)" +
                at_line(line));
}

TEST(InterpreterErrors, FalseAssumption) {
  int line = 0;
  const Kernel kernel = build("assumes", [&](Builder& k) {
    const Tile n = k.size("n");
    k.assume(n > 0, "n is positive");
    line = __LINE__ + 1;
    k.assume(k.arange(4) < n, "n is at least 4");
  });
  EXPECT_EQ(message(kernel, {4}), "no error");
  EXPECT_EQ(
      message(kernel, {3}),
      "[tile assume] 'n is at least 4' is false at element [3]; kernel 'assumes', program (0, "
      "0, 0)" +
          at_line(line));
  EXPECT_THAT(message(kernel, {0}), HasSubstr("[tile assume] 'n is positive' is false; kernel"));
}

TEST(InterpreterErrors, BrokenPromises) {
  const Kernel kernel = build("promises", [](Builder& k) {
    k.input("x", DType::f32);
    k.size("n", 16);
    k.output("out", DType::f32, 4);
  });
  HostArray x(DType::f32, {64}), out(DType::f32, {64});
  const std::span<float> whole = x.mutable_span<float>();
  EXPECT_EQ(message(kernel, {whole, 32, out}), "no error");
  EXPECT_EQ(message(kernel, {x, 32, out.mutable_span<float>().subspan(1)}), "no error");
  EXPECT_THAT(message(kernel, {whole.subspan(1), 32, out}),
              AllOf(HasSubstr("[tile promises] parameter 'x' lies at 0x"),
                    HasSubstr("which is not aligned to 64 bytes")));
  EXPECT_EQ(message(kernel, {x, 40, out}),
            "[tile promises] parameter 'n' is 40, expected a multiple of 16");
}

TEST(InterpreterErrors, WrongArguments) {
  const Kernel kernel = build("typed", [](Builder& k) {
    k.input("x", DType::f32);
    k.output("out", DType::f32);
    k.scalar("n", DType::i32);
  });
  HostArray x(DType::f32, {1}), other(DType::f16, {1});
  const HostArray constant = x;
  EXPECT_EQ(message(kernel, {constant, x, 7}), "no error");
  EXPECT_EQ(message(kernel, {x, x}), "[tile typed] takes 3 arguments, got 2");
  EXPECT_EQ(message(kernel, {other, x, 7}),
            "[tile typed] parameter 'x' got a buffer of f16, expected f32");
  EXPECT_EQ(message(kernel, {x, constant, 7}),
            "[tile typed] parameter 'out' is written, got constant memory");
  EXPECT_EQ(message(kernel, {x, 1, 7}), "[tile typed] parameter 'out' is a buffer, got a number");
  EXPECT_EQ(message(kernel, {x, x, x}), "[tile typed] parameter 'n' is a number, got a buffer");
  EXPECT_EQ(message(kernel, {x, x, 3e9}),
            "[tile typed] parameter 'n' is 3000000000, which i32 cannot hold");
  EXPECT_EQ(message(kernel, {x, x, 0.5}),
            "[tile typed] parameter 'n' is 0.5, which i32 cannot hold");
}

TEST(InterpreterErrors, StepOfALoop) {
  int line = 0;
  const Kernel kernel = build("steps", [&](Builder& k) {
    const Tile step = k.size("step");
    line = __LINE__ + 1;
    k.loop(0, 10, step, Tiles{}, [](const Tile&, const Tiles&) { return Tiles{}; });
  });
  EXPECT_EQ(message(kernel, {3}), "no error");
  EXPECT_EQ(message(kernel, {0}),
            "[tile loop] the step is 0, expected at least 1; kernel 'steps', program (0, 0, 0)" +
                at_line(line));
}

TEST(InterpreterErrors, Grids) {
  const Kernel kernel = build("grids", [](Builder& k) {
    const Tile n = k.size("n", 4);
    k.grid([&] { return Tiles{n, n - 8}; });
  });
  EXPECT_EQ(message(kernel, {4}), "[tile grids] the grid is (4, -4, 1)");
  const auto grid = [&](const std::vector<Number>& scalars) {
    return message_of([&] { grid_of(kernel, scalars); });
  };
  EXPECT_EQ(grid({8}), "no error");
  EXPECT_EQ(grid({4}), "[tile grids] the grid is (4, -4, 1)");
  EXPECT_EQ(grid({5}), "[tile grids] parameter 'n' is 5, expected a multiple of 4");
  EXPECT_EQ(grid({}), "[tile grids] takes 1 scalars, got 0");
  EXPECT_EQ(grid({1, 2}), "[tile grids] takes 1 scalars, got 2");

  int line = 0;
  const Kernel loads = build("loads", [&](Builder& k) {
    const Buffer x = k.input("x", DType::i64);
    k.grid([&] {
      line = __LINE__ + 1;
      return Tiles{k.load(x, k.constant(0, DType::i64))};
    });
  });
  const HostArray x(DType::i64, {1});
  EXPECT_EQ(message(loads, {x}),
            "[tile load] a grid is computed from scalar parameters alone; in the grid of kernel "
            "'loads'" +
                at_line(line));
}

TEST(InterpreterErrors, ValueOfAnotherBlock) {
  int line = 0;
  const Kernel kernel = build("leak", [&](Builder& k) {
    Tile inner;
    k.loop(0, 3, 1, k.constant(0, DType::i64), [&](Tile i, Tile c) {
      inner = i * 2;
      return c + inner;
    });
    line = __LINE__ + 1;
    k.print(inner + 1, "leaked");
  });
  EXPECT_THAT(message(kernel, {}), AllOf(HasSubstr("[tile add] operand %"),
                                         HasSubstr("has no value here"), HasSubstr(at_line(line))));
}

TEST(InterpreterErrors, WhatWasStoredBeforeStays) {
  const Kernel kernel = build("partial", [](Builder& k) {
    const Tile i = k.arange(4);
    k.store(k.output("out", DType::i64), i, i + 1);
  });
  HostArray out(DType::i64, {2});
  EXPECT_NE(message(kernel, {out}), "no error");
  EXPECT_EQ(out.at(0), 1);
  EXPECT_EQ(out.at(1), 2);
}

}  // namespace
}  // namespace cairn::tile
