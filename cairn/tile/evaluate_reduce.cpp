// Reductions, scans and products of tiles, each in the order that its definition fixes.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cairn/graph/scalar.h"
#include "cairn/tile/combine.h"
#include "cairn/tile/evaluate.h"
#include "cairn/tile/infer.h"
#include "cairn/tile/reduction_order.h"

namespace cairn::tile::detail {
namespace {

[[noreturn]] void unsupported(const Instruction& in, DType dtype) {
  fail(spelled(in), fmt::format("{} does not apply to {}", name(in.kind), cairn::name(dtype)),
       in.where);
}

// The lines of a tile along one axis.
struct Lines {
  int64_t n;
  int64_t stride = 1;
  int64_t count = 1;
  Lines(const Shape& shape, int axis) : n(shape[axis]) {
    for (int i = axis + 1; i < shape.rank(); ++i) stride *= shape[i];
    count = shape.elements() / n;
  }
  // The first element of a line.
  int64_t base(int64_t line) const { return line / stride * stride * n + line % stride; }
};

template <Op kOp, class T>
ComputeType<T> reduce_line(const T* x, int64_t n, int64_t stride) {
  using A = ComputeType<T>;
  const auto element = [=](int64_t i) { return load_element(x[i * stride]); };
  if constexpr (kOp == Op::add || kOp == Op::multiply) {
    return reduce_in_order<A, kOp>(n, element);
  } else {
    A best = element(0);
    for (int64_t i = 1; i < n; ++i) best = Scalar<kOp>::of(best, element(i));
    return best;
  }
}

// A sum starts from +0 like that of `reduce`: the first element of a scan of -0 is +0.
template <Op kOp, class T>
void scan_line(const T* x, T* out, int64_t n, int64_t stride, bool reverse) {
  using A = ComputeType<T>;
  A value = kOp == Op::add ? A(0) : A(1);
  for (int64_t k = 0; k < n; ++k) {
    const int64_t at = (reverse ? n - 1 - k : k) * stride;
    const A element = load_element(x[at]);
    const bool starts = k == 0 && (kOp == Op::maximum || kOp == Op::minimum);
    value = starts ? element : Scalar<kOp>::of(value, element);
    out[at] = store_element<T>(value);
  }
}

template <class T>
int32_t best_of_line(const T* x, int64_t n, int64_t stride, bool largest) {
  auto best = load_element(x[0]);
  int32_t at = 0;
  for (int64_t k = 1; k < n && best == best; ++k) {
    const auto value = load_element(x[k * stride]);
    if (value != value || (largest ? value > best : value < best)) {
      best = value;
      at = static_cast<int32_t>(k);
    }
  }
  return at;
}

// acc[M, N] = fma(x[m, k], y[k, n], acc) for k = 0, 1, ..., or 1, 0, 3, 2, ... of bf16: the loop
// over n is inside, which changes no element's order and reads y by rows.
template <class A>
HostArray dot_in(const TileType& result, std::span<const HostArray> operands, bool flushes) {
  const auto flushed = [&](A value) {
    if constexpr (std::is_floating_point_v<A>)
      if (flushes && std::abs(value) < std::numeric_limits<A>::min())
        return std::copysign(A(0), value);
    return value;
  };
  const auto converted = [](const HostArray& array) {
    std::vector<A> values(static_cast<size_t>(array.elements()));
    visit_dtype(array.dtype(), [&](auto tag) {
      const auto elements = array.span<typename decltype(tag)::type>();
      for (size_t i = 0; i < values.size(); ++i) values[i] = cast_element<A>(elements[i]);
    });
    return values;
  };
  const std::vector<A> x = converted(operands[0]), y = converted(operands[1]);
  std::vector<A> sums = converted(operands[2]);
  const auto rows = static_cast<size_t>(result.shape[0]);
  const auto columns = static_cast<size_t>(result.shape[1]);
  const auto depth = static_cast<size_t>(operands[0].shape()[1]);
  const bool in_pairs = operands[0].dtype() == DType::bf16;
  for (size_t m = 0; m < rows; ++m)
    for (size_t step = 0; step < depth; ++step) {
      const size_t k = in_pairs && (step ^ 1) < depth ? step ^ 1 : step;
      for (size_t n = 0; n < columns; ++n) {
        A& sum = sums[m * columns + n];
        const A a = x[m * depth + k], b = y[k * columns + n];
        if constexpr (std::is_floating_point_v<A>)
          sum = flushed(std::fma(flushed(a), flushed(b), flushed(sum)));
        else
          sum = Scalar<Op::add>::of(sum, Scalar<Op::multiply>::of(a, b));
      }
    }
  HostArray out(result.dtype, result.shape);
  visit_dtype(result.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto elements = out.mutable_span<T>();
    for (size_t i = 0; i < sums.size(); ++i) elements[i] = cast_element<T>(sums[i]);
  });
  return out;
}

}  // namespace

