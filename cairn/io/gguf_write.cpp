// Writing GGUF, version 3.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/io/gguf.h"

namespace cairn::io {
namespace {

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}
void put_text(std::string& out, std::string_view text) {
  put(out, uint64_t{text.size()});
  out += text;
}

void put_value(std::string& out, const GgufValue& value) {
  if (value.is_array()) {
    put(out, GgufKind::array);
    put(out, value.kind());
    put(out, value.count());
  } else {
    put(out, value.kind());
    if (value.kind() == GgufKind::text) put(out, uint64_t{value.bytes().size()});
  }
  out += value.bytes().text();
}

void check_names(std::vector<std::string_view> names, std::string_view what) {
  for (const std::string_view name : names)
    if (name.empty() || first_invalid_utf8(name))
      throw_error(fmt::format("[write_gguf] the name of a {} is {}", what,
                              name.empty() ? "empty" : "not UTF-8"));
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    throw_error(fmt::format("[write_gguf] two {}s are named '{}'", what, *twice));
}

uint64_t checked_bytes(const GgufSource& tensor) {
  for (const int64_t size : tensor.shape)
    if (size < 0)
      throw_error(fmt::format("[write_gguf] '{}' has a negative size, {}", tensor.name, size));
  if (!tensor.type->divides_rows(tensor.shape))
    throw_error(
        fmt::format("[write_gguf] '{}' of shape ({}) has rows that the blocks of {} "
                    "elements of {} do not divide",
                    tensor.name, fmt::join(tensor.shape, ", "), tensor.type->block_elements,
                    tensor.type->name));
  const auto bytes = tensor.type->bytes(tensor.shape);
  if (!bytes)
    throw_error(fmt::format("[write_gguf] '{}' has more bytes than 63 bits count", tensor.name));
  return *bytes;
}

}  // namespace

Status write_gguf(const std::string& path, const GgufMetadata& metadata,
                  const std::vector<GgufSource>& tensors) {
  std::vector<std::string_view> keys, names;
  for (const auto& [key, value] : metadata) keys.push_back(key);
  for (const GgufSource& tensor : tensors) names.push_back(tensor.name);
  check_names(std::move(keys), "key");
  check_names(std::move(names), "tensor");
  const uint64_t alignment = gguf_alignment(metadata);
  const auto padding = [alignment](uint64_t at) {
    return (alignment - at % alignment) % alignment;
  };

  std::string header = "GGUF";
  put(header, uint32_t{3});
  put(header, uint64_t{tensors.size()});
  put(header, uint64_t{metadata.size()});
  for (const auto& [key, value] : metadata) {
    put_text(header, key);
    put_value(header, value);
  }
  uint64_t offset = 0;
  for (const GgufSource& tensor : tensors) {
    put_text(header, tensor.name);
    put(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
      put(header, static_cast<uint64_t>(*size));
    put(header, tensor.type->id);
    put(header, offset);
    offset += checked_bytes(tensor);
    offset += padding(offset);
  }
  header.append(padding(header.size()), '\0');

  return write_file_atomically(path, [&](FileWriter& writer) -> Status {
    writer.write(header);
    for (const GgufSource& tensor : tensors) {
      if (writer.failed()) break;
      const SharedBytes bytes = tensor.load();
      if (bytes.size() != checked_bytes(tensor))
        throw_error(fmt::format("[write_gguf] '{}' was announced with {} bytes and loaded with {}",
                                tensor.name, checked_bytes(tensor), bytes.size()));
      writer.write(bytes.bytes());
      writer.write(std::string(padding(bytes.size()), '\0'));
    }
    return Nothing{};
  });
}

}  // namespace cairn::io
