// What the parser says about texts that are wrong, and that hostile ones do no harm.
#include <gtest/gtest.h>

#include "cairn/graph/print.h"
#include "tests/graph/texts.h"

namespace cairn {
namespace {

using test::error_of;

// A text around operations on %x: f32[4,8] and %p: bool[]; they start in line 2, column 3.
std::string with(const std::string& operations) {
  return "graph @g(%x: f32[4,8], %p: bool[]) {\n  " + operations + "\n  return %x\n}\n";
}

TEST(ParseError, SaysWhereAndWhatWasExpected) {
  const struct {
    std::string text;
    std::string error;
  } cases[] = {
      {"", "line 1, column 1: expected 'graph', found the end of the text"},
      {"grph @g() {}", "line 1, column 1: expected 'graph', found 'grph'"},
      {"graph @g(%x) { return %x }",
       "line 1, column 12: expected ':' and the type of the input '%x', found ')'"},
      {"graph @g(%x: f23[2]) { return %x }",
       "line 1, column 14: unknown element type 'f23'; the nearest is 'f32'"},
      {"graph @g(%x: f32[2]) { return %y }", "line 1, column 31: '%y' is not defined"},
      {"graph @g(%x: f32[2]) { return %x } }",
       "line 1, column 36: expected the end of the text, found '}'"},
      {"graph @g(%x: f32[2]) { %y = exp(%x)",
       "line 1, column 36: expected an operation or 'return', found the end of the text"},
      {"graph @g(%x: f32[2]) -> (f32[3]) { return %x }",
       "line 1, column 22: result 0 is announced as f32[3], the value is f32[2]"},
      {"graph @g(%x: f32[2]) -> () { return %x }",
       "line 1, column 22: 0 results are announced, 1 are returned"},
      {"graph @g(%x: f32[2], %x: f32[2]) { return %x }",
       "line 1, column 22: '%x' is defined already"},
      {"graph @g(%x: f32[2],) { return %x }",
       "line 1, column 21: expected a value, like %x, found ')'"},
      {with("%y = mtmul(%x, %x)"),
       "line 2, column 8: unknown operation 'mtmul'; the nearest is 'matmul'"},
      {with("%y = reduce(%x) {knd=sum, axes=[0]}"),
       "line 2, column 20: 'reduce' has no attribute 'knd'; the nearest is 'kind'"},
      {with("%y = exp(%x) {axis=1}"), "line 2, column 17: 'exp' takes no attributes, found 'axis'"},
      {with("%y = top_k(%x) {k=1, k=2}"), "line 2, column 24: 'k' is given twice"},
      {with("%y = top_k(%x) {k=1.5}"), "line 2, column 21: '1.5' is not an integer of 64 bits"},
      {with("%y = top_k(%x) {k=99999999999999999999}"),
       "line 2, column 21: '99999999999999999999' is not an integer of 64 bits"},
      {with("%y = top_k(%x) {k=[1]}"), "line 2, column 21: expected an integer for 'k', found '['"},
      {with("%y = sort(%x) {axis=1, descending=yes}"),
       "line 2, column 37: expected true or false for 'descending', found 'yes'"},
      {with("%v, %i = top_k(%x) {k=2} : f32[4,2], i32[4,3]"),
       "line 2, column 40: result 1 of 'top_k' is i32[4,2], not i32[4,3]"},
      {with("%y = top_k(%x) {k=2}"), "line 2, column 3: 'top_k' gives 2 results, 1 are named"},
      {with("%y = matmul(%x, %x)"),
       "line 2, column 8: [matmul] inner dimensions differ: [4,8] x [4,8]; operands: f32[4,8] 'x' "
       "f32[4,8] 'x'"},
      {with("%y = transpose(%x)"),
       "line 2, column 8: [transpose] needs the attribute 'axes'; operands: f32[4,8] 'x'"},
      {with("%y = transpose(%x) {axes=[1,0,2,3,4,5,6,7,8,9,10,11,12]}"),
       "line 2, column 55: a tensor has at most 12 dimensions"},
      {with("%y = dense<i8[2]>(1, 128)"), "line 2, column 24: '128' is no i8"},
      {with("%y = dense<f16[1]>(65520)"), "line 2, column 22: '65520' is no f16"},
      {with("%y = dense<f8e4m3[1]>(inf)"), "line 2, column 25: 'inf' is no f8e4m3"},
      {with("%y = dense<bool[2]>(true, 2)"), "line 2, column 29: '2' is no bool"},
      {with("%y = dense<f32[3]>(1, 2)"), "line 2, column 26: 2 elements are given, f32[3] has 3"},
      {with("%y = dense<f32[1]>(1, 2)"), "line 2, column 25: too many elements: f32[1] has 1"},
      {with("%y = input()"),
       "line 2, column 8: 'input' has no text: give the value as an input of the graph"},
      {with("%y = exp(%x; %x)"),
       "line 2, column 8: ';' separates the operands of a loop, 'exp' has none"},
      {with("%y = exp(%x %x)"), "line 2, column 15: expected ',', found '%x'"},
      {with("%y = exp(%x,)"), "line 2, column 15: expected a value, like %x, found ')'"},
      {with("%y = cond(%p) { yield %x }"), "line 3, column 3: expected 'else', found 'return'"},
      {with("%y = cond(%p) { %z = exp(%x) } else { yield %x }"),
       "line 2, column 32: expected an operation or 'yield', found '}'"},
      {with("%y = cond(%p) { %x = exp(%x) yield %x } else { yield %x }"),
       "line 2, column 19: '%x' is defined already"},
      {with("%n = full() {value=2, dtype=i32, shape=[]} %y = loop(%n, %x) {max=2} (%k, %c, %d) { "
            "yield %c }"),
       "line 2, column 83: expected ':' and the type of '%d', found ')'"},
      {with("%n = full() {value=2, dtype=i32, shape=[]} %y = loop(%n, %x) {max=2} (%k) { yield %x "
            "}"),
       "line 2, column 72: the region takes 2 values (the step, then carried, scanned and captured "
       "values), 1 are named"},
      {with("%n = full() {value=2, dtype=i32, shape=[]} %y = loop(%n, %x) {max=2} (%k, %c: f32[4]) "
            "{ yield %x }"),
       "line 2, column 81: '%c' is given f32[4,8], not f32[4]"},
      {with("%n = full() {value=2, dtype=i32, shape=[]} %y = loop(%n; %n) {max=2} (%k, %c) { yield "
            "%x }"),
       "line 2, column 51: scanned operand 1 has no axis to go along"},
      {with("%n = loop() {max=2} (%k) { yield %x }"),
       "line 2, column 8: 'loop' needs a trip count"},
      {with("%y = transfer(%x) {placement=hots:0}"),
       "line 2, column 32: 'hots:0' is no placement; one is device:N, pinned:N, host:N or file:N "
       "with "
       "N below 65536"},
      {with("%y = transfer(%x) {placement=host:99999}"),
       "line 2, column 32: 'host:99999' is no placement; one is device:N, pinned:N, host:N or "
       "file:N "
       "with N below 65536"},
      {"graph @g(%x: f32[2]{a,a}) { return %x }", "line 1, column 23: mesh axis a is named twice"},
      {"graph @g(%x: f32[-2]) { return %x }",
       "line 1, column 14: shape [-2] has a negative size or too many elements"},
      {"graph @g(%x: f32[4294967296,4294967296]) { return %x }",
       "line 1, column 14: shape [4294967296,4294967296] has a negative size or too many elements"},
      {"graph @g(%x: f64[2305843009213693951]) { return %x }",
       "line 1, column 14: shape [2305843009213693951] has a negative size or too many elements"},
      {"graph @\"no end", "line 1, column 7: the string has no closing quote"},
      {"graph @g(%x: f32[2]) { return %x as }",
       "line 1, column 37: expected the name of an output, found '}'"},
      {"graph @\"\\q\"() { return }",
       "line 1, column 9: expected one of the escapes \\\" \\\\ \\n \\t \\xHH"},
      {"graph @g(% x: f32[2]) { return %x }", "line 1, column 10: expected a name after '%'"},
      {"graph @g() { return & }", "line 1, column 21: '&' has no meaning here"},
      {"# caf\xC3\xA9\n\tgraph @\"\xC3\xA9\" \xC3\xA9",
       "line 2, column 13: byte 0xc3 has no meaning here"},
  };
  for (const auto& c : cases) EXPECT_EQ(error_of(c.text), c.error) << c.text;
}

TEST(ParseError, ErrorsInsideRegionsHaveTheirOwnPlace) {
  EXPECT_EQ(
      error_of("graph(%p: bool[], %x: f32[2]) {\n"
               "  %y = cond(%p) {\n"
               "    %a = exp(%x)\n"
               "    yield %a\n"
               "  } else {\n"
               "    %b = reduce(%x) {kind=mean, axes=[0]}\n"
               "    yield %b\n"
               "  }\n"
               "  return %y\n"
               "}"),
      "line 6, column 10: [reduce] kind=mean is not one of sum, prod, max, min; operands: f32[2] "
      "'x'");
  EXPECT_EQ(
      error_of("graph(%p: bool[], %x: f32[2]) {\n"
               "  %y = cond(%p) { yield %x } else { %b = cast(%x) {dtype=f16} yield %b }\n"
               "  return %y }"),
      "line 2, column 8: [cond] result 0 of the branches is f32[2] and f16[2]; operands: bool[] "
      "'p' f32[2] 'x'");
}

std::string repeated(std::string_view piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

TEST(ParseError, NestingHasALimit) {
  const auto nested = [](int depth) {
    return "graph(%p: bool[], %x: f32[]) { " + repeated("%y = cond(%p) { ", depth) + "yield %x }" +
           repeated(" else { yield %x } yield %y }", depth - 1) + " else { yield %x } return %y }";
  };
  EXPECT_EQ(error_of(nested(64)), "no error");
  EXPECT_NE(error_of(nested(65)).find("regions nest at most 64 deep"), std::string::npos);
  EXPECT_NE(error_of(nested(100'000)).find("regions nest at most 64 deep"), std::string::npos);
  // Brackets that nest otherwise are wrong at the first.
  EXPECT_NE(error_of("graph(%x: f32" + repeated("[", 100'000)).find("expected"), std::string::npos);
  EXPECT_NE(error_of("graph(" + repeated("(", 100'000)).find("expected"), std::string::npos);
}

TEST(ParseError, LengthsHaveLimits) {
  EXPECT_NE(error_of("graph @" + repeated("n", 2000) + "() { return }").find("more than 1024"),
            std::string::npos);
  EXPECT_NE(error_of("graph @\"" + repeated("n", 2000) + "\"() { return }").find("more than 1024"),
            std::string::npos);
  EXPECT_NE(error_of("graph() { %x = dense<u8[1048577]>(").find("at most 1048576 elements"),
            std::string::npos);
  EXPECT_NE(error_of("graph() { %x = dense<u8[9223372036854775807,9223372036854775807]>(")
                .find("at most 1048576 elements"),
            std::string::npos);
  EXPECT_NE(error_of(std::string(33 << 20, ' ')).find("at most 33554432 bytes"), std::string::npos);
  EXPECT_NE(error_of("graph(%x: f32[]{a,b,c,d,e,f,g,h,i}) { return }").find("at most 8 mesh axes"),
            std::string::npos);
  std::string varying = "graph(%x0: f32[]) {";
  for (int i = 0; i < 9; ++i)
    varying += " %x" + std::to_string(i + 1) + " = vary(%x" + std::to_string(i) + ") {mesh_axis=a" +
               std::to_string(i) + "}";
  EXPECT_NE(error_of(varying + " return }").find("more than 8 mesh axes"), std::string::npos);
  EXPECT_NE(
      error_of("graph(%x: f32[]) { %y = barrier(" + repeated("%x,", 70'000)).find("at most 65536"),
      std::string::npos);
}

// Sizes at the ends of what 64 bits hold, in every place where inference adds or multiplies them.
TEST(ParseError, SizesThatOverflowAreErrors) {
  const std::string_view cases[] = {
      "%y = pad(%b, %v) {low=[9223372036854775807], high=[9223372036854775807], interior=[0]}",
      "%y = pad(%b, %v) {low=[0], high=[0], interior=[9223372036854775807]}",
      "%y = concatenate(%b, %b, %b, %b, %b) {axis=0}",
      "%y = broadcast(%v) {shape=[4611686018427387904], axes=[]}",
      "%y = broadcast(%v) {shape=[4294967296,4294967296], axes=[]}",
      "%y = full() {value=0, dtype=u8, shape=[4611686018427387904]}",
      "%y = iota() {dtype=i64, shape=[2305843009213693952], axis=0}",
      "%y = matmul(%column, %row)",
      "%y = all_gather(%d) {mesh_axis=data, size=9223372036854775807, axis=0}",
      "%y = dequantize(%b) {format=q4_0, dtype=f64}",
      "%y = cast(%b) {dtype=f64}",
      "%y = loop(%n) {max=9223372036854775807} (%k) { yield %b }",
      "%y = random_bits(%key, %offset) {shape=[4611686018427387904]}",
      R"(%y = convolution(%image, %image) {strides=[1], low=[9223372036854775807],
         high=[9223372036854775807], lhs_dilation=[9223372036854775807], rhs_dilation=[1], groups=1})",
  };
  for (const std::string_view operation : cases) {
    const std::string error = error_of(R"(graph(%b: u8[4611686018427387900], %v: u8[], %key: u32[2],
      %offset: i64[], %d: u8[4611686018427387900]{data}, %n: i32[], %column: u8[4294967296,1],
      %row: u8[1,4294967296], %image: u8[1,1,4611686018427387900]) {
      )" + std::string(operation) + " return }");
    const bool is_size = error.find("too many elements") != std::string::npos ||
                         error.find("does not fit 62 bits") != std::string::npos ||
                         error.find("is not possible") != std::string::npos;
    EXPECT_TRUE(is_size) << operation << "\n" << error;
  }
}

// Every prefix of a right text, and the text with any byte changed, gives an error or a graph.
TEST(ParseError, CutAndChangedTextsDoNoHarm) {
  int graphs = 0;
  int errors = 0;
  for (const auto& file : test::corpus()) {
    const std::string text = test::read(file);
    const auto attempt = [&](const std::string& changed) {
      const Result<Graph> result = parse_graph(changed);
      ++(result.ok() ? graphs : errors);
      if (result.ok()) to_text(result.value());
    };
    for (size_t i = 0; i < text.size(); i += 7) attempt(text.substr(0, i));
    for (size_t i = 0; i < text.size(); i += 5)
      for (const char byte : {'\0', '%', '9', '{', ')', '\xFF'}) {
        std::string changed = text;
        changed[i] = byte;
        attempt(changed);
      }
  }
  EXPECT_GT(graphs, 100);
  EXPECT_GT(errors, 1000);
}

}  // namespace
}  // namespace cairn
