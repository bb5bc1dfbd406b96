#include "cairn/ops/linear.h"

#include <fmt/format.h>

#include "cairn/graph/infer.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"

namespace cairn {

Tensor matmul(Operand a, Operand b) {
  const Provenance provenance(a.where());
  const Operand operands[] = {a, b};
  Tensor x = a.value();
  Tensor y = b.value();
  if (!is_float8(x.dtype()) || !is_float8(y.dtype())) {
    const DType dtype = result_dtype("matmul", operands);
    x = cast(x, dtype);
    y = cast(y, dtype);
  }
  const bool row = x.rank() == 1;
  const bool column = y.rank() == 1;
  if (x.rank() == 0 || y.rank() == 0)
    throw_error(fmt::format("[matmul] needs at least one dimension: {} x {}; use multiply for scalars",
                            to_string(x.shape()), to_string(y.shape())));
  if (row) x = expand_dims(x, 0);
  if (column) y = expand_dims(y, 1);
  if (x.size(-1) != y.size(-2))
    throw_error(fmt::format("[matmul] inner dimensions differ: {} x {} (at {})", to_string(a.value().shape()),
                            to_string(b.value().shape()), locate(Provenance::current())));
  std::vector<Tensor> both{x, y};
  vary_together(both);
  x = both[0];
  y = both[1];
  Tensor out;
  if (y.rank() == 2 && x.rank() > 2) {
    // Leading axes of x are rows: one product instead of many.
    Shape shape = x.shape();
    shape.back() = y.size(1);
    out = reshape(make(Op::matmul, {reshape(x, {-1, x.size(-1)}), y}), shape);
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
    out = make(Op::matmul, {broadcast_to(x, left), broadcast_to(y, right)});
  }
  if (column) out = squeeze(out, {-1});
  if (row) out = squeeze(out, {column ? -1 : -2});
  return out;
}

}  // namespace cairn
