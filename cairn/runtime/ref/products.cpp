// Products: plain loops until contraction.h serves them.
#include <fmt/format.h>

#include "cairn/graph/infer.h"
#include "cairn/graph/scalar.h"
#include "cairn/runtime/ref/kernels.h"

namespace cairn::ref {

void matmul(const KernelArgs& args) {
  const Shape& a = args.node.input(0).shape();
  const Shape& o = args.node.output().shape;
  const int r = a.rank();
  const int64_t M = a[r - 2], K = a[r - 1], N = o[r - 1];
  if (o.elements() == 0) return;
  const int64_t batch = o.elements() / (M * N);
  visit_dtype(args.node.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_dtype(args.node.output().dtype, [&](auto to) {
      using R = typename decltype(to)::type;
      using A = std::conditional_t<kIsFloatType<T>, double, int64_t>;
      const T* x = static_cast<const T*>(args.inputs[0]);
      const T* y = static_cast<const T*>(args.inputs[1]);
      R* out = static_cast<R*>(args.outputs[0]);
      args.pool.parallel_for(batch * M, 1, [&](int64_t begin, int64_t end) {
        std::vector<A> sums(static_cast<size_t>(N));
        for (int64_t row = begin; row < end; ++row) {
          std::fill(sums.begin(), sums.end(), A(0));
          const T* left = x + row * K;
          const T* right = y + row / M * K * N;
          for (int64_t k = 0; k < K; ++k)
            for (int64_t n = 0; n < N; ++n)
              sums[static_cast<size_t>(n)] += static_cast<A>(load_element(left[k])) * static_cast<A>(load_element(right[k * N + n]));
          for (int64_t n = 0; n < N; ++n) out[row * N + n] = cast_element<R>(sums[static_cast<size_t>(n)]);
        }
      });
    });
  });
}

void grouped_matmul(const KernelArgs&) { throw_error("[grouped_matmul] waits for contraction.h"); }
void convolution(const KernelArgs&) { throw_error("[convolution] waits for contraction.h"); }

}  // namespace cairn::ref
