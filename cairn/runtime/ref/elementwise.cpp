// Elementwise primitives: one loop over the scalar table.
//
// There are some 400 of these loops, each for a row of the table and a type, so each is compiled
// once and is nothing but the loop: a function over a range of elements, which one call of the pool
// runs. (With the pool's template around every loop the compiler took twice as long.)
#include <fmt/format.h>

#include "cairn/graph/scalar.h"
#include "cairn/runtime/ref/kernels.h"

namespace cairn::ref {
namespace {

[[noreturn]] void unsupported(const KernelArgs& args) {
  throw_error(fmt::format("[{}] does not apply to {}", name(args.node.op()),
                          name(args.node.input(0).dtype())));
}

// Elements begin..end-1 of a launch.
using Piece = void (*)(const KernelArgs& args, int64_t begin, int64_t end);

void run(const KernelArgs& args, Piece piece) {
  if (!piece) unsupported(args);
  args.pool.parallel_for(args.node.output().shape.elements(), kGrain,
                         [&](int64_t begin, int64_t end) { piece(args, begin, end); });
}

template <class T>
const T* input(const KernelArgs& args, int i) {
  return static_cast<const T*>(args.inputs[static_cast<size_t>(i)]);
}
template <class T>
T* output(const KernelArgs& args) {
  return static_cast<T*>(args.outputs[0]);
}

template <Op kOp, class T>
void unary_piece(const KernelArgs& args, int64_t begin, int64_t end) {
  const T* x = input<T>(args, 0);
  T* out = output<T>(args);
  for (int64_t i = begin; i < end; ++i)
    out[i] = store_element<T>(Scalar<kOp>::of(load_element(x[i])));
}

template <Op kOp, class T>
void binary_piece(const KernelArgs& args, int64_t begin, int64_t end) {
  using C = ComputeType<T>;
  using R = decltype(Scalar<kOp>::of(C{}, C{}));
  const T* x = input<T>(args, 0);
  const T* y = input<T>(args, 1);
  if constexpr (std::is_same_v<R, bool> && !std::is_same_v<T, bool>) {
    bool* out = output<bool>(args);
    for (int64_t i = begin; i < end; ++i)
      out[i] = Scalar<kOp>::of(load_element(x[i]), load_element(y[i]));
  } else {
    T* out = output<T>(args);
    for (int64_t i = begin; i < end; ++i)
      out[i] =
          store_element<T>(static_cast<C>(Scalar<kOp>::of(load_element(x[i]), load_element(y[i]))));
  }
}

template <class T>
void select_piece(const KernelArgs& args, int64_t begin, int64_t end) {
  const bool* condition = input<bool>(args, 0);
  const T* x = input<T>(args, 1);
  const T* y = input<T>(args, 2);
  T* out = output<T>(args);
  for (int64_t i = begin; i < end; ++i) out[i] = condition[i] ? x[i] : y[i];
}

template <class From, class To>
void cast_piece(const KernelArgs& args, int64_t begin, int64_t end) {
  const From* x = input<From>(args, 0);
  To* out = output<To>(args);
  for (int64_t i = begin; i < end; ++i) out[i] = cast_element<To>(x[i]);
}

}  // namespace

// A shift of bools and other combinations that inference rejects never get here.
void unary(const KernelArgs& args) {
  Piece piece = nullptr;
  visit_dtype(args.node.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_unary(args.node.op(), [&](auto op) {
      if constexpr (applies<op.value, T>()) piece = unary_piece<op.value, T>;
    });
  });
  run(args, piece);
}

void binary(const KernelArgs& args) {
  Piece piece = nullptr;
  visit_dtype(args.node.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_binary(args.node.op(), [&](auto op) {
      if constexpr (applies<op.value, T>()) piece = binary_piece<op.value, T>;
    });
  });
  run(args, piece);
}

void select(const KernelArgs& args) {
  switch (size_of(args.node.output().dtype)) {
    case 1: run(args, select_piece<uint8_t>); break;
    case 2: run(args, select_piece<uint16_t>); break;
    case 4: run(args, select_piece<uint32_t>); break;
    default: run(args, select_piece<uint64_t>); break;
  }
}

void cast(const KernelArgs& args) {
  visit_dtype(args.node.input(0).dtype(), [&](auto from) {
    visit_dtype(args.node.output().dtype, [&](auto to) {
      run(args, cast_piece<typename decltype(from)::type, typename decltype(to)::type>);
    });
  });
}

}  // namespace cairn::ref
