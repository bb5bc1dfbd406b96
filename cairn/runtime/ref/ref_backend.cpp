#include "cairn/runtime/ref/ref_backend.h"

#include <fmt/format.h>

#include <array>

#include "cairn/runtime/ref/kernels.h"

namespace cairn {
namespace {

constexpr std::array<LaunchFunction, kOpCount> make_table() {
  std::array<LaunchFunction, kOpCount> t{};
  const auto set = [&t](LaunchFunction kernel, std::initializer_list<Op> ops) {
    for (Op op : ops) t[static_cast<int>(op)] = kernel;
  };
  set(ref::unary, {Op::negate, Op::abs, Op::sign, Op::floor, Op::ceil, Op::round, Op::exp,
                   Op::expm1, Op::log, Op::log1p, Op::sin, Op::cos, Op::tanh, Op::logistic,
                   Op::sqrt, Op::erf, Op::erfc, Op::erf_inv});
  set(ref::binary,
      {Op::add, Op::subtract, Op::multiply, Op::divide, Op::remainder, Op::power, Op::atan2,
       Op::maximum, Op::minimum, Op::bitwise_and, Op::bitwise_or, Op::bitwise_xor, Op::shift_left,
       Op::shift_right, Op::equal, Op::less, Op::less_equal});
  set(ref::select, {Op::select});
  set(ref::cast, {Op::cast});
  set(ref::reduce, {Op::reduce});
  set(ref::cumulative, {Op::cumulative});
  set(ref::arg_reduce, {Op::arg_reduce});
  set(ref::sort, {Op::sort});
  set(ref::top_k, {Op::top_k});
  set(ref::matmul, {Op::matmul});
  set(ref::grouped_matmul, {Op::grouped_matmul});
  set(ref::convolution, {Op::convolution});
  set(ref::broadcast, {Op::broadcast});
  set(ref::transpose, {Op::transpose});
  set(ref::slice, {Op::slice});
  set(ref::reverse, {Op::reverse});
  set(ref::dynamic_slice, {Op::dynamic_slice});
  set(ref::dynamic_update_slice, {Op::dynamic_update_slice});
  set(ref::pad, {Op::pad});
  set(ref::concatenate, {Op::concatenate});
  set(ref::gather, {Op::gather});
  set(ref::scatter, {Op::scatter});
  set(ref::copy, {Op::transfer});
  set(ref::full, {Op::full});
  set(ref::iota, {Op::iota});
  set(ref::dense, {Op::dense});
  set(ref::random_bits, {Op::random_bits});
  set(ref::quantize, {Op::quantize});
  set(ref::dequantize, {Op::dequantize});
  set(ref::axis_index, {Op::axis_index});
  set(ref::all_reduce, {Op::all_reduce});
  set(ref::all_gather, {Op::all_gather, Op::all_gather_invariant});
  set(ref::reduce_scatter, {Op::reduce_scatter});
  set(ref::all_to_all, {Op::all_to_all});
  set(ref::permute, {Op::permute});
  return t;
}

constexpr auto kKernels = make_table();

class RefBackend : public Backend {
 public:
  std::string_view name() const override { return "ref"; }
  LaunchCode code(const LaunchGroup& group) const override {
    CAIRN_ASSERT(!group.is_fused());
    const Node& node = group.node();
    const LaunchFunction kernel = kKernels[static_cast<int>(node.op())];
    if (!kernel)
      throw_error(fmt::format("[{}] the reference backend has no kernel for it", node.info().name));
    return {kernel};
  }
  size_t workspace_bytes(const LaunchGroup& group) const override {
    return ref::collective_workspace_bytes(group.node()) +
           ref::convolution_workspace_bytes(group.node()) +
           ref::matmul_workspace_bytes(group.node());
  }
};

}  // namespace

std::unique_ptr<Backend> make_ref_backend() { return std::make_unique<RefBackend>(); }

}  // namespace cairn
