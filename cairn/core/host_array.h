// HostArray: dtype, shape and bytes in host memory. What files are read into and written from, and
// what a leaf tensor on the host holds.
//
// Elements are row-major and contiguous. The bytes are shared and immutable once the array is
// handed on; their owner is anything that keeps them alive: a heap block or a mapped file.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "cairn/core/dispatch.h"
#include "cairn/core/shape.h"

namespace cairn {

class HostArray {
 public:
  HostArray() = default;
  // Uninitialised memory of its own, aligned to 64 bytes.
  HostArray(DType dtype, Shape shape);
  // A view of `bytes` that `owner` keeps alive. The pointer may be unaligned (a mapped file); then
  // the bytes are copied into aligned memory.
  HostArray(DType dtype, Shape shape, std::shared_ptr<const void> owner, const void* bytes);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype_); }
  const void* data() const { return data_; }
  // For filling an array just made; nobody else may hold it yet.
  void* mutable_data() { return const_cast<void*>(data_); }

  // The elements as T; throws Error when the dtype is another one.
  template <class T>
  std::span<const T> span() const {
    check(dtype_of<T>());
    return {static_cast<const T*>(data_), static_cast<size_t>(elements())};
  }
  template <class T>
  std::span<T> mutable_span() {
    check(dtype_of<T>());
    return {static_cast<T*>(mutable_data()), static_cast<size_t>(elements())};
  }
  // Element i of any dtype, as double.
  double at(int64_t i) const;

  template <class T>
  static HostArray from(std::span<const T> values, Shape shape);
  // The same bytes under another shape with as many elements.
  HostArray reshaped(Shape shape) const;
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  void check(DType wanted) const;
  DType dtype_ = DType::f32;
  Shape shape_{0};
  std::shared_ptr<const void> owner_;
  const void* data_ = nullptr;
};

template <class T>
HostArray HostArray::from(std::span<const T> values, Shape shape) {
  HostArray array(dtype_of<T>(), shape);
  if (static_cast<int64_t>(values.size()) != array.elements())
    throw_error("[from] " + std::to_string(values.size()) + " values do not fill shape " +
                to_string(shape));
  for (size_t i = 0; i < values.size(); ++i) array.mutable_span<T>()[i] = values[i];
  return array;
}

}  // namespace cairn
