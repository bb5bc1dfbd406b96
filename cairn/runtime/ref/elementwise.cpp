// Elementwise primitives: one loop over the scalar table.
#include <fmt/format.h>

#include "cairn/graph/scalar.h"
#include "cairn/runtime/ref/kernels.h"

namespace cairn::ref {
namespace {

[[noreturn]] void unsupported(const KernelArgs& args) {
  throw_error(fmt::format("[{}] does not apply to {}", name(args.node.op()),
                          name(args.node.input(0).dtype())));
}

// A shift of bools and other combinations that inference rejects never get here.
template <class T, class F>
void map(const KernelArgs& args, int64_t n, F f) {
  args.pool.parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

}  // namespace

void unary(const KernelArgs& args) {
  const int64_t n = args.node.output().shape.elements();
  visit_dtype(args.node.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_unary(args.node.op(), [&](auto op) {
      if constexpr (applies<op.value, T>()) {
        const T* x = static_cast<const T*>(args.inputs[0]);
        T* out = static_cast<T*>(args.outputs[0]);
        map<T>(args, n, [=](int64_t i) {
          out[i] = store_element<T>(Scalar<op.value>::of(load_element(x[i])));
        });
      } else {
        unsupported(args);
      }
    });
  });
}

void binary(const KernelArgs& args) {
  const int64_t n = args.node.output().shape.elements();
  visit_dtype(args.node.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_binary(args.node.op(), [&](auto op) {
      if constexpr (applies<op.value, T>()) {
        using C = ComputeType<T>;
        using R = decltype(Scalar<op.value>::of(C{}, C{}));
        const T* x = static_cast<const T*>(args.inputs[0]);
        const T* y = static_cast<const T*>(args.inputs[1]);
        if constexpr (std::is_same_v<R, bool> && !std::is_same_v<T, bool>) {
          bool* out = static_cast<bool*>(args.outputs[0]);
          map<T>(args, n, [=](int64_t i) {
            out[i] = Scalar<op.value>::of(load_element(x[i]), load_element(y[i]));
          });
        } else {
          T* out = static_cast<T*>(args.outputs[0]);
          map<T>(args, n, [=](int64_t i) {
            out[i] = store_element<T>(
                static_cast<C>(Scalar<op.value>::of(load_element(x[i]), load_element(y[i]))));
          });
        }
      } else {
        unsupported(args);
      }
    });
  });
}

void select(const KernelArgs& args) {
  const int64_t n = args.node.output().shape.elements();
  const bool* condition = static_cast<const bool*>(args.inputs[0]);
  const auto copy = [&](auto zero) {
    using T = decltype(zero);
    const T* x = static_cast<const T*>(args.inputs[1]);
    const T* y = static_cast<const T*>(args.inputs[2]);
    T* out = static_cast<T*>(args.outputs[0]);
    map<T>(args, n, [=](int64_t i) { out[i] = condition[i] ? x[i] : y[i]; });
  };
  switch (size_of(args.node.output().dtype)) {
    case 1: copy(uint8_t{}); break;
    case 2: copy(uint16_t{}); break;
    case 4: copy(uint32_t{}); break;
    default: copy(uint64_t{}); break;
  }
}

void cast(const KernelArgs& args) {
  const int64_t n = args.node.output().shape.elements();
  visit_dtype(args.node.input(0).dtype(), [&](auto from) {
    visit_dtype(args.node.output().dtype, [&](auto to) {
      using From = typename decltype(from)::type;
      using To = typename decltype(to)::type;
      const From* x = static_cast<const From*>(args.inputs[0]);
      To* out = static_cast<To*>(args.outputs[0]);
      map<To>(args, n, [=](int64_t i) { out[i] = cast_element<To>(x[i]); });
    });
  });
}

}  // namespace cairn::ref
