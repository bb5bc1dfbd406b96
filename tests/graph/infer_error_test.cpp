// What inference says about operands and attributes that do not fit: for each primitive at least
// one mistake, whose message names the operation and the types of its operands.
#include <gtest/gtest.h>

#include <set>

#include "tests/graph/texts.h"

namespace cairn {
namespace {

// What the cases read.
constexpr std::string_view kInputs = R"(graph(
    %x: f32[2,3], %y: f32[2,4], %i: i32[2,3], %b: bool[2,3], %p: bool[], %n: i32[], %s: f32[],
    %h: f16[2,3], %e: f8e4m3[2,3], %key: u32[2], %offset: i64[], %u: u8[2,34], %d: f32[4,3]{data},
    %far: f32[2,3]@host:0, %sizes: i32[5], %image: f32[1,4,9], %filter: f32[8,3,3],
    %empty: f32[2,0], %ids: i64[7], %differs: bool[]{data}, %steps: i32[]{data}) {
  )";

struct Case {
  std::string_view text;
  std::string_view error;  // after the position
};

const Case kCases[] = {
    {"%r = full() {value=1, dtype=f32, shape=[-1]}",
     "[full] shape [-1] has a negative size or too many elements"},
    {"%r = full() {value=1, dtype=f32}", "[full] needs the attribute 'shape'"},
    {"%r = iota() {dtype=i32, shape=[3], axis=1}",
     "[iota] axis=1 is out of range for 1 dimensions"},
    {"%r = iota() {dtype=bool, shape=[3], axis=0}", "[iota] counts, so its dtype cannot be bool"},

    {"%r = negate(%b)", "[negate] takes numbers, not bool; cast first; operands: bool[2,3] 'b'"},
    {"%r = abs(%b)", "[abs] takes numbers, not bool; cast first; operands: bool[2,3] 'b'"},
    {"%r = sign(%e)",
     "[sign] 8-bit floats take part in cast, quantize and matmul only; cast first; operands: "
     "f8e4m3[2,3] 'e'"},
    {"%r = floor(%i)", "[floor] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = ceil(%i)", "[ceil] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = round(%i)", "[round] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = exp(%i)", "[exp] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = expm1(%i)", "[expm1] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = log(%i)", "[log] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = log1p(%i)", "[log1p] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = sin(%i)", "[sin] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = cos(%i)", "[cos] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = tanh(%i)", "[tanh] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = logistic(%i)", "[logistic] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = sqrt(%i)", "[sqrt] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = erf(%i)", "[erf] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = erfc(%i)", "[erfc] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = erf_inv(%i)", "[erf_inv] takes floats, not i32; cast first; operands: i32[2,3] 'i'"},
    {"%r = cast(%x)", "[cast] needs the attribute 'dtype'; operands: f32[2,3] 'x'"},
    {"%r = stop_gradient(%x, %y)",
     "[stop_gradient] takes 1 operands, 2 were given; operands: f32[2,3] 'x' f32[2,4] 'y'"},

    {"%r = add(%x, %y)",
     "[add] shapes differ; broadcast first; operands: f32[2,3] 'x' f32[2,4] 'y'"},
    {"%r = add(%x)", "[add] takes 2 operands, 1 were given; operands: f32[2,3] 'x'"},
    {"%r = add(%x, %far)",
     "[add] operands live in device:0 and host:0; use `transfer` to bring them together; operands: "
     "f32[2,3] 'x' f32[2,3]@host:0 'far'"},
    {"%z = reshape(%d) {shape=[2,3,2]} %r = add(%d, %z)",
     "[add] shapes differ; broadcast first; operands: f32[4,3]{data} 'd' f32[2,3,2]{data} 'z'"},
    {"%r = subtract(%x, %h)",
     "[subtract] element types differ; cast first; operands: f32[2,3] 'x' f16[2,3] 'h'"},
    {"%r = multiply(%b, %b)",
     "[multiply] takes numbers, not bool; cast first; operands: bool[2,3] 'b' bool[2,3] 'b'"},
    {"%r = divide(%x, %i)",
     "[divide] element types differ; cast first; operands: f32[2,3] 'x' i32[2,3] 'i'"},
    {"%r = remainder(%x, %s)",
     "[remainder] shapes differ; broadcast first; operands: f32[2,3] 'x' f32[] 's'"},
    {"%r = power(%b, %b)",
     "[power] takes numbers, not bool; cast first; operands: bool[2,3] 'b' bool[2,3] 'b'"},
    {"%r = atan2(%i, %i)",
     "[atan2] takes floats, not i32; cast first; operands: i32[2,3] 'i' i32[2,3] 'i'"},
    {"%r = maximum(%x, %y)",
     "[maximum] shapes differ; broadcast first; operands: f32[2,3] 'x' f32[2,4] 'y'"},
    {"%r = minimum(%x, %h)",
     "[minimum] element types differ; cast first; operands: f32[2,3] 'x' f16[2,3] 'h'"},
    {"%r = bitwise_and(%x, %x)",
     "[bitwise_and] takes integers or bool, not f32; operands: f32[2,3] 'x' f32[2,3] 'x'"},
    {"%r = bitwise_or(%x, %x)",
     "[bitwise_or] takes integers or bool, not f32; operands: f32[2,3] 'x' f32[2,3] 'x'"},
    {"%r = bitwise_xor(%i, %b)",
     "[bitwise_xor] element types differ; cast first; operands: i32[2,3] 'i' bool[2,3] 'b'"},
    {"%r = shift_left(%x, %x)",
     "[shift_left] takes integers or bool, not f32; operands: f32[2,3] 'x' f32[2,3] 'x'"},
    {"%r = shift_left(%b, %b)",
     "[shift_left] takes integers, not bool; cast first; operands: bool[2,3] 'b' bool[2,3] 'b'"},
    {"%r = shift_right(%x, %x)",
     "[shift_right] takes integers or bool, not f32; operands: f32[2,3] 'x' f32[2,3] 'x'"},
    {"%r = equal(%e, %e)",
     "[equal] 8-bit floats take part in cast, quantize and matmul only; cast first; operands: "
     "f8e4m3[2,3] 'e' f8e4m3[2,3] 'e'"},
    {"%r = less(%x, %i)",
     "[less] element types differ; cast first; operands: f32[2,3] 'x' i32[2,3] 'i'"},
    {"%r = less_equal(%x, %y)",
     "[less_equal] shapes differ; broadcast first; operands: f32[2,3] 'x' f32[2,4] 'y'"},
    {"%r = select(%i, %x, %x)",
     "[select] the condition must be bool; operands: i32[2,3] 'i' f32[2,3] 'x' f32[2,3] 'x'"},

    {"%r = reduce(%x) {kind=mean, axes=[0]}",
     "[reduce] kind=mean is not one of sum, prod, max, min; operands: f32[2,3] 'x'"},
    {"%r = reduce(%x) {kind=sum, axes=[0,0]}",
     "[reduce] axis 0 is named twice; operands: f32[2,3] 'x'"},
    {"%r = reduce(%b) {kind=sum, axes=[0]}",
     "[reduce] sum takes numbers, not bool; cast first, or use max (any) and min (all); operands: "
     "bool[2,3] 'b'"},
    {"%r = cumulative(%x) {kind=sum, axis=2}",
     "[cumulative] axis=2 is out of range for 2 dimensions; operands: f32[2,3] 'x'"},
    {"%r = arg_reduce(%x) {kind=sum, axis=0}",
     "[arg_reduce] kind=sum is not max or min; operands: f32[2,3] 'x'"},
    {"%r = arg_reduce(%empty) {kind=max, axis=1}",
     "[arg_reduce] axis 1 has no elements; operands: f32[2,0] 'empty'"},
    {"%r, %q = sort(%e) {axis=0}",
     "[sort] 8-bit floats take part in cast, quantize and matmul only; cast first; operands: "
     "f8e4m3[2,3] 'e'"},
    {"%r, %q = sort(%x) {axis=-1}",
     "[sort] axis=-1 is out of range for 2 dimensions; operands: f32[2,3] 'x'"},
    {"%r, %q = top_k(%x) {k=4}",
     "[top_k] k=4 is not between 0 and the last axis's 3 elements; operands: f32[2,3] 'x'"},

    {"%r = matmul(%x, %y)",
     "[matmul] inner dimensions differ: [2,3] x [2,4]; operands: f32[2,3] 'x' f32[2,4] 'y'"},
    {"%r = matmul(%x, %h)",
     "[matmul] element types differ; cast first; operands: f32[2,3] 'x' f16[2,3] 'h'"},
    {"%r = matmul(%x, %x) {accumulate=bf16}",
     "[matmul] accumulate=bf16 does not fit operands of f32; operands: f32[2,3] 'x' f32[2,3] 'x'"},
    {"%r = matmul(%x, %image) {columns=3}",
     "[matmul] with columns=3 takes [M, K] and panels [columns / W, K / E, W, E]; operands: "
     "f32[2,3] 'x' f32[1,4,9] 'image'"},
    {"%r = grouped_matmul(%x, %image, %sizes)",
     "[grouped_matmul] sizes do not fit: x[T, K], w[G, K, N], sizes[G]; operands: f32[2,3] 'x' "
     "f32[1,4,9] 'image' i32[5] 'sizes'"},
    {"%r = convolution(%image, %filter) {strides=[1], low=[0], high=[0], lhs_dilation=[1], "
     "rhs_dilation=[1], groups=2}",
     "[convolution] channels do not fit groups=2; operands: f32[1,4,9] 'image' f32[8,3,3] "
     "'filter'"},
    {"%r = convolution(%image, %filter) {strides=[1,1], low=[0], high=[0], lhs_dilation=[1], "
     "rhs_dilation=[1], groups=1}",
     "[convolution] strides needs 1 numbers, one per spatial axis; operands: f32[1,4,9] 'image' "
     "f32[8,3,3] 'filter'"},

    {"%r = convolution(%image, %filter) {strides=[1], low=[0], high=[0], lhs_dilation=[1], "
     "rhs_dilation=[1], groups=1, axes=[0,1,2]}",
     "[convolution] with axes takes one of them per axis of x and w[groups, C/groups, K..., "
     "O/groups], or w[O/groups, C/groups, K..., groups] for an x whose groups are an axis; "
     "operands: f32[1,4,9] 'image' f32[8,3,3] 'filter'"},

    {"%r = reshape(%x) {shape=[7]}",
     "[reshape] 6 elements do not fill shape [7]; operands: f32[2,3] 'x'"},
    {"%r = broadcast(%x) {shape=[2,4], axes=[0,1]}",
     "[broadcast] size 3 of axis 1 cannot become 4; operands: f32[2,3] 'x'"},
    {"%r = transpose(%x) {axes=[0]}",
     "[transpose] axes [0] must name every axis once; operands: f32[2,3] 'x'"},
    {"%r = slice(%x) {start=[0,0], stop=[2,4], step=[1,1]}",
     "[slice] 0:4 does not lie in axis 1 of size 3; operands: f32[2,3] 'x'"},
    {"%r = slice(%x) {start=[0,0], stop=[2,3], step=[1,0]}",
     "[slice] step 0 of axis 1 is not at least 1; operands: f32[2,3] 'x'"},
    {"%r = reverse(%x) {axes=[2]}",
     "[reverse] axis 2 is out of range for 2 dimensions; operands: f32[2,3] 'x'"},
    {"%r = dynamic_slice(%x, %n) {shape=[1,1]}",
     "[dynamic_slice] needs one start per axis: 2 operands after the first 1, 1 were given; "
     "operands: f32[2,3] 'x' i32[] 'n'"},
    {"%r = dynamic_update_slice(%x, %y, %n, %n)",
     "[dynamic_update_slice] the update is larger than the operand; operands: f32[2,3] 'x' "
     "f32[2,4] "
     "'y' i32[] 'n' i32[] 'n'"},
    {"%r = pad(%x, %s) {low=[0], high=[0,0], interior=[0,0]}",
     "[pad] low, high and interior need one number per axis; operands: f32[2,3] 'x' f32[] 's'"},
    {"%r = concatenate(%x, %y) {axis=0}",
     "[concatenate] sizes differ outside axis 0; operands: f32[2,3] 'x' f32[2,4] 'y'"},
    {"%r = concatenate() {axis=0}", "[concatenate] needs at least one operand"},
    {"%r = gather(%x, %s) {axis=0, batch_dims=0}",
     "[gather] indices are i32 or i64; operands: f32[2,3] 'x' f32[] 's'"},
    {"%r = gather(%empty, %ids) {axis=1, batch_dims=0}",
     "[gather] axis 1 of x has no elements to take; operands: f32[2,0] 'empty' i64[7] 'ids'"},
    {"%r = scatter(%x, %ids, %x) {kind=add, axis=0, batch_dims=0}",
     "[scatter] the updates must have the shape [7,3]; operands: f32[2,3] 'x' i64[7] 'ids' "
     "f32[2,3] "
     "'x'"},
    {"%r = scatter(%b, %ids, %b) {kind=add, axis=0, batch_dims=0}",
     "[scatter] kind=add takes numbers, not bool; cast first; operands: bool[2,3] 'b' i64[7] 'ids' "
     "bool[2,3] 'b'"},

    {"%r = random_bits(%offset, %offset) {shape=[2]}",
     "[random_bits] the key is u32[..., 2]; operands: i64[] 'offset' i64[] 'offset'"},
    {"%r = quantize(%x) {format=q8_0}",
     "[quantize] the last axis must be a multiple of the block of 32 elements of q8_0; operands: "
     "f32[2,3] 'x'"},
    {"%r = quantize(%x) {format=q9}",
     "[quantize] 'q9' is not a block format; operands: f32[2,3] 'x'"},
    {"%r = dequantize(%u) {format=q4_0, dtype=f32}",
     "[dequantize] the last axis must be a multiple of the 18 bytes of a block of q4_0; operands: "
     "u8[2,34] 'u'"},
    {"%r = dequantize(%u) {format=q8_0, dtype=i32}",
     "[dequantize] dtype must be a float; operands: u8[2,34] 'u'"},

    {"%r = cond(%n) { yield %x } else { yield %y }",
     "[cond] the first operand is the condition, a 0-d bool; operands: i32[] 'n' f32[2,3] 'x' "
     "f32[2,4] 'y'"},
    {"%r = cond(%p) { yield %x } else { yield %y }",
     "[cond] result 0 of the branches is f32[2,3] and f32[2,4]; operands: bool[] 'p' f32[2,3] 'x' "
     "f32[2,4] 'y'"},
    {"%q = cond(%differs) { yield %x } else { %z = exp(%x) yield %z } %r = exp(%q)",
     "[cond] the condition varies along 'data', so result 0 must too; use `vary` inside; operands: "
     "bool[]{data} 'differs' f32[2,3] 'x'"},
    {"%q = loop(%steps, %x) {max=2} (%k, %c) { %z = exp(%c) yield %z } %r = exp(%q)",
     "[loop] the trip count varies along 'data', so result 0 must too; use `vary` inside; "
     "operands: "
     "i32[]{data} 'steps' f32[2,3] 'x'"},
    {"%r = cond(%differs) { %aa = all_gather(%d) {mesh_axis=data, size=4, axis=0} yield %aa } "
     "else { %bb = concatenate(%d, %d, %d, %d) {axis=0} yield %bb }",
     "[cond] 'all_gather' over 'data' inside is not reached by all ranks, because the condition "
     "varies along 'data'; decide by a value that is equal on every rank (all_reduce); operands: "
     "bool[]{data} 'differs' f32[4,3]{data} 'd'"},
    {"%r = loop(%steps, %d) {max=4} (%k, %c) { %tt = custom(%c) {name=\"twice\"} (%ee) { %ff = "
     "permute(%ee) {mesh_axis=data, size=2, literal=dense<i32[2]>(1, 0)} yield %ff } yield %tt }",
     "[loop] 'permute' over 'data' inside is not reached by all ranks, because the trip count "
     "varies along 'data'; decide by a value that is equal on every rank (all_reduce); operands: "
     "i32[]{data} 'steps' f32[4,3]{data} 'd'"},
    {"%r = loop(%s, %x) {max=2} (%k, %c) { yield %c }",
     "[loop] the first operand is the trip count, a 0-d i32; operands: f32[] 's' f32[2,3] 'x'"},
    {"%r = loop(%n, %x) {max=2} (%k, %c) { yield %y }",
     "[loop] carried value 0 comes in as f32[2,3] and goes out as f32[2,4]; operands: i32[] 'n' "
     "f32[2,3] 'x' f32[2,4] 'y'"},
    {"%r = loop(%n; %x) {max=3} (%k, %c) { yield %c }",
     "[loop] scanned operand 1 must have 3 rows (max); operands: i32[] 'n' f32[2,3] 'x'"},
    {"%r = custom(%x) (%c) { yield %c }",
     "[custom] needs the attribute 'name'; operands: f32[2,3] 'x'"},
    {"%r, %q = barrier(%x, %far)",
     "[barrier] operands live in device:0 and host:0; use `transfer` to bring them together; "
     "operands: f32[2,3] 'x' f32[2,3]@host:0 'far'"},

    {"%r = axis_index() {mesh_axis=data, size=0}", "[axis_index] size=0 is not a number of ranks"},
    {"%r = vary(%d) {mesh_axis=data}",
     "[vary] the operand varies along 'data' already; operands: f32[4,3]{data} 'd'"},
    {"%r = all_reduce(%x) {mesh_axis=data, size=2, kind=sum}",
     "[all_reduce] the operand does not vary along 'data': it is equal on every rank; use `vary` "
     "first; operands: f32[2,3] 'x'"},
    {"%r = all_reduce(%d) {mesh_axis=data, size=2, kind=prod}",
     "[all_reduce] kind=prod is not one of sum, max, min; operands: f32[4,3]{data} 'd'"},
    {"%r = all_gather(%d) {mesh_axis=data, size=2, axis=2}",
     "[all_gather] axis=2 is out of range for 2 dimensions; operands: f32[4,3]{data} 'd'"},
    {"%r = all_gather_invariant(%x) {mesh_axis=data, size=2, axis=0}",
     "[all_gather_invariant] the operand does not vary along 'data': it is equal on every rank; "
     "use "
     "`vary` first; operands: f32[2,3] 'x'"},
    {"%r = reduce_scatter(%d) {mesh_axis=data, size=3, axis=0}",
     "[reduce_scatter] the axis of size 4 does not divide among 3 ranks; operands: f32[4,3]{data} "
     "'d'"},
    {"%r = all_to_all(%d) {mesh_axis=data, size=2, split_axis=1, concat_axis=0}",
     "[all_to_all] split_axis of size 3 does not divide among 2 ranks; operands: f32[4,3]{data} "
     "'d'"},
    {"%r = permute(%d) {mesh_axis=data, size=2, literal=dense<i32[2]>(1, 1)}",
     "[permute] destination 1 is out of range or named twice; operands: f32[4,3]{data} 'd'"},
    {"%r = add(%x, %x) %q = multiply(%r, %d)",
     "[multiply] operands vary along different mesh axes; use `vary` on those that are equal "
     "everywhere; operands: f32[2,3] 'r' f32[4,3]{data} 'd'"},
};

TEST(InferError, NamesOperationAndTypes) {
  for (const Case& c : kCases) {
    const std::string error =
        test::error_of(std::string(kInputs) + std::string(c.text) + "\n  return %r }");
    EXPECT_EQ(error.substr(error.find(": ") + 2), c.error) << c.text;
  }
}

TEST(InferError, EveryPrimitiveHasACase) {
  std::set<std::string_view> tested;
  for (const Case& c : kCases) tested.insert(c.error.substr(1, c.error.find(']') - 1));
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    // Leaves and inputs are built without inference; dense takes any literal; a transfer goes
    // anywhere.
    if (op == Op::leaf || op == Op::input || op == Op::dense || op == Op::transfer) continue;
    EXPECT_TRUE(tested.count(name(op))) << "no mistake is tested for '" << name(op) << "'";
  }
}

TEST(InferError, NamesTheLineOfTheProgramAndTheScope) {
  const Tensor x = Tensor::input({DType::f32, {2, 3}}, "x");
  const Scope scope("layers.3/attention");
  const std::source_location here = std::source_location::current();
  const Provenance provenance(here, "matmul");
  try {
    make(Op::matmul, {x, x});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(
        error.what(),
        "[matmul] inner dimensions differ: [2,3] x [2,3]; operands: f32[2,3] 'x' f32[2,3] 'x' "
        "(at infer_error_test.cpp:" +
            std::to_string(here.line()) + ") in 'layers.3/attention'");
  }
}

}  // namespace
}  // namespace cairn
