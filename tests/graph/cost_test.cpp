// The cost rules, against figures worked out by hand from the conventions of cost.h.
#include "cairn/graph/cost.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/graph/texts.h"

namespace cairn {
namespace {

using test::parsed;

struct Case {
  std::string_view text;  // the operation that gives %r
  Cost cost;              // flops, transcendentals, read, written, sent
};

constexpr std::string_view kInputs = R"(graph(
    %x: f32[4,6], %v: f32[], %i: i32[], %p: bool[], %n: i32[], %h: f16[4,6], %w: f32[6,8],
    %tokens: f32[10,4], %experts: f32[3,4,6], %groups: i32[3], %image: f32[2,4,9,9],
    %filter: f32[8,2,3,3], %ids: i32[5], %updates: f32[5,6], %key: u32[2], %offset: i64[],
    %row: f32[64], %u: u8[68], %d: f32[8,4]{data}, %part: f32[2,3], %b: bool[4,6]) {
  )";

const Case kCases[] = {
    {"%r = full() {value=1, dtype=f32, shape=[3]}", {0, 0, 0, 12, 0}},
    {"%r = iota() {dtype=i64, shape=[3], axis=0}", {0, 0, 0, 24, 0}},
    {"%r = dense<u8[2]>(1, 2)", {0, 0, 0, 2, 0}},
    {"%r = negate(%x)", {24, 0, 96, 96, 0}},
    {"%r = cast(%x) {dtype=f16}", {24, 0, 96, 48, 0}},
    {"%r = stop_gradient(%x)", {0, 0, 0, 0, 0}},
    {"%r = exp(%h)", {0, 24, 48, 48, 0}},
    {"%r = power(%x, %x)", {0, 24, 192, 96, 0}},
    {"%r = multiply(%x, %x)", {24, 0, 192, 96, 0}},
    {"%r = less(%x, %x)", {24, 0, 192, 24, 0}},
    {"%r = select(%b, %x, %x)", {24, 0, 216, 96, 0}},
    {"%r = reduce(%x) {kind=sum, axes=[1]}", {20, 0, 96, 16, 0}},
    {"%r = reduce(%x) {kind=sum, axes=[]}", {0, 0, 96, 96, 0}},
    {"%r = arg_reduce(%x) {kind=max, axis=0}", {18, 0, 96, 24, 0}},
    {"%r = cumulative(%x) {kind=sum, axis=0}", {18, 0, 96, 96, 0}},
    {"%r, %q = sort(%x) {axis=0}", {24 * 2, 0, 96, 192, 0}},
    {"%r, %q = top_k(%x) {k=4}", {24 * 2, 0, 96, 128, 0}},
    {"%r = matmul(%x, %w)", {2 * 4 * 6 * 8, 0, 96 + 192, 128, 0}},
    {"%r = grouped_matmul(%tokens, %experts, %groups)",
     {2 * 10 * 4 * 6, 0, 160 + 288 + 12, 240, 0}},
    // [2,8,4,4]: each result reads 2 channels of 3 x 3.
    {"%r = convolution(%image, %filter) {strides=[2,2], low=[0,0], high=[0,0], lhs_dilation=[1,1], "
     "rhs_dilation=[1,1], groups=2}",
     {2.0 * 2 * 8 * 16 * 18, 0, 4 * (648 + 144), 4 * 256, 0}},
    // The same with channels last.
    {"%f = reshape(%filter) {shape=[2,2,3,3,4]} "
     "%r = convolution(%image, %f) {strides=[2,2], low=[0,0], high=[0,0], lhs_dilation=[1,1], "
     "rhs_dilation=[1,1], groups=2, axes=[0,1,2,3]}",
     {2.0 * 2 * 8 * 16 * 18, 0, 4 * (648 + 144), 4 * 256, 0}},
    {"%r = reshape(%x) {shape=[24]}", {0, 0, 0, 0, 0}},
    {"%r = broadcast(%v) {shape=[5,5], axes=[]}", {0, 0, 4, 100, 0}},
    {"%r = transpose(%x) {axes=[1,0]}", {0, 0, 96, 96, 0}},
    {"%r = slice(%x) {start=[0,0], stop=[4,6], step=[2,3]}", {0, 0, 16, 16, 0}},
    {"%r = reverse(%x) {axes=[0]}", {0, 0, 96, 96, 0}},
    {"%r = dynamic_slice(%x, %i, %i) {shape=[2,3]}", {0, 0, 24 + 8, 24, 0}},
    {"%r = dynamic_update_slice(%x, %part, %i, %i)", {0, 0, 24 + 8, 24, 0}},
    {"%r = pad(%x, %v) {low=[1,0], high=[0,0], interior=[0,0]}", {0, 0, 100, 120, 0}},
    {"%r = concatenate(%x, %x) {axis=0}", {0, 0, 192, 192, 0}},
    {"%r = gather(%x, %ids) {axis=0, batch_dims=0}", {0, 0, 120 + 20, 120, 0}},
    {"%r = scatter(%x, %ids, %updates) {kind=set, axis=0, batch_dims=0}", {0, 0, 20 + 120, 120, 0}},
    {"%r = scatter(%x, %ids, %updates) {kind=add, axis=0, batch_dims=0}",
     {30, 0, 20 + 240, 120, 0}},
    {"%r = random_bits(%key, %offset) {shape=[8]}", {200, 0, 16, 32, 0}},
    {"%r = quantize(%row) {format=q8_0}", {128, 0, 256, 68, 0}},
    {"%r = dequantize(%u) {format=q8_0, dtype=f16}", {128, 0, 68, 128, 0}},
    // The dearer branch in each figure: exp in one, a sum in the other.
    {"%r = cond(%p) { %a = exp(%x) yield %a } else { %a = add(%x, %x) yield %a }",
     {24, 24, 192, 96, 0}},
    {"%r = loop(%n, %x) {max=16} (%k, %c) { %a = add(%c, %x) %s = tanh(%a) yield %s }",
     {16 * 24, 16 * 24, 16 * (192 + 96), 16 * 192, 0}},
    {"%r = custom(%x) {name=\"f\"} (%a) { %s = tanh(%a) %t = add(%s, %s) yield %t }",
     {24, 24, 96, 96, 0}},
    {"%r, %q = barrier(%x, %h)", {0, 0, 0, 0, 0}},
    {"%r = axis_index() {mesh_axis=data, size=4}", {0, 0, 0, 4, 0}},
    {"%r = vary(%x) {mesh_axis=data}", {0, 0, 0, 0, 0}},
    {"%r = all_reduce(%d) {mesh_axis=data, size=4, kind=sum}", {24, 0, 128, 128, 2 * 96}},
    {"%r = all_gather(%d) {mesh_axis=data, size=4, axis=0}", {0, 0, 128, 512, 3 * 128}},
    {"%r = all_gather_invariant(%d) {mesh_axis=data, size=4, axis=0}", {0, 0, 128, 512, 3 * 128}},
    {"%r = reduce_scatter(%d) {mesh_axis=data, size=4, axis=0}", {24, 0, 128, 32, 96}},
    {"%r = all_to_all(%d) {mesh_axis=data, size=4, split_axis=0, concat_axis=1}",
     {0, 0, 128, 128, 96}},
    {"%r = permute(%d) {mesh_axis=data, size=2, literal=dense<i32[2]>(1, 0)}",
     {0, 0, 128, 128, 128}},
    {"%r = permute(%d) {mesh_axis=data, size=1, literal=dense<i32[1]>(0)}", {0, 0, 128, 128, 0}},
    {"%r = transfer(%x) {placement=host:0}", {0, 0, 96, 96, 0}},
};

void expect_cost(const Cost& cost, const Cost& wanted, std::string_view text) {
  EXPECT_EQ(cost.flops, wanted.flops) << text;
  EXPECT_EQ(cost.transcendentals, wanted.transcendentals) << text;
  EXPECT_EQ(cost.bytes_read, wanted.bytes_read) << text;
  EXPECT_EQ(cost.bytes_written, wanted.bytes_written) << text;
  EXPECT_EQ(cost.message_bytes, wanted.message_bytes) << text;
}

TEST(Cost, OfEachPrimitive) {
  for (const Case& c : kCases) {
    const Graph graph = parsed(std::string(kInputs) + std::string(c.text) + " return %r }");
    expect_cost(cost_of(graph.outputs[0].node()), c.cost, c.text);
    expect_cost(cost_of(graph), c.cost, c.text);
  }
}

// A rule of its own for each that is not elementwise; those count 1 per element unless listed.
TEST(Cost, EveryPrimitiveHasARuleAndACase) {
  std::set<Op> tested;
  for (const Case& c : kCases) {
    const Graph graph = parsed(std::string(kInputs) + std::string(c.text) + " return %r }");
    tested.insert(graph.outputs[0].node().op());
  }
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (op == Op::input || op == Op::leaf || info(op).trait == Trait::elementwise) continue;
    EXPECT_TRUE(tested.count(op)) << "no case for '" << name(op) << "'";
  }
  for (const auto& file : test::corpus()) {
    const Graph graph = parsed(test::read(file));
    for (const Node* node : topological_order(graph.outputs)) EXPECT_NO_THROW(cost_of(*node));
  }
  expect_cost(cost_of(Tensor::from<float>({1, 2}, {2}).node()), {}, "leaf");
  expect_cost(cost_of(Tensor::input({DType::f32, {2}}, "x").node()), {}, "input");
}

