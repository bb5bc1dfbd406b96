// Elementwise arithmetic of tiles: the loops of runtime/ref/elementwise.cpp without its threads.
//
// As there, each of the 400 pairs of a row and a type is a function that is nothing but its loop:
// they take most of this folder's time to compile, so they are alone in this file.
#include <fmt/format.h>

#include "cairn/graph/scalar.h"
#include "cairn/tile/evaluate.h"
#include "cairn/tile/infer.h"

namespace cairn::tile::detail {
namespace {

// Operands, the result and how many elements each has.
struct Loop {
  const void* x;
  const void* y;
  const void* z;
  void* out;
  int64_t n;
};
using Piece = void (*)(const Loop&);

template <Op kOp, class T>
void unary_piece(const Loop& loop) {
  const T* x = static_cast<const T*>(loop.x);
  T* out = static_cast<T*>(loop.out);
  for (int64_t i = 0; i < loop.n; ++i)
    out[i] = store_element<T>(Scalar<kOp>::of(load_element(x[i])));
}

template <Op kOp, class T>
void binary_piece(const Loop& loop) {
  using C = ComputeType<T>;
  constexpr bool kCompares = kOp == Op::equal || kOp == Op::less || kOp == Op::less_equal;
  using R = std::conditional_t<kCompares, bool, T>;
  const T* x = static_cast<const T*>(loop.x);
  const T* y = static_cast<const T*>(loop.y);
  R* out = static_cast<R*>(loop.out);
  for (int64_t i = 0; i < loop.n; ++i) {
    const auto value = Scalar<kOp>::of(load_element(x[i]), load_element(y[i]));
    if constexpr (kCompares)
      out[i] = value;
    else
      out[i] = store_element<T>(static_cast<C>(value));
  }
}

template <class From, class To>
void cast_piece(const Loop& loop) {
  const From* x = static_cast<const From*>(loop.x);
  To* out = static_cast<To*>(loop.out);
  for (int64_t i = 0; i < loop.n; ++i) out[i] = cast_element<To>(x[i]);
}

// Moves bits, so a type stands for all of its size.
template <class T>
void select_piece(const Loop& loop) {
  const bool* condition = static_cast<const bool*>(loop.x);
  const T* x = static_cast<const T*>(loop.y);
  const T* y = static_cast<const T*>(loop.z);
  T* out = static_cast<T*>(loop.out);
  for (int64_t i = 0; i < loop.n; ++i) out[i] = condition[i] ? x[i] : y[i];
}

Piece find_piece(Op op, DType from, DType to) {
  Piece piece = nullptr;
  if (op == Op::select) {
    switch (size_of(to)) {
      case 1: return select_piece<uint8_t>;
      case 2: return select_piece<uint16_t>;
      case 4: return select_piece<uint32_t>;
      default: return select_piece<uint64_t>;
    }
  }
  visit_dtype(from, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (op == Op::cast)
      visit_dtype(to, [&](auto other) { piece = cast_piece<T, typename decltype(other)::type>; });
    visit_unary(op, [&](auto row) {
      if constexpr (applies<row.value, T>()) piece = unary_piece<row.value, T>;
    });
    visit_binary(op, [&](auto row) {
      if constexpr (applies<row.value, T>()) piece = binary_piece<row.value, T>;
    });
  });
  return piece;
}

}  // namespace

HostArray evaluate_apply(const Instruction& in, const TileType& result,
                         std::span<const HostArray> operands) {
  if (in.scalar == Op::stop_gradient) return operands[0];
  const Piece piece = find_piece(in.scalar, operands[0].dtype(), result.dtype);
  if (!piece)
    fail(spelled(in), fmt::format("does not apply to {}", name(operands[0].dtype())), in.where);
  HostArray out(result.dtype, result.shape);
  const auto data = [&](size_t i) { return i < operands.size() ? operands[i].data() : nullptr; };
  piece({data(0), data(1), data(2), out.mutable_data(), out.elements()});
  return out;
}

}  // namespace cairn::tile::detail
