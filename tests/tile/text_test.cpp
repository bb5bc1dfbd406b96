// The text form of kernels: printed, parsed, printed again.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <limits>
#include <set>

#include "cairn/tile/print.h"
#include "tests/tile/texts.h"

namespace cairn::tile {
namespace {

using test::corpus;
using test::error_of;
using test::read;
using test::scale;

void expect_round_trip(const Kernel& kernel) {
  ASSERT_NO_THROW(verify(kernel));
  const std::string text = to_text(kernel);
  Kernel again;
  ASSERT_NO_THROW(again = parse_kernel(text)) << error_of(text) << "\n" << text;
  ASSERT_NO_THROW(verify(again));
  EXPECT_EQ(to_text(again), text);
  EXPECT_EQ(again.name, kernel.name);
  ASSERT_EQ(again.parameters.size(), kernel.parameters.size());
  for (size_t i = 0; i < again.parameters.size(); ++i) {
    EXPECT_EQ(again.parameters[i].name, kernel.parameters[i].name);
    EXPECT_EQ(again.parameters[i].kind, kernel.parameters[i].kind);
    EXPECT_EQ(again.parameters[i].dtype, kernel.parameters[i].dtype);
    EXPECT_EQ(again.parameters[i].divisor, kernel.parameters[i].divisor);
  }
}

void collect(const Block& block, std::set<std::string>& words) {
  for (const Instruction& in : block.code) {
    words.emplace(word_of(in));
    for (const Block& region : in.regions) collect(region, words);
  }
}
std::set<std::string> words_of(const Kernel& kernel) {
  std::set<std::string> words;
  collect(kernel.grid, words);
  collect(kernel.body, words);
  return words;
}

Kernel matrix_product() {
  return build("matrix product", [](Builder& k) {
    const Buffer a = k.input("a", DType::bf16), b = k.input("b", DType::bf16);
    const Buffer c = k.output("c", DType::f32);
    const Tile m = k.size("m", 16), n = k.size("n"), depth = k.size("k", 32);
    k.grid([&] { return std::vector<Tile>{ceil_div(m, 16), ceil_div(n, 64)}; });
    const Tile row = k.program_id(0) * 16 + k.arange(16),
               column = k.program_id(1) * 64 + k.arange(64);
    const std::vector<Tile> sums = k.loop(
        0, depth, 32, {k.full({16, 64}, 0.0, DType::f32), k.constant(0, DType::i32)},
        [&](const Tile& i, const std::vector<Tile>& carried) {
          const Tile at = i + k.arange(32);
          const Tile x = k.load(a, expand_dims(row * depth, 1) + expand_dims(at, 0));
          const Tile y = k.load(b, expand_dims(at * n, 1) + expand_dims(column, 0));
          return std::vector<Tile>{dot(x, y, carried[0]), carried[1] + 1};
        },
        3);
    k.store(c, expand_dims(row * n, 1) + expand_dims(column, 0),
            sums[0] * cast(sums[1], DType::f32));
  });
}

// What the two above leave out.
Kernel others() {
  return build("others", [](Builder& k) {
    const Buffer x = k.inout("x", DType::f32);
    const Tile n = k.size("n");
    k.assume(Value(0) < n, "n is \"positive\"\n");
    k.assume(Value(0) < n, "");
    const Tile i = reshape(k.arange(24), {4, 6});
    const Tile v = k.load(x, i, i < n, std::numeric_limits<double>::infinity());
    const Tile t = transpose(where(v < 0.0, v, 1), {1, 0});
    const Tile s = scan(Combine::prod, scan(Combine::sum, t, 0), 1, true);
    const Tile first = arg_reduce(Combine::max, s, 1);
    const Tile total = reduce(Combine::min, s, 1);
    const Tile f = fma(total, total, -0.0);
    Instruction high;
    high.op = TileOp::multiply_high;
    const Tile bits = bitcast(f, DType::u32);
    high.operands = {bits.id(), bits.id()};
    const Tile h = k.emit_one(std::move(high));
    k.print(h, "high half");
    const Tile was = k.atomic(Combine::max, x, first, f, first < 3);
    k.print(k.atomic(Combine::sum, x, first, was), "");
    k.fetch(x, first);
    constexpr std::array<uint8_t, 16> kTable = {1, 2, 3, 5, 8, 13, 21, 34};
    k.print(lookup(bitcast(f, DType::u32), kTable), "looked up");
    k.loop(0, n, 1, std::vector<Tile>{}, [&](const Tile& j, const std::vector<Tile>&) {
      k.store(x, j, k.load(x, j));
      return std::vector<Tile>{};
    });
  });
}

TEST(TileText, IsWhatItIs) {
  const Kernel kernel = scale();
  EXPECT_EQ(to_text(kernel),
            R"(kernel @scale(%x: input f32, %y: output f32 align 16, %n: i64 divisor 16) {
  grid {
    %0 = constant() {value=1023} : i64[]
    %1 = add(%n, %0) : i64[]
    %2 = constant() {value=1024} : i64[]
    %3 = divide(%1, %2) : i64[]
    yield %3
  }
  %4 = program_id() {axis=0} : i64[]
  %5 = constant() {value=1024} : i64[]
  %6 = multiply(%4, %5) : i64[]
  %7 = arange() : i64[1024]
  %8 = reshape(%6) : i64[1]
  %9 = broadcast(%8) : i64[1024]
  %10 = add(%9, %7) : i64[1024]
  %11 = reshape(%n) : i64[1]
  %12 = broadcast(%11) : i64[1024]
  %13 = less(%10, %12) : bool[1024]
  %14 = constant() {value=0} : f32[1024]
  %15 = load(%x, %10, %13, %14) : f32[1024]
  %16 = constant() {value=2.0} : f32[1024]
  %17 = multiply(%15, %16) : f32[1024]
  store(%y, %10, %17, %13)
}
)");
  const std::string commented = to_text(
      kernel, [](const Instruction& in) { return in.op == TileOp::arange ? "one\ntwo" : ""; });
  EXPECT_NE(commented.find("arange() : i64[1024]  // one two\n"), std::string::npos) << commented;
  EXPECT_EQ(to_text(parse_kernel(commented)), to_text(kernel));
  const std::vector<std::string> names = value_names(kernel);
  EXPECT_EQ(names[static_cast<size_t>(kernel.parameters[2].value)], "%n");
  EXPECT_EQ(names[static_cast<size_t>(kernel.body.code[3].results[0])], "%7");
}

TEST(TileText, KernelsOfTheBuilderComeBack) {
  std::set<std::string> words;
  for (const Kernel& kernel : {scale(), matrix_product(), others()}) {
    SCOPED_TRACE(kernel.name);
    expect_round_trip(kernel);
    words.merge(words_of(kernel));
  }
  for (int i = 0; i < kTileOpCount; ++i) {
    const auto op = static_cast<TileOp>(i);
    EXPECT_TRUE(op == TileOp::apply || words.count(std::string(name(op)))) << name(op);
  }
}

TEST(TileText, CorpusPrintsAsItIsWritten) {
  std::set<std::string> words;
  std::string all;
  for (const auto& file : corpus()) {
    SCOPED_TRACE(file.filename().string());
    const std::string text = read(file);
    ASSERT_EQ(error_of(text), "no error");
    const Kernel kernel = parse_kernel(text);
    EXPECT_EQ(to_text(kernel), text);
    expect_round_trip(kernel);
    words.merge(words_of(kernel));
    all += text;
  }
  // Every word that there is, and every attribute.
  for (int i = 0; i < kTileOpCount; ++i) {
    const auto op = static_cast<TileOp>(i);
    EXPECT_TRUE(op == TileOp::apply || words.count(std::string(name(op)))) << name(op);
    for (const KeyUse& use : keys_of(op))
      EXPECT_NE(all.find(std::string(name(use.key)) + "="), std::string::npos) << name(use.key);
  }
  for (int i = 0; i < kOpCount; ++i)
    if (const OpInfo& row = info(static_cast<Op>(i)); row.trait == Trait::elementwise) {
      EXPECT_TRUE(words.count(std::string(row.name))) << row.name;
    }
}

// A text may use names, blanks, comments and defaults as it likes.
TEST(TileText, OfAPersonIsWrittenPlainly) {
  EXPECT_EQ(to_text(parse_kernel(R"(kernel @"k" ( %"x" : inout f32 align 64 , %n:i64 divisor 1){
    # what the loop runs over
    %7 = constant(){value=-0} : i64[]   // 0
    %one = constant() {value=1} : i64[]
    loop(%7, %n, %one) {stages=1} (%7_: i64[]) {
      %v = load(%x, %7_) : f32[] store(%"x", %7_, %v) yield } })")),
            R"(kernel @k(%x: inout f32, %n: i64) {
  %0 = constant() {value=0} : i64[]
  %1 = constant() {value=1} : i64[]
  loop(%0, %n, %1) (%2: i64[]) {
    %3 = load(%x, %2) : f32[]
    store(%x, %2, %3)
    yield
  }
}
)");
  EXPECT_EQ(to_text(parse_kernel("kernel() {}")), "kernel () {\n}\n");
  // One name may be defined again where the first cannot be seen.
  EXPECT_EQ(error_of("kernel() { grid { %a = constant() {value=1} : i64[] yield %a } "
                     "%a = constant() {value=1} : i64[] "
                     "%b = loop(%a, %a, %a, %a) (%i: i64[], %b: i64[]) { yield %b } : i64[] }"),
            "no error");
}

