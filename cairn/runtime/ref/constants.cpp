// Constants, random bits and block formats.
#include <algorithm>
#include <cstring>
#include <vector>

#include "cairn/base/philox.h"
#include "cairn/core/block_format.h"
#include "cairn/graph/scalar.h"
#include "cairn/runtime/ref/kernels.h"

namespace cairn::ref {

void full(const KernelArgs& args) {
  const Number& value = args.node.attrs().number(Attr::value);
  const int64_t n = args.node.output().shape.elements();
  visit_dtype(args.node.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T element = value.is_integer() ? cast_element<T>(value.as_integer())
                                         : cast_element<T>(value.as_double());
    T* out = static_cast<T*>(args.outputs[0]);
    args.pool.parallel_for(n, 4 * kGrain, [=](int64_t begin, int64_t end) {
      std::fill(out + begin, out + end, element);
    });
  });
}

void iota(const KernelArgs& args) {
  const Shape& shape = args.node.output().shape;
  const int axis = static_cast<int>(args.node.attrs().integer(Attr::axis));
  int64_t inner = 1;
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  const int64_t size = shape[axis];
  visit_dtype(args.node.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = static_cast<T*>(args.outputs[0]);
    args.pool.parallel_for(shape.elements(), kGrain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[i] = cast_element<T>(i / inner % size);
    });
  });
}

void dense(const KernelArgs& args) {
  const HostArray& literal = args.node.attrs().literal(Attr::literal);
  if (literal.bytes()) std::memcpy(args.outputs[0], literal.data(), literal.bytes());
}

void random_bits(const KernelArgs& args) {
  const int64_t keys = args.node.input(1).shape().elements();
  const int64_t n = keys ? args.node.output().shape.elements() / keys : 0;
  const auto& attrs = args.node.attrs();
  const auto stream =
      static_cast<uint32_t>(attrs.has(Attr::stream) ? attrs.integer(Attr::stream) : 0);
  for (int64_t k = 0; k < keys; ++k) {
    const auto* words = static_cast<const uint32_t*>(args.inputs[0]) + 2 * k;
    const PhiloxKey key = {words[0], words[1]};
    const auto offset = static_cast<uint64_t>(static_cast<const int64_t*>(args.inputs[1])[k]);
    uint32_t* out = static_cast<uint32_t*>(args.outputs[0]) + k * n;
    if (stream) {  // keys, a few words each
      for (int64_t i = 0; i < n; ++i) {
        const uint64_t at = offset + static_cast<uint64_t>(i);
        out[i] = philox4x32(
            {static_cast<uint32_t>(at / 4), static_cast<uint32_t>(at / 4 >> 32), stream, 0},
            key)[at % 4];
      }
      continue;
    }
    args.pool.parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
      philox_fill(key, offset + static_cast<uint64_t>(begin),
                  {out + begin, static_cast<size_t>(end - begin)});
    });
  }
}

void quantize(const KernelArgs& args) {
  const BlockFormat& format = *find_block_format(args.node.attrs().text(Attr::format));
  const int64_t blocks = args.node.input(0).elements() / format.block_elements;
  visit_dtype(args.node.input(0).dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = static_cast<const T*>(args.inputs[0]);
    uint8_t* out = static_cast<uint8_t*>(args.outputs[0]);
    args.pool.parallel_for(blocks, kGrain / format.block_elements, [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(format.block_elements));
      for (int64_t b = begin; b < end; ++b) {
        for (int i = 0; i < format.block_elements; ++i)
          values[static_cast<size_t>(i)] = cast_element<float>(x[b * format.block_elements + i]);
        encode_blocks(format, values.data(), 1, out + b * format.block_bytes);
      }
    });
  });
}

void dequantize(const KernelArgs& args) {
  const BlockFormat& format = *find_block_format(args.node.attrs().text(Attr::format));
  const int64_t blocks = args.node.input(0).elements() / format.block_bytes;
  visit_dtype(args.node.output().dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const uint8_t* x = static_cast<const uint8_t*>(args.inputs[0]);
    T* out = static_cast<T*>(args.outputs[0]);
    args.pool.parallel_for(blocks, kGrain / format.block_elements, [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(format.block_elements));
      for (int64_t b = begin; b < end; ++b) {
        decode_blocks(format, x + b * format.block_bytes, 1, values.data());
        for (int i = 0; i < format.block_elements; ++i)
          out[b * format.block_elements + i] = cast_element<T>(values[static_cast<size_t>(i)]);
      }
    });
  });
}

}  // namespace cairn::ref