TEST(Cost, OfAGraphIsTheSumOfWhatItsOutputsNeed) {
  const Graph graph = parsed(R"(graph(%x: f32[4,6], %w: f32[6,8]) {
    %h = matmul(%x, %w)
    %unused = exp(%h)
    %y = tanh(%h)
    return %y, %y, %h })");
  expect_cost(cost_of(graph), {384, 32, 96 + 192 + 128, 128 + 128, 0}, "sum");
}

TEST(Cost, SizesBeyondIntegersOfDouble) {
  const Graph graph = parsed(R"(graph(%x: f32[1048576,1048576], %y: f32[1048576,1048576]) {
    %z = matmul(%x, %y) return %z })");
  EXPECT_EQ(cost_of(graph).flops, 0x1p61);
}

TEST(Cost, NoElements) {
  const Graph graph = parsed(R"(graph(%x: f32[0,6], %f: f32[0,2,3], %image: f32[1,2,9]) {
    %a = reduce(%x) {kind=sum, axes=[0]}
    %v, %i = sort(%x) {axis=0}
    %c = cumulative(%x) {kind=sum, axis=0}
    %t, %j = top_k(%x) {k=0}
    %d = convolution(%image, %f) {strides=[1], low=[0], high=[0], lhs_dilation=[1],
                                  rhs_dilation=[1], groups=1}
    return %a, %v, %c, %t, %d })");
  EXPECT_EQ(cost_of(graph).flops, 0);
}

}  // namespace
}  // namespace cairn
