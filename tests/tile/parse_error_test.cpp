// What the parser of kernels says about texts that are wrong, and that hostile ones do no harm.
#include <gtest/gtest.h>

#include "cairn/tile/print.h"
#include "tests/tile/texts.h"

namespace cairn::tile {
namespace {

using test::corpus;
using test::error_of;
using test::read;

// A text around instructions, which start in line 2, column 3.
std::string with(const std::string& instructions) {
  return "kernel @k(%x: input f32, %y: output f32, %n: i64, %v: f32, %p: bool) {\n  " +
         instructions + "\n}\n";
}

TEST(TileParseError, SaysWhereAndWhatWasExpected) {
  const struct {
    std::string text;
    std::string error;
  } cases[] = {
      {"", "line 1, column 1: expected 'kernel', found the end of the text"},
      {"graph @g() {}", "line 1, column 1: expected 'kernel', found 'graph'"},
      {"kernel @k() {} }", "line 1, column 16: expected the end of the text, found '}'"},
      {"kernel @k() {", "line 1, column 14: expected an instruction, found the end of the text"},
      // Parameters.
      {"kernel @k(%x) {}", "line 1, column 13: expected ':' and the type of '%x', found ')'"},
      {"kernel @k(%1: i64) {}",
       "line 1, column 11: a parameter has a name; '%1' is a number, '%\"1\"' would be a name"},
      {"kernel @k(%x: in f32) {}",
       "line 1, column 15: unknown element type 'in'; the nearest is 'i8'"},
      {"kernel @k(%x: i64, %x: i64) {}", "line 1, column 20: '%x' is defined already"},
      {"kernel @k(%x: i64, %\"x\": i64) {}", "line 1, column 20: '%x' is defined already"},
      {"kernel @k(%x: i64,) {}", "line 1, column 19: expected a parameter, like %x, found ')'"},
      {"kernel @k(%x: i64[4]) {}", "line 1, column 18: expected ',', found '['"},
      {"kernel @k(%x: i64 align 8) {}", "line 1, column 19: expected ',', found 'align'"},
      {"kernel @k(%x: input f32 divisor 8) {}", "line 1, column 25: expected ',', found 'divisor'"},
      {"kernel @k(%x: i64 divisor 0) {}",
       "line 1, column 19: the divisor of 'x' is 0, expected 1 or more"},
      {"kernel @k(%x: f32 divisor 2) {}",
       "line 1, column 19: 'x' is f32; only an integer has a divisor"},
      {"kernel @k(%x: input f32 align 48) {}",
       "line 1, column 25: the alignment of 'x' is 48 bytes, expected a power of two"},
      {"kernel @k(%x: input f32 align -64) {}",
       "line 1, column 25: the alignment of 'x' is -64 bytes, expected a power of two"},
      {"kernel @k(%x: input f32 align 99999999999999999999) {}",
       "line 1, column 31: '99999999999999999999' is not an integer of 64 bits"},
      // Instructions.
      {with("%a = lod(%x, %n) : f32[]"),
       "line 2, column 8: unknown instruction 'lod'; the nearest is 'load'"},
      {with("%a = apply(%n) : i64[]"),
       "line 2, column 8: unknown instruction 'apply'; the nearest is 'abs'"},
      {with("%a = matmul(%n, %n) : i64[]"),
       "line 2, column 8: unknown instruction 'matmul'; the nearest is 'maximum'"},
      {with("add(%n, %n)"), "line 2, column 3: 'add' gives 1 results, 0 are named"},
      {with("%a, %b = add(%n, %n) : i64[], i64[]"),
       "line 2, column 3: 'add' gives 1 results, 2 are named"},
      {with("%a = store(%y, %n, %v)"), "line 2, column 3: 'store' gives 0 results, 1 are named"},
      {with("%a = add(%n, %n)"), "line 3, column 1: expected ':', found '}'"},
      {with("%a = add(%n, %n) : f32[]"),
       "line 2, column 22: result 0 of 'add' is i64[], not f32[]"},
      {with("%a = add(%n, %v) : i64[]"),
       "line 2, column 8: [tile add] operands of types i64[] and f32[] must be equal"},
      {with("%a = add(%n %n) : i64[]"), "line 2, column 15: expected ',', found '%n'"},
      {with("%a = add(%n, %n,) : i64[]"),
       "line 2, column 19: expected a value, like %x, found ')'"},
      {with("%a = add(%n, %z) : i64[]"), "line 2, column 16: '%z' is not defined"},
      {with("%a = add(%n, %a) : i64[]"), "line 2, column 16: '%a' is not defined"},
      {with("%a = add(%n, %x) : i64[]"), "line 2, column 16: '%x' is a buffer, not a value"},
      {with("%n = add(%n, %n) : i64[]"), "line 2, column 3: '%n' is defined already"},
      {with("%a = load(%n, %n) : f32[]"), "line 2, column 13: '%n' is not a buffer"},
      {with("%a = load() : f32[]"), "line 2, column 13: expected a buffer, like %x, found ')'"},
      {with("%a = load(%x) : f32[]"),
       "line 2, column 8: [tile load] takes offsets, a mask, another value"},
      {with("%a = load(%y, %n) : f32[]"),
       "line 2, column 8: [tile load] buffer 'y' is not an input"},
      {with("store(%x, %n, %v)"), "line 2, column 3: [tile store] buffer 'x' is not an output"},
      {with("store(%y, %n, %v, %v)"),
       "line 2, column 3: [tile store] the mask is f32[], expected bool[]"},
      {with("%a = exp(%v) : f32[0]"),
       "line 2, column 18: [0] has a size below 1 or too many elements"},
      {with("%a = arange() : i64[1048577]"),
       "line 2, column 8: [tile arange] a tile has 1 to 1048576 elements; this one would be "
       "i64[1048577]"},
      {with("%a = arange() : i64[4294967296,4294967296]"),
       "line 2, column 19: [4294967296,4294967296] has a size below 1 or too many elements"},
      {with("%a = arange() : f32[4]"), "line 2, column 8: [tile arange] is i64[n] or i32[n]"},
      {with("%a = reshape(%v) : f32[2]"),
       "line 2, column 8: [tile reshape] f32[] has not as many elements as [2]"},
      {with("%a = bitcast(%v) : f64[]"),
       "line 2, column 8: [tile bitcast] goes between types of one size, bool apart"},
      {with("assume(%n)"), "line 2, column 3: [tile assume] takes a bool"},
      {with("print(%n) grid { yield %n }"),
       "line 2, column 13: unknown instruction 'grid'; the nearest is 'load'"},
      {with("yield %n"), "line 2, column 3: expected '}', found 'yield'"},
      {with("= add(%n, %n)"), "line 2, column 3: expected an instruction, found '='"},
      // Attributes.
      {with("%a = add(%n, %n) {axis=0} : i64[]"),
       "line 2, column 21: 'add' has no attribute 'axis'"},
      {with("%a = program_id() : i64[]"),
       "line 2, column 8: 'program_id' needs the attribute 'axis'"},
      {with("%a = program_id() {axis=0, axis=1} : i64[]"),
       "line 2, column 30: 'axis' is given twice"},
      {with("%a = program_id() {axis=3} : i64[]"),
       "line 2, column 8: [tile program_id] a grid has three axes"},
      {with("%a = program_id() {axis=-1} : i64[]"), "line 2, column 27: axis is 0 to 11, got -1"},
      {with("%a = program_id() {axis=4294967296} : i64[]"),
       "line 2, column 27: axis is 0 to 11, got 4294967296"},
      {with("%a = program_id() {axis 0} : i64[]"), "line 2, column 27: expected '=', found '0'"},
      {with("%a = constant() {value=high} : i64[]"),
       "line 2, column 26: 'high' is no number of 64 bits"},
      {with("%a = constant() {value=1e999} : f32[]"),
       "line 2, column 26: '1e999' is no number of 64 bits"},
      {with("%a = reduce(%v) {kind=mean, axis=0} : f32[]"),
       "line 2, column 25: expected sum, prod, max or min, found 'mean'"},
      {with("%a = reduce(%v) {kind=sum, axis=0} : f32[]"),
       "line 2, column 8: [tile reduce] axis 0 is not one of the 0 axes of f32[]"},
      {with("%a = reduce(%v) {kind=sum} : f32[]"),
       "line 2, column 8: 'reduce' needs the attribute 'axis'"},
      {with("%a = scan(%v) {kind=sum, axis=0, reverse=1} : f32[]"),
       "line 2, column 44: expected true or false, found '1'"},
      {with("%a = transpose(%v) {axes=[0,1,2,3,4,5,6,7,8,9,10,11,12]} : f32[]"),
       "line 2, column 55: a tensor has at most 12 dimensions"},
      {with("print(%n) {text=hello}"), "line 2, column 19: expected a string, found 'hello'"},
      // Loops.
      {with("loop(%n, %n) (%i: i64[]) { yield }"),
       "line 2, column 3: 'loop' takes begin, end, step and the carried values"},
      {with("loop(%n, %n, %n) { yield }"), "line 2, column 22: 'loop' has no attribute 'yield'"},
      {with("loop(%n, %n, %n) () { yield }"),
       "line 2, column 3: [tile loop] the body takes the index and the carried values, and yields "
       "as many"},
      {with("loop(%n, %n, %n) (%i: i64) { yield }"),
       "line 2, column 28: expected '[' and the sizes of the type, found ')'"},
      {with("loop(%n, %n, %n) (%i: i32[]) { yield }"),
       "line 2, column 25: '%i' is given i64[], not i32[]"},
      {with("loop(%n, %n, %n) (%i: i64[], %c: f32[]) { yield }"),
       "line 2, column 32: the body takes the index and 0 carried values"},
      {with("loop(%n, %n, %n) {stages=0} (%i: i64[]) { yield }"),
       "line 2, column 28: stages is 1 to 2147483647, got 0"},
      {with("loop(%n, %n, %n) (%i: i64[]) { }"), "line 2, column 34: expected 'yield', found '}'"},
      {with("loop(%n, %n, %n) (%i: i64[]) { yield %n }"),
       "line 2, column 3: [tile loop] the body takes the index and the carried values, and yields "
       "as many"},
      {with("loop(%n, %n, %n, %v) (%i: i64[], %c: f32[]) { yield %c }"),
       "line 2, column 3: 'loop' gives 1 results, 0 are named"},
      {with("%a = loop(%n, %n, %n, %v) (%i: i64[], %c: f64[]) { yield %c } : f32[]"),
       "line 2, column 45: '%c' is given f32[], not f64[]"},
      {with("%a = loop(%n, %n, %n, %v) (%i: i64[], %c: f32[]) { yield %i } : f32[]"),
       "line 2, column 8: [tile loop] carried value 0 is f32[], the body takes f32[] and yields "
       "i64[]"},
      {with("%a = loop(%n, %n, %n, %v) (%i: i64[], %c: f32[]) { yield %c } : f64[]"),
       "line 2, column 67: result 0 of 'loop' is f32[], not f64[]"},
      {with("%a = loop(%n, %n, %n, %v) (%i: i64[], %c: f32[]) { yield %a } : f32[]"),
       "line 2, column 60: '%a' is not defined"},
      {with("loop(%n, %n, %n) (%n: i64[]) { yield }"),
       "line 2, column 21: '%n' is defined already"},
      {with("loop(%n, %n, %n) (%i: i64[]) { yield } print(%i)"),
       "line 2, column 48: '%i' is not defined"},
      // The grid.
      {"kernel @k(%n: i64) { grid { } }", "line 1, column 29: expected 'yield', found '}'"},
      {"kernel @k(%n: i64) { grid { yield } }",
       "line 1, column 29: the grid yields 0 sizes, expected 1 to 3"},
      {"kernel @k(%n: i64) { grid { yield %n, %n, %n, %n } }",
       "line 1, column 29: the grid yields 4 sizes, expected 1 to 3"},
      {"kernel @k(%n: i32) { grid { yield %n } }",
       "line 1, column 29: size 0 of the grid is i32[], expected i64[]"},
      {"kernel @k(%x: input i64) { grid { yield %x } }",
       "line 1, column 41: '%x' is a buffer, not a value"},
      {"kernel @k(%n: i64) { grid { %a = arange() : i64[4] yield %n } }",
       "line 1, column 34: the grid is scalar arithmetic; 'arange' is none"},
      {"kernel @k(%n: i64) { grid { %a = constant() {value=1} : i64[4] yield %n } }",
       "line 1, column 34: the grid is scalar arithmetic; this is i64[4]"},
      {"kernel @k(%n: i64) { grid { loop(%n, %n, %n) (%i: i64[]) { yield } yield %n } }",
       "line 1, column 29: the grid is scalar arithmetic; 'loop' is none"},
      {"kernel @k(%x: input i64, %n: i64) { grid { %a = load(%x, %n) : i64[] yield %a } }",
       "line 1, column 49: the grid is scalar arithmetic; 'load' is none"},
      {"kernel @k(%n: i64) { grid { %a = add(%n, %n) : i64[] yield %a } print(%a) }",
       "line 1, column 71: '%a' is not defined"},
  };
  for (const auto& c : cases) EXPECT_EQ(error_of(c.text), c.error) << c.text;
}

std::string repeated(std::string_view piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

void expect_error(const std::string& text, std::string_view wanted) {
  const std::string error = error_of(text);
  EXPECT_NE(error.find(wanted), std::string::npos) << "wanted: " << wanted << "\ngot: " << error;
}

TEST(TileParseError, NestingHasALimit) {
  const auto nested = [](int depth) {
    return "kernel(%n: i64) { " + repeated("loop(%n, %n, %n) (%i: i64[]) { ", depth);
  };
  const auto closed = [&](int depth) {
    std::string text = "kernel(%n: i64) { ";
    for (int i = 0; i < depth; ++i)
      text += "loop(%n, %n, %n) (%i" + std::to_string(i) + ": i64[]) { ";
    return text + repeated("yield } ", depth) + "}";
  };
  EXPECT_EQ(error_of(closed(64)), "no error");
  EXPECT_EQ(to_text(parse_kernel(to_text(parse_kernel(closed(64))))),
            to_text(parse_kernel(closed(64))));
  expect_error(closed(65), "loops nest at most 64 deep");
  expect_error(closed(30'000), "loops nest at most 64 deep");
  expect_error(nested(2), "'%i' is defined already");
  expect_error("kernel" + repeated("(", 100'000), "expected a parameter");
  expect_error("kernel() " + repeated("{", 100'000), "expected an instruction");
}

TEST(TileParseError, LengthsHaveLimits) {
  expect_error("kernel @" + repeated("n", 2000) + "() {}", "more than 1024");
  expect_error("kernel(%\"" + repeated("n", 2000) + "\": i64) {}", "more than 1024");
  expect_error(with("print(%n) {text=\"" + repeated("n", 2000) + "\"}"), "more than 1024");
  expect_error(std::string((4 << 20) + 1, ' '), "at most 4194304 bytes");
}

// Every prefix of a right text, and the text with any byte changed, gives an error or a kernel.
TEST(TileParseError, CutAndChangedTextsDoNoHarm) {
  int kernels = 0;
  int errors = 0;
  for (const auto& file : corpus()) {
    const std::string text = read(file);
    const auto attempt = [&](const std::string& changed) {
      try {
        const Kernel kernel = parse_kernel(changed);
        verify(kernel);
        ++kernels;
      } catch (const InternalError&) {
        throw;
      } catch (const Error&) {
        ++errors;
      }
    };
    for (size_t i = 0; i < text.size(); i += 7) attempt(text.substr(0, i));
    for (size_t i = 0; i < text.size(); i += 5)
      for (const char byte : {'\0', '%', '9', '{', ')', '\xFF'}) {
        std::string changed = text;
        changed[i] = byte;
        attempt(changed);
      }
  }
  EXPECT_GT(kernels, 100);
  EXPECT_GT(errors, 1000);
}

}  // namespace
}  // namespace cairn::tile