TEST(TileText, NamesAreQuotedWhereTheyMustBe) {
  Kernel kernel = build("1", [](Builder& k) {
    const Buffer y = k.output("0", DType::i64);
    const Tile at = k.size("a b");
    k.store(y, at, k.size("%\"\\\n\x01\xC3\xA9"));
    k.print(k.size("1"), "");
  });
  expect_round_trip(kernel);
  const std::string text = to_text(kernel);
  EXPECT_EQ(text.find(R"(kernel @"1"(%"0": output i64, %"a b": i64, %"%\"\\\n\x01é": i64,)"), 0u)
      << text;
  EXPECT_NE(text.find(R"(print(%"1"))"), std::string::npos) << text;
  kernel.name.clear();
  EXPECT_EQ(parse_kernel(to_text(kernel)).name, "");
}

TEST(TileText, NumbersComeBackBitForBit) {
  const double kNumbers[] = {0.0,
                             -0.0,
                             0.1,
                             1024.0,
                             -1e300,
                             5e-324,
                             std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN(),
                             -std::numeric_limits<double>::quiet_NaN(),
                             std::bit_cast<double>(0x7ff0000000000abcull)};
  for (const double number : kNumbers) {
    const Kernel kernel =
        parse_kernel(to_text(build("k", [&](Builder& k) { k.full({2}, number, DType::f64); })));
    const Number& back = kernel.body.code.at(0).value;
    ASSERT_FALSE(back.is_integer()) << number;
    EXPECT_EQ(std::bit_cast<uint64_t>(back.as_double()), std::bit_cast<uint64_t>(number)) << number;
  }
  for (const int64_t number :
       {int64_t{0}, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    const Kernel kernel =
        parse_kernel(to_text(build("k", [&](Builder& k) { k.constant(number, DType::i64); })));
    ASSERT_TRUE(kernel.body.code.at(0).value.is_integer());
    EXPECT_EQ(kernel.body.code.at(0).value.as_integer(), number);
  }
}

// That nothing is lost on the way there and back is not enough: it could be lost at both ends.
TEST(TileText, FillsTheFields) {
  const Kernel kernel = parse_kernel(R"(kernel @k(%x: inout f32 align 128, %n: i64 divisor 8) {
    %a = program_id() {axis=2} : i64[]
    %b = constant() {value=2.5} : f32[2,3]
    %c = transpose(%b) {axes=[1,0]} : f32[3,2]
    %d = scan(%c) {kind=min, axis=1, reverse=true} : f32[3,2]
    %e = arg_reduce(%d) {kind=max, axis=1} : i32[3]
    %f = constant() {value=2} : f32[]
    %g = atomic(%x, %a, %f) {kind=prod} : f32[]
    %h, %i = loop(%a, %n, %a, %f, %b) {stages=4} (%j: i64[], %k: f32[], %l: f32[2,3]) {
      print(%j) {text="j"}
      yield %f, %l
    } : f32[], f32[2,3]
  })");
  const std::vector<Parameter>& parameters = kernel.parameters;
  ASSERT_EQ(parameters.size(), 2u);
  EXPECT_EQ(parameters[0].kind, Parameter::Kind::inout);
  EXPECT_EQ(parameters[0].divisor, 128);
  EXPECT_EQ(parameters[0].value, -1);
  EXPECT_EQ(parameters[1].kind, Parameter::Kind::scalar);
  EXPECT_EQ(parameters[1].divisor, 8);
  const std::vector<Instruction>& code = kernel.body.code;
  ASSERT_EQ(code.size(), 8u);
  EXPECT_EQ(code[0].axis, 2);
  EXPECT_EQ(code[1].value.as_double(), 2.5);
  EXPECT_EQ(code[2].axes, (Ints{1, 0}));
  EXPECT_EQ(code[3].kind, Combine::min);
  EXPECT_EQ(code[3].axis, 1);
  EXPECT_TRUE(code[3].reverse);
  EXPECT_EQ(code[4].kind, Combine::max);
  EXPECT_EQ(code[6].kind, Combine::prod);
  EXPECT_EQ(code[6].parameter, 0);
  EXPECT_EQ(code[6].operands, (std::vector<ValueId>{code[0].results[0], code[5].results[0]}));
  const Instruction& loop = code[7];
  EXPECT_EQ(loop.stages, 4);
  EXPECT_EQ(loop.operands[1], parameters[1].value);
  EXPECT_EQ(loop.results.size(), 2u);
  ASSERT_EQ(loop.regions.size(), 1u);
  EXPECT_EQ(loop.regions[0].arguments.size(), 3u);
  EXPECT_EQ(loop.regions[0].code.at(0).text, "j");
  EXPECT_EQ(loop.regions[0].yields,
            (std::vector<ValueId>{code[5].results[0], loop.regions[0].arguments[2]}));
}

}  // namespace
}  // namespace cairn::tile
