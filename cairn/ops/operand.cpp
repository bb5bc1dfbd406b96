#include "cairn/ops/operand.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "cairn/core/dispatch.h"
#include "cairn/graph/infer.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"

namespace cairn {

using detail::fail;

namespace {

// Order of the weak kinds in the lattice.
int kind(DType t) { return t == DType::b8 ? 0 : is_integer(t) ? 1 : 2; }

// A C++ integer must be one of the type that it takes: 300 beside u8 is a mistake, as in NumPy 2.
void check_range(const Number& number, DType dtype) {
  if (!number.is_integer() || !is_integer(dtype)) return;
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      const int64_t value = number.as_integer();
      if (!std::in_range<T>(value))
        throw_error(
            fmt::format("the number {} does not fit {} ({} to {}), the type of the other "
                        "operand; cast the tensor first, or make one of the number with "
                        "Tensor::scalar (at {})",
                        value, name(dtype), +std::numeric_limits<T>::min(),
                        +std::numeric_limits<T>::max(), locate(Provenance::current())));
    }
  });
}

}  // namespace

Tensor Operand::as(DType dtype) const {
  if (!is_number()) return tensor_;
  const Provenance provenance(where_, "number");
  check_range(number_, dtype);
  return Tensor::scalar(is_float(dtype) ? Number(number_.as_double()) : number_, dtype);
}

DType result_dtype(std::string_view op, std::span<const Operand> operands) {
  std::optional<DType> strong;
  std::optional<DType> weak;
  for (const Operand& o : operands) {
    if (o.is_number()) {
      if (!weak || kind(o.weak_dtype()) > kind(*weak)) weak = o.weak_dtype();
      continue;
    }
    if (!strong) {
      strong = o.tensor().dtype();
      continue;
    }
    const auto joined = promote(*strong, o.tensor().dtype());
    if (!joined)
      fail(op, fmt::format("{} and {} have no common type: 8-bit floats take part in cast, "
                           "quantize and matmul only; cast first",
                           name(*strong), name(o.tensor().dtype())));
    strong = joined;
  }
  if (!strong) return *weak;
  if (!weak || kind(*weak) <= kind(*strong)) return *strong;
  return *weak;
}

Shape broadcast_shapes(std::string_view op, std::span<const Shape> shapes) {
  Shape out;
  for (const Shape& s : shapes)
    while (out.rank() < s.rank()) out.push_back(1);
  for (const Shape& s : shapes) {
    const int offset = out.rank() - s.rank();
    for (int i = 0; i < s.rank(); ++i) {
      int64_t& size = out[i + offset];
      if (size == 1) {
        size = s[i];
      } else if (s[i] != 1 && s[i] != size) {
        std::string all;
        for (const Shape& t : shapes) all += " " + to_string(t);
        fail(op, fmt::format("shapes{} do not broadcast: axis {} has sizes {} and {}", all,
                             i + offset, size, s[i]));
      }
    }
  }
  return out;
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Ints axes;
  const int offset = shape.rank() - x.rank();
  if (offset < 0)
    fail("broadcast_to",
         fmt::format("{} has more dimensions than {}", to_string(x.shape()), to_string(shape)));
  for (int i = 0; i < x.rank(); ++i) axes.push_back(i + offset);
  return make(Op::broadcast, {x}, {{Attr::shape, Ints(shape)}, {Attr::axes, axes}});
}

void vary_together(std::vector<Tensor>& tensors) {
  bool same = true;
  for (const Tensor& t : tensors) same &= t.type().varying == tensors[0].type().varying;
  if (same) return;
  std::set<std::string> axes;
  for (const Tensor& t : tensors) axes.insert(t.type().varying.begin(), t.type().varying.end());
  for (Tensor& t : tensors)
    for (const std::string& axis : axes) {
      const auto& has = t.type().varying;
      if (std::find(has.begin(), has.end(), axis) == has.end())
        t = make(Op::vary, {t}, {{Attr::mesh_axis, axis}});
    }
}

std::vector<Tensor> broadcast_together(std::string_view op, std::span<const Operand> operands,
                                       std::optional<DType> dtype) {
  const DType common = dtype ? *dtype : result_dtype(op, operands);
  std::vector<Tensor> tensors;
  tensors.reserve(operands.size());
  Shape shape;
  bool same = true;
  for (const Operand& o : operands) {
    tensors.push_back(o.is_number() ? o.as(common) : cast(o.tensor(), common));
    same &= tensors.back().shape() == tensors.front().shape();
  }
  if (!same) {
    std::vector<Shape> shapes;
    for (const Tensor& t : tensors) shapes.push_back(t.shape());
    shape = broadcast_shapes(op, shapes);
    for (Tensor& t : tensors) t = broadcast_to(t, shape);
  }
  vary_together(tensors);
  return tensors;
}

int normalize_axis(std::string_view op, int64_t axis, int rank) {
  const int64_t at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank)
    fail(op, fmt::format("axis {} is out of range for {} dimensions", axis, rank));
  return static_cast<int>(at);
}

Ints normalize_axes(std::string_view op, const Ints& axes, int rank) {
  Ints result;
  if (axes.empty()) {
    for (int i = 0; i < rank; ++i) result.push_back(i);
    return result;
  }
  for (int64_t axis : axes) {
    const int at = normalize_axis(op, axis, rank);
    if (result.contains(at)) fail(op, fmt::format("axis {} is named twice", axis));
    result.push_back(at);
  }
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace cairn
