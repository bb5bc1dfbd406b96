#include "cairn/io/idx.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/io/gzip.h"

namespace cairn::io {
namespace {

struct FileDType {
  uint8_t code;
  DType dtype;
};
constexpr FileDType kDTypes[] = {{0x08, DType::u8},  {0x09, DType::i8},  {0x0b, DType::i16},
                                 {0x0c, DType::i32}, {0x0d, DType::f32}, {0x0e, DType::f64}};

HostArray parse_array(const SharedBytes& bytes) {
  ByteReader reader(bytes.bytes());
  const auto zeros = reader.big<uint16_t>("IDX magic");
  const auto code = reader.little<uint8_t>("IDX magic");
  const auto rank = reader.little<uint8_t>("IDX magic");
  const auto* known = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                   [&](const FileDType& d) { return d.code == code; });
  if (zeros != 0 || known == std::end(kDTypes))
    throw_error(
        fmt::format("it starts with {:04x}{:02x}{:02x}, not with two zero bytes and one of "
                    "the types 08 09 0b 0c 0d 0e; is it an IDX file?",
                    zeros, code, rank));
  std::vector<int64_t> sizes;
  for (int i = 0; i < rank; ++i) sizes.push_back(reader.big<uint32_t>("IDX sizes"));
  const DType dtype = known->dtype;
  const Shape shape = checked_shape(sizes, dtype);
  const uint64_t size = static_cast<uint64_t>(shape.elements()) * size_of(dtype);
  if (size != reader.remaining())
    throw_error(
        fmt::format("its sizes ({}) of {} take {} bytes and {} are there; the file is "
                    "damaged or was cut off",
                    fmt::join(sizes, ", "), name(dtype), size, reader.remaining()));
  const SharedBytes data = bytes.part(reader.offset(), size);
  if (size_of(dtype) == 1) return view_array(dtype, shape, data);
  HostArray result(dtype, shape);
  swap_elements(data.bytes(), static_cast<std::byte*>(result.mutable_data()), size_of(dtype));
  return result;
}

}  // namespace

Result<HostArray> parse_idx(SharedBytes bytes, const std::string& name) {
  return read_result(name, [&] { return parse_array(bytes); });
}

Result<HostArray> read_idx(const std::string& path, uint64_t limit) {
  auto bytes = map_or_gunzip(path, limit);
  if (!bytes) return bytes.error();
  return parse_idx(std::move(bytes).value(), path);
}

Status write_idx(const std::string& path, const HostArray& array) {
  const auto* known = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                   [&](const FileDType& d) { return d.dtype == array.dtype(); });
  if (known == std::end(kDTypes))
    throw_error(
        fmt::format("[write_idx] IDX has no {}; cast the array to u8, i8, i16, i32, f32 or "
                    "f64",
                    name(array.dtype())));
  std::string text = {0, 0, static_cast<char>(known->code),
                      static_cast<char>(array.shape().rank())};
  for (const int64_t size : array.shape()) {
    if (size > UINT32_MAX)
      throw_error(fmt::format("[write_idx] IDX has 32-bit sizes; {} is too large", size));
    const uint32_t big = byte_swapped(static_cast<uint32_t>(size));
    text.append(reinterpret_cast<const char*>(&big), sizeof big);
  }
  const size_t header = text.size();
  text.resize(header + array.bytes());
  swap_elements(bytes_of(array), reinterpret_cast<std::byte*>(text.data()) + header,
                size_of(array.dtype()));
  if (path.ends_with(".gz")) text = gzip(std::as_bytes(std::span(text.data(), text.size())));
  return write_file_atomically(path, text);
}

}  // namespace cairn::io
