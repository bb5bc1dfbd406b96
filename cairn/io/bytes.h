// What the readers of foreign bytes share: a cursor that checks each step, sizes that cannot
// overflow, and the edge where a reader's Error becomes a Result.
//
// Inside a reader a bad byte throws Error (a check is then one line and cannot be forgotten);
// `read_result` at its public function catches it and adds the file's name. A reader checks every
// size against the bytes that are there before it allocates, so no file asks for more memory than
// its own length, or a stated multiple of it, justifies.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "cairn/base/file.h"
#include "cairn/core/host_array.h"

namespace cairn::io {

static_assert(std::endian::native == std::endian::little, "cairn runs on x86-64");

struct NamedArray {
  std::string name;
  HostArray array;
};

template <class T>
T byte_swapped(T value) {
  std::byte bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  for (size_t i = 0; i < sizeof(T) / 2; ++i) std::swap(bytes[i], bytes[sizeof(T) - 1 - i]);
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

// Copies elements of `size` bytes with the bytes of each in reverse order.
void swap_elements(std::span<const std::byte> from, std::byte* to, size_t size);

// Walks over bytes; a step beyond the end throws Error that names what was being read.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t offset() const { return offset_; }
  size_t remaining() const { return bytes_.size() - offset_; }
  std::span<const std::byte> take(uint64_t count, std::string_view what);
  std::string_view take_text(uint64_t count, std::string_view what);
  // Moves to an offset from the start.
  void seek(uint64_t offset, std::string_view what);

  template <std::integral T>
  T little(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  template <std::integral T>
  T big(std::string_view what) {
    return byte_swapped(little<T>(what));
  }

 private:
  std::span<const std::byte> bytes_;
  size_t offset_ = 0;
};

// The Shape of foreign sizes. Throws Error for a negative size, more than kMaxRank of them, or
// more bytes than 63 bits count (zero sizes taken as one, so that no partial product overflows).
Shape checked_shape(std::span<const int64_t> sizes, DType dtype);

// A view of foreign bytes as an array; the caller has checked the length. Throws Error where a
// bool is neither 0 nor 1: reading such a byte as a C++ bool has no meaning.
HostArray view_array(DType dtype, const Shape& shape, const SharedBytes& bytes);

// The bytes of an array.
inline std::span<const std::byte> bytes_of(const HostArray& array) {
  return {static_cast<const std::byte*>(array.data()), array.bytes()};
}

// The offset of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7: no
// surrogates, nothing overlong, nothing above U+10FFFF).
std::optional<size_t> first_invalid_utf8(std::string_view text);

// "cannot read '<name>': <what>".
Error read_error(std::string_view name, std::string_view what);

// The value of `read()`, or, when it throws Error, a Result with that error and the file's name.
template <class F>
auto read_result(std::string_view name, F&& read) -> Result<std::invoke_result_t<F>> {
  try {
    return read();
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return read_error(name, error.what());
  } catch (const std::bad_alloc&) {
    return read_error(name, "there is not enough memory for it");
  }
}

}  // namespace cairn::io
