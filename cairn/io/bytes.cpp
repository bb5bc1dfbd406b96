#include "cairn/io/bytes.h"

#include <fmt/format.h>

#include <algorithm>

namespace cairn::io {

void swap_elements(std::span<const std::byte> from, std::byte* to, size_t size) {
  for (size_t i = 0; i < from.size(); i += size)
    std::reverse_copy(from.data() + i, from.data() + i + size, to + i);
}

std::span<const std::byte> ByteReader::take(uint64_t count, std::string_view what) {
  if (count > remaining())
    throw_error(
        fmt::format("it ends in its {}: {} bytes are needed at byte {} and {} are left; "
                    "the file is damaged or was cut off",
                    what, count, offset_, remaining()));
  const auto result = bytes_.subspan(offset_, count);
  offset_ += count;
  return result;
}

std::string_view ByteReader::take_text(uint64_t count, std::string_view what) {
  const auto bytes = take(count, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void ByteReader::seek(uint64_t offset, std::string_view what) {
  if (offset > bytes_.size())
    throw_error(
        fmt::format("its {} should be at byte {}, beyond its end at {}; the file is "
                    "damaged or was cut off",
                    what, offset, bytes_.size()));
  offset_ = offset;
}

Shape checked_shape(std::span<const int64_t> sizes, DType dtype) {
  if (sizes.size() > kMaxRank)
    throw_error(fmt::format("it has {} dimensions; cairn's tensors have at most {}", sizes.size(),
                            kMaxRank));
  int64_t bytes = static_cast<int64_t>(size_of(dtype));
  for (const int64_t size : sizes) {
    if (size < 0) throw_error(fmt::format("it has a negative size, {}", size));
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes))
      throw_error(
          fmt::format("its shape ({}) has more bytes than 63 bits count", fmt::join(sizes, ", ")));
  }
  return Shape(Ints(sizes));
}

HostArray view_array(DType dtype, const Shape& shape, const SharedBytes& bytes) {
  if (dtype == DType::b8) {
    const auto bad = std::find_if(bytes.bytes().begin(), bytes.bytes().end(),
                                  [](std::byte b) { return b > std::byte{1}; });
    if (bad != bytes.bytes().end())
      throw_error(fmt::format("element {} of a bool array is the byte {}, neither 0 nor 1",
                              bad - bytes.bytes().begin(), static_cast<int>(*bad)));
  }
  return HostArray(dtype, shape, bytes.owner(), bytes.data());
}

std::optional<size_t> first_invalid_utf8(std::string_view text) {
  const size_t size = text.size();
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  size_t i = 0;
  while (i < size) {
    // Eight ASCII bytes at a time: most text is mostly that.
    uint64_t word;
    while (i + 8 <= size &&
           (std::memcpy(&word, text.data() + i, 8), (word & 0x8080808080808080u) == 0))
      i += 8;
    if (i == size) break;
    const unsigned char lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    size_t length;
    unsigned char low = 0x80, high = 0xbf;  // the range of the second byte
    if (lead >= 0xc2 && lead <= 0xdf) {
      length = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      length = 3;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      length = 4;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return i;
    }
    if (size - i < length || byte(i + 1) < low || byte(i + 1) > high) return i;
    for (size_t k = 2; k < length; ++k)
      if ((byte(i + k) & 0xc0) != 0x80) return i;
    i += length;
  }
  return std::nullopt;
}

Error read_error(std::string_view name, std::string_view what) {
  return Error(fmt::format("cannot read '{}': {}", name, what));
}

}  // namespace cairn::io
