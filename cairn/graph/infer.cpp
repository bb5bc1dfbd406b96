// The table of inference functions, the checks that hold for every primitive, constants and
// elementwise operations.
#include "cairn/graph/infer.h"

#include <fmt/format.h>

#include <array>

#include "cairn/graph/infer_context.h"

namespace cairn {
namespace detail {
namespace {

// A number that lives nowhere in particular, in whatever shape.
bool is_constant(const Tensor& t) {
  const Node* node = &t.node();
  while (node->op() == Op::broadcast || node->op() == Op::reshape || node->op() == Op::vary)
    node = &node->input(0).node();
  return node->op() == Op::full || node->op() == Op::iota || node->op() == Op::dense;
}

}  // namespace

void InferContext::fail(std::string what) const {
  std::string text = error_prefix(cairn::name(op)) + what;
  if (!inputs.empty()) {
    text += "; operands:";
    for (const Tensor& t : inputs) {
      text += " " + to_string(t.type());
      if (!t.name().empty()) text += " '" + t.name() + "'";
    }
  }
  text += error_location();
  if (Scope::current()) text += fmt::format(" in '{}'", *Scope::current());
  throw Error(text);
}

TensorType InferContext::result(DType dtype, Shape shape) const {
  if (!is_possible(dtype, shape))
    fail(fmt::format("the result would be {}{}, which has too many elements", cairn::name(dtype),
                     to_string(shape)));
  TensorType type{dtype, shape};
  for (const Tensor& t : inputs) {
    if (is_constant(t)) continue;
    type.placement = t.type().placement;
    break;
  }
  if (!inputs.empty()) type.varying = inputs[0].type().varying;
  return type;
}

int InferContext::axis(int rank, Attr key) const {
  const int64_t axis = attrs.integer(key);
  if (axis < 0 || axis >= rank)
    fail(fmt::format("{}={} is out of range for {} dimensions", cairn::name(key), axis, rank));
  return static_cast<int>(axis);
}

const Ints& InferContext::axes(int rank) const {
  const Ints& axes = attrs.ints(Attr::axes);
  for (int i = 0; i < axes.size(); ++i) {
    if (axes[i] < 0 || axes[i] >= rank)
      fail(fmt::format("axis {} is out of range for {} dimensions", axes[i], rank));
    for (int j = 0; j < i; ++j)
      if (axes[j] == axes[i]) fail(fmt::format("axis {} is named twice", axes[i]));
  }
  return axes;
}

namespace {

Types infer_leaf(const InferContext&) { return {}; }  // built by Tensor::leaf and Tensor::input

void check_sizes(const InferContext& c, DType dtype, const Shape& shape) {
  if (!is_possible(dtype, shape))
    c.fail(fmt::format("shape {} has a negative size or too many elements", to_string(shape)));
}

Types infer_full(const InferContext& c) {
  const Shape shape(c.attrs.ints(Attr::shape));
  check_sizes(c, c.attrs.dtype(Attr::dtype), shape);
  return {{c.attrs.dtype(Attr::dtype), shape}};
}

Types infer_iota(const InferContext& c) {
  const Shape shape(c.attrs.ints(Attr::shape));
  check_sizes(c, c.attrs.dtype(Attr::dtype), shape);
  c.axis(shape.rank());
  if (c.attrs.dtype(Attr::dtype) == DType::b8) c.fail("counts, so its dtype cannot be bool");
  return {{c.attrs.dtype(Attr::dtype), shape}};
}

Types infer_dense(const InferContext& c) {
  const HostArray& literal = c.attrs.literal(Attr::literal);
  return {{literal.dtype(), literal.shape()}};
}

Types infer_cast(const InferContext& c) {
  return {c.result(c.attrs.dtype(Attr::dtype), c.shape(0))};
}

Types infer_comparison(const InferContext& c) {
  if (is_float8(c.dtype(0)))
    c.fail("8-bit floats take part in cast, quantize and matmul only; cast first");
  return {c.result(DType::b8, c.shape(0))};
}

Types infer_select(const InferContext& c) {
  if (c.dtype(0) != DType::b8) c.fail("the condition must be bool");
  return {c.result(c.dtype(1), c.shape(1))};
}

Types infer_elementwise(const InferContext& c) { return {c.result(c.dtype(0), c.shape(0))}; }

Types infer_shift(const InferContext& c) {
  if (c.dtype(0) == DType::b8) c.fail("takes integers, not bool; cast first");
  return infer_elementwise(c);
}

using InferFunction = Types (*)(const InferContext&);

// Null for elementwise operations without a rule of their own.
constexpr std::array<InferFunction, kOpCount> make_table() {
  std::array<InferFunction, kOpCount> t{};
  const auto set = [&t](Op op, InferFunction f) { t[static_cast<int>(op)] = f; };
  set(Op::input, infer_leaf);
  set(Op::leaf, infer_leaf);
  set(Op::full, infer_full);
  set(Op::iota, infer_iota);
  set(Op::dense, infer_dense);
  set(Op::cast, infer_cast);
  set(Op::shift_left, infer_shift);
  set(Op::shift_right, infer_shift);
  set(Op::equal, infer_comparison);
  set(Op::less, infer_comparison);
  set(Op::less_equal, infer_comparison);
  set(Op::select, infer_select);
  set(Op::reduce, infer_reduce);
  set(Op::cumulative, infer_cumulative);
  set(Op::arg_reduce, infer_arg_reduce);
  set(Op::sort, infer_sort);
  set(Op::top_k, infer_top_k);
  set(Op::matmul, infer_matmul);
  set(Op::grouped_matmul, infer_grouped_matmul);
  set(Op::convolution, infer_convolution);
  set(Op::reshape, infer_reshape);
  set(Op::broadcast, infer_broadcast);
  set(Op::transpose, infer_transpose);
  set(Op::slice, infer_slice);
  set(Op::reverse, infer_reverse);
  set(Op::dynamic_slice, infer_dynamic_slice);
  set(Op::dynamic_update_slice, infer_dynamic_update_slice);
  set(Op::pad, infer_pad);
  set(Op::concatenate, infer_concatenate);
  set(Op::gather, infer_gather);
  set(Op::scatter, infer_scatter);
  set(Op::random_bits, infer_random_bits);
  set(Op::quantize, infer_quantize);
  set(Op::dequantize, infer_dequantize);
  set(Op::cond, infer_cond);
  set(Op::loop, infer_loop);
  set(Op::custom, infer_custom);
  set(Op::barrier, infer_barrier);
  set(Op::axis_index, infer_axis_index);
  set(Op::vary, infer_vary);
  set(Op::all_reduce, infer_all_reduce);
  set(Op::all_gather, infer_all_gather);
  set(Op::all_gather_invariant, infer_all_gather);
  set(Op::reduce_scatter, infer_reduce_scatter);
  set(Op::all_to_all, infer_all_to_all);
  set(Op::permute, infer_permute);
  set(Op::transfer, infer_transfer);
  return t;
}

constexpr auto kTable = make_table();

void check_attributes(const InferContext& c, const OpInfo& op) {
  for (const AttrUse& use : op.attributes)
    if (use.required && !c.attrs.has(use.attr))
      c.fail(fmt::format("needs the attribute '{}'", cairn::name(use.attr)));
  for (const auto& [key, value] : c.attrs) {
    bool known = false;
    for (const AttrUse& use : op.attributes) known |= use.attr == key;
    if (!known) c.fail(fmt::format("has no attribute '{}'", cairn::name(key)));
  }
}

void check_types(const InferContext& c, const OpInfo& op) {
  for (int i = 0; i < c.count(); ++i) {
    const DType t = c.dtype(i);
    if (op.types == TypeClass::own || op.types == TypeClass::any) break;
    if (is_float8(t))
      c.fail("8-bit floats take part in cast, quantize and matmul only; cast first");
    if (op.types == TypeClass::floating && !is_float(t))
      c.fail(fmt::format("takes floats, not {}; cast first", cairn::name(t)));
    if (op.types == TypeClass::number && t == DType::b8)
      c.fail("takes numbers, not bool; cast first");
    if (op.types == TypeClass::integer && !is_integer(t) && t != DType::b8)
      c.fail(fmt::format("takes integers or bool, not {}", cairn::name(t)));
  }
}

// Operands live in one place and vary along the same mesh axes. Those of a body and of a barrier
// are values of their own.
void check_agreement(const InferContext& c) {
  const bool independent = c.op == Op::custom || c.op == Op::barrier;
  const Tensor* placed = nullptr;
  for (const Tensor& t : c.inputs) {
    if (!independent && t.type().varying != c.inputs[0].type().varying)
      c.fail(
          "operands vary along different mesh axes; use `vary` on those that are equal everywhere");
    if (is_constant(t)) continue;
    if (placed && placed->type().placement != t.type().placement)
      c.fail(fmt::format("operands live in {} and {}; use `transfer` to bring them together",
                         to_string(placed->type().placement), to_string(t.type().placement)));
    if (!placed) placed = &t;
  }
}

void check_elementwise(const InferContext& c) {
  const int first = c.op == Op::select ? 1 : 0;
  for (int i = 1; i < c.count(); ++i) {
    if (c.shape(i) != c.shape(0)) c.fail("shapes differ; broadcast first");
    if (i > first && c.dtype(i) != c.dtype(first)) c.fail("element types differ; cast first");
  }
}

}  // namespace
}  // namespace detail

std::vector<TensorType> infer(Op op, std::span<const Tensor> inputs, const Attrs& attrs) {
  const detail::InferContext c{op, inputs, attrs};
  const OpInfo& row = info(op);
  if (row.operands >= 0 && c.count() != row.operands)
    c.fail(fmt::format("takes {} operands, {} were given", row.operands, c.count()));
  detail::check_attributes(c, row);
  detail::check_types(c, row);
  if (op != Op::cond && op != Op::loop) detail::check_agreement(c);
  if (row.trait == Trait::elementwise) detail::check_elementwise(c);
  const auto rule = detail::kTable[static_cast<int>(op)];
  return rule ? rule(c) : detail::infer_elementwise(c);
}

bool is_possible(DType dtype, const Shape& shape) {
  constexpr int64_t kLimit = int64_t{1} << 62;
  for (const int64_t size : shape)
    if (size < 0 || size >= kLimit) return false;
  const int64_t elements = checked_elements({shape.begin(), static_cast<size_t>(shape.size())});
  return elements >= 0 && elements < kLimit / static_cast<int64_t>(size_of(dtype));
}

std::string locate(const std::source_location& location) {
  std::string_view file = location.file_name();
  if (const size_t slash = file.rfind('/'); slash != std::string_view::npos)
    file.remove_prefix(slash + 1);
  return fmt::format("{}:{}", file, location.line());
}

}  // namespace cairn
