#include "cairn/core/host_array.h"

#include <fmt/format.h>

#include <cstring>
#include <new>

#include "cairn/base/aligned.h"

namespace cairn {
namespace {

std::shared_ptr<void> allocate(size_t bytes) {
  void* p = allocate_aligned(bytes);
  if (!p) throw std::bad_alloc();
  return {p, free_aligned};
}

}  // namespace

HostArray::HostArray(DType dtype, Shape shape) : dtype_(dtype), shape_(shape) {
  auto block = allocate(bytes());
  data_ = block.get();
  owner_ = std::move(block);
}

HostArray::HostArray(DType dtype, Shape shape, std::shared_ptr<const void> owner, const void* bytes)
    : dtype_(dtype), shape_(shape), owner_(std::move(owner)), data_(bytes) {
  if (reinterpret_cast<uintptr_t>(bytes) % size_of(dtype) != 0) {
    auto block = allocate(this->bytes());
    std::memcpy(block.get(), bytes, this->bytes());
    data_ = block.get();
    owner_ = std::move(block);
  }
}

double HostArray::at(int64_t i) const {
  return visit_dtype(dtype_, [&](auto tag) -> double {
    using T = typename decltype(tag)::type;
    const T value = static_cast<const T*>(data_)[i];
    if constexpr (std::is_arithmetic_v<T>) {
      return static_cast<double>(value);
    } else {
      return static_cast<double>(static_cast<float>(value));
    }
  });
}

HostArray HostArray::reshaped(Shape shape) const {
  if (shape.elements() != elements())
    throw_error(
        fmt::format("[reshape] {} elements do not fill shape {}", elements(), to_string(shape)));
  HostArray result = *this;
  result.shape_ = shape;
  return result;
}

void HostArray::check(DType wanted) const {
  if (wanted != dtype_)
    throw_error(
        fmt::format("the array holds {}, not {}; cast it first", name(dtype_), name(wanted)));
}

}  // namespace cairn