HostArray evaluate_reduce(const Instruction& in, const TileType& result, const HostArray& x) {
  const Lines lines(x.shape(), in.axis);
  HostArray out(result.dtype, result.shape);
  visit_dtype(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_combine(in.kind, [&](auto op) {
      if constexpr (combines<op.value, T>()) {
        const auto to = out.mutable_span<T>();
        for (int64_t line = 0; line < lines.count; ++line)
          to[static_cast<size_t>(line)] = store_element<T>(
              reduce_line<op.value>(x.span<T>().data() + lines.base(line), lines.n, lines.stride));
      } else {
        unsupported(in, x.dtype());
      }
    });
  });
  return out;
}

HostArray evaluate_scan(const Instruction& in, const TileType& result, const HostArray& x) {
  const Lines lines(x.shape(), in.axis);
  HostArray out(result.dtype, result.shape);
  visit_dtype(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_combine(in.kind, [&](auto op) {
      if constexpr (combines<op.value, T>()) {
        for (int64_t line = 0; line < lines.count; ++line)
          scan_line<op.value>(x.span<T>().data() + lines.base(line),
                              out.mutable_span<T>().data() + lines.base(line), lines.n,
                              lines.stride, in.reverse);
      } else {
        unsupported(in, x.dtype());
      }
    });
  });
  return out;
}

HostArray evaluate_arg_reduce(const Instruction& in, const TileType& result, const HostArray& x) {
  if (is_float8(x.dtype())) unsupported(in, x.dtype());
  const Lines lines(x.shape(), in.axis);
  HostArray out(result.dtype, result.shape);
  const auto to = out.mutable_span<int32_t>();
  visit_dtype(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t line = 0; line < lines.count; ++line)
      to[static_cast<size_t>(line)] = best_of_line(x.span<T>().data() + lines.base(line), lines.n,
                                                   lines.stride, in.kind == Combine::max);
  });
  return out;
}

namespace {

// The rows of y out of words that hold several.
HostArray rows_of_words(const HostArray& words, DType element) {
  const size_t bytes = size_of(element), group = 4 / bytes;
  const Shape& shape = words.shape();
  HostArray rows(element, {shape[0] * static_cast<int64_t>(group), shape[1]});
  const auto columns = static_cast<size_t>(shape[1]);
  const auto* from = static_cast<const char*>(words.data());
  auto* to = static_cast<char*>(rows.mutable_data());
  for (size_t row = 0; row < static_cast<size_t>(rows.shape()[0]); ++row)
    for (size_t n = 0; n < columns; ++n)
      std::memcpy(to + (row * columns + n) * bytes,
                  from + (row / group * columns + n) * 4 + row % group * bytes, bytes);
  return rows;
}

}  // namespace

// 16- and 8-bit floats multiply in f32, whatever they are added to, and the sum is rounded once.
HostArray evaluate_dot(const TileType& result, std::span<const HostArray> operands,
                       bool bf16_subnormals_are_zero) {
  if (const auto element = element_of_words(operands[0].dtype(), operands[1].dtype())) {
    const HostArray plain[] = {operands[0], rows_of_words(operands[1], *element), operands[2]};
    return evaluate_dot(result, plain, bf16_subnormals_are_zero);
  }
  if (is_integer(operands[0].dtype())) return dot_in<int32_t>(result, operands, false);
  if (operands[0].dtype() == DType::f64) return dot_in<double>(result, operands, false);
  const bool flushes = bf16_subnormals_are_zero && operands[0].dtype() == DType::bf16;
  return dot_in<float>(result, operands, flushes);
}

}  // namespace cairn::tile::detail
