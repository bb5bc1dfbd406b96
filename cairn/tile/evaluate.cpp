#include "cairn/tile/evaluate.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "cairn/base/error.h"
#include "cairn/graph/scalar.h"

namespace cairn::tile {
namespace {

HostArray constant(const Number& number, const TileType& result) {
  HostArray out(result.dtype, result.shape);
  auto* bytes = static_cast<std::byte*>(out.mutable_data());
  const size_t size = size_of(result.dtype);
  write_number(number, result.dtype, bytes);
  for (size_t at = size; at < out.bytes(); at += size) std::memcpy(bytes + at, bytes, size);
  return out;
}

HostArray arange(const TileType& result) {
  HostArray out(result.dtype, result.shape);
  const auto fill = [](auto elements) { std::iota(elements.begin(), elements.end(), 0); };
  if (result.dtype == DType::i32)
    fill(out.mutable_span<int32_t>());
  else
    fill(out.mutable_span<int64_t>());
  return out;
}

// std::fma rounds once on every processor: with an instruction where there is one, else in
// integers.
template <class T>
HostArray fma(std::span<const HostArray> operands) {
  HostArray out(operands[0].dtype(), operands[0].shape());
  const auto x = operands[0].span<T>(), y = operands[1].span<T>(), z = operands[2].span<T>();
  const auto r = out.mutable_span<T>();
  for (size_t i = 0; i < r.size(); ++i) r[i] = std::fma(x[i], y[i], z[i]);
  return out;
}

HostArray multiply_high(std::span<const HostArray> operands) {
  HostArray out(DType::u32, operands[0].shape());
  const auto x = operands[0].span<uint32_t>(), y = operands[1].span<uint32_t>();
  const auto r = out.mutable_span<uint32_t>();
  for (size_t i = 0; i < r.size(); ++i)
    r[i] = static_cast<uint32_t>((uint64_t{x[i]} * uint64_t{y[i]}) >> 32);
  return out;
}

HostArray lookup(std::span<const HostArray> operands) {
  HostArray out(DType::u32, operands[0].shape());
  const auto x = operands[0].span<uint32_t>();
  const auto r = out.mutable_span<uint32_t>();
  for (size_t i = 0; i < r.size(); ++i) {
    uint32_t word = 0;
    for (int shift = 0; shift < 32; shift += 8) {
      const uint32_t byte = (x[i] >> shift) & 255;
      const uint32_t part = operands[1 + (byte & 15) / 4].span<uint32_t>()[i];
      if (byte < 128) word |= ((part >> (byte % 4 * 8)) & 255) << shift;
    }
    r[i] = word;
  }
  return out;
}

// The elements of x at a stride for each axis of `shape`, 0 where one element repeats.
HostArray strided(const HostArray& x, const Shape& shape, const Ints& strides) {
  HostArray out(x.dtype(), shape);
  const size_t size = size_of(x.dtype());
  const auto* from = static_cast<const std::byte*>(x.data());
  auto* to = static_cast<std::byte*>(out.mutable_data());
  Ints index(shape.rank(), 0);
  int64_t at = 0;
  for (int64_t n = out.elements(); n > 0; --n, to += size) {
    std::memcpy(to, from + static_cast<size_t>(at) * size, size);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

HostArray broadcast(const HostArray& x, const Shape& shape) {
  Ints strides = x.shape().strides();
  for (int i = 0; i < shape.rank(); ++i)
    if (x.shape()[i] == 1) strides[i] = 0;
  return strided(x, shape, strides);
}

HostArray transpose(const HostArray& x, const Ints& axes, const Shape& shape) {
  const Ints from = x.shape().strides();
  Ints strides;
  for (int64_t axis : axes) strides.push_back(from[static_cast<int>(axis)]);
  return strided(x, shape, strides);
}

}  // namespace

void write_number(const Number& number, DType dtype, void* at) {
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T value = std::visit([](auto v) { return cast_element<T>(v); }, number.data);
    std::memcpy(at, &value, sizeof value);
  });
}

HostArray evaluate(const Instruction& in, const TileType& result,
                   std::span<const HostArray> operands) {
  switch (in.op) {
    case TileOp::constant: return constant(in.value, result);
    case TileOp::arange: return arange(result);
    case TileOp::apply: return detail::evaluate_apply(in, result, operands);
    case TileOp::fma:
      return result.dtype == DType::f32 ? fma<float>(operands) : fma<double>(operands);
    case TileOp::multiply_high: return multiply_high(operands);
    case TileOp::lookup: return lookup(operands);
    case TileOp::bitcast:
      return {result.dtype, result.shape, operands[0].owner(), operands[0].data()};
    case TileOp::broadcast: return broadcast(operands[0], result.shape);
    case TileOp::reshape: return operands[0].reshaped(result.shape);
    case TileOp::transpose: return transpose(operands[0], in.axes, result.shape);
    case TileOp::reduce: return detail::evaluate_reduce(in, result, operands[0]);
    case TileOp::arg_reduce: return detail::evaluate_arg_reduce(in, result, operands[0]);
    case TileOp::scan: return detail::evaluate_scan(in, result, operands[0]);
    case TileOp::dot: return detail::evaluate_dot(result, operands);
    default: break;
  }
  CAIRN_ASSERT(false);  // the others touch memory, or have no result
  return {};
}

}  // namespace cairn::tile
