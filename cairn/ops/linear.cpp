#include "cairn/ops/linear.h"

#include <fmt/format.h>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"
#include "cairn/ops/movement.h"

namespace cairn {

using detail::fail;

namespace {

Attrs attributes(const ProductOptions& options) {
  Attrs attrs;
  if (options.accumulate) attrs.set(Attr::accumulate, *options.accumulate);
  if (options.dtype) attrs.set(Attr::dtype, *options.dtype);
  return attrs;
}

// Bytes and 8-bit floats are multiplied as they are; others are promoted.
void promote_together(std::string_view op, const Operand& a, const Operand& b, Tensor& x,
                      Tensor& y) {
  const auto is_byte = [](DType t) { return t == DType::i8 || t == DType::u8; };
  if (is_float8(x.dtype()) && is_float8(y.dtype())) return;
  if (is_byte(x.dtype()) && is_byte(y.dtype())) return;
  const Operand operands[] = {a, b};
  const DType dtype = result_dtype(op, operands);
  x = cast(x, dtype);
  y = cast(y, dtype);
}

}  // namespace

Tensor grouped_matmul(Operand input, const Tensor& w, const Tensor& sizes,
                      const ProductOptions& options) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  std::vector<Tensor> operands{x, w, cast(sizes, DType::i32)};
  promote_together("grouped_matmul", x, w, operands[0], operands[1]);
  vary_together(operands);
  return make(Op::grouped_matmul, std::move(operands), attributes(options));
}

Tensor matmul(Operand a, Operand b, const ProductOptions& options) {
  const Provenance provenance(a.where());
  Tensor x = a.value();
  Tensor y = b.value();
  promote_together("matmul", a, b, x, y);
  const bool row = x.rank() == 1;
  const bool column = y.rank() == 1;
  if (x.rank() == 0 || y.rank() == 0)
    fail("matmul", fmt::format("needs at least one dimension: {} x {}; use multiply for scalars",
                               to_string(x.shape()), to_string(y.shape())));
  if (row) x = expand_dims(x, 0);
  if (column) y = expand_dims(y, 1);
  if (x.size(-1) != y.size(-2))
    fail("matmul", fmt::format("inner dimensions differ: {} x {}", to_string(a.value().shape()),
                               to_string(b.value().shape())));
  std::vector<Tensor> both{x, y};
  vary_together(both);
  x = both[0];
  y = both[1];
  Tensor out;
  if (y.rank() == 2 && x.rank() > 2) {
    // Leading axes of x are rows: one product instead of many.
    Shape shape = x.shape();
    shape.back() = y.size(1);
    Shape rows{1, x.size(-1)};  // not -1: it has no answer when the last axis is empty
    for (int i = 0; i < x.rank() - 1; ++i) rows[0] *= x.size(i);
    out = reshape(make(Op::matmul, {reshape(x, rows), y}, attributes(options)), shape);
  } else {
    Shape batches[] = {x.shape(), y.shape()};
    for (Shape& s : batches) {
      s.erase(s.rank() - 1);
      s.erase(s.rank() - 1);
    }
    Shape left = broadcast_shapes("matmul", batches);
    Shape right = left;
    left.push_back(x.size(-2));
    left.push_back(x.size(-1));
    right.push_back(y.size(-2));
    right.push_back(y.size(-1));
    out = make(Op::matmul, {broadcast_to(x, left), broadcast_to(y, right)}, attributes(options));
  }
  if (column) out = squeeze(out, {-1});
  if (row) out = squeeze(out, {column ? -1 : -2});
  return out;
}

}  // namespace cairn
