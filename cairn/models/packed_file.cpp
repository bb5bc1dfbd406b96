#define XXH_INLINE_ALL  // the library is not linked
#include "cairn/models/packed_file.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cairn/io/bytes.h"

namespace cairn {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMagic = "cairnpw1";
constexpr uint64_t kFixed = 24;  // bytes before the header
constexpr uint64_t kPage = 4096;
// Some 200 bytes a tensor.
constexpr uint64_t kLargestHeader = uint64_t{64} << 20;

uint64_t rounded_up(uint64_t n, uint64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

PackedTensor read_tensor(const Json& from, const SharedBytes& data) {
  PackedTensor tensor;
  tensor.name = from.at("name").get<std::string>();
  const auto dtype = parse_dtype(from.at("dtype").get<std::string>());
  if (!dtype) throw_error(fmt::format("tensor '{}' has an unknown type", tensor.name));
  const auto sizes = from.at("shape").get<std::vector<int64_t>>();
  tensor.type = {*dtype, io::checked_shape(sizes, *dtype)};
  tensor.checksum = from.at("checksum").get<uint64_t>();
  const auto offset = from.at("offset").get<uint64_t>();
  const uint64_t bytes = tensor.type.bytes();
  if (offset % kBufferAlignment || offset > data.size() || bytes > data.size() - offset)
    throw_error(fmt::format("tensor '{}' lies outside of the file's {} bytes of data", tensor.name,
                            data.size()));
  tensor.bytes = data.part(offset, bytes);
  return tensor;
}

}  // namespace

Result<PackedFile> PackedFile::open(const std::string& path) {
  auto bytes = map_file(path);
  if (!bytes) return bytes.error();
  return parse(bytes.value(), path);
}

Result<PackedFile> PackedFile::parse(const SharedBytes& bytes, const std::string& name) {
  const auto fail = [&](std::string_view what) {
    return Error(fmt::format("'{}' {}", name, what));
  };
  if (bytes.size() < kFixed || !bytes.text().starts_with(kMagic))
    return fail("is no file of packed weights of this version");
  uint64_t words[2];
  std::memcpy(words, bytes.data() + kMagic.size(), sizeof words);
  const auto [header_bytes, checksum] = words;
  if (header_bytes > kLargestHeader || header_bytes > bytes.size() - kFixed)
    return fail(fmt::format("has {} bytes, and its header alone {}", bytes.size(), header_bytes));
  const std::string_view header = bytes.text().substr(kFixed, header_bytes);
  if (XXH3_64bits(header.data(), header.size()) != checksum)
    return fail("is damaged: the checksum of its header is another");
  const uint64_t start = rounded_up(kFixed + header_bytes, kPage);
  if (start > bytes.size()) return fail("ends in its header");
  const SharedBytes data = bytes.part(start, bytes.size() - start);
  try {
    const Json json = Json::parse(header);
    PackedFile file;
    file.identity_ = {json.at("source").get<std::string>(), json.at("made").get<std::string>()};
    uint64_t end = 0;
    for (const Json& entry : json.at("tensors")) {
      PackedTensor tensor = read_tensor(entry, data);
      end = std::max<uint64_t>(
          end, static_cast<uint64_t>(tensor.bytes.data() - data.data()) + tensor.bytes.size());
      const std::string key = tensor.name;
      if (!file.tensors_.emplace(key, std::move(tensor)).second)
        return fail(fmt::format("has tensor '{}' twice", key));
    }
    if (end != data.size())
      return fail(fmt::format("has {} bytes of data, and its tensors {}", data.size(), end));
    return file;
  } catch (const Json::exception& error) {
    return fail(fmt::format("has a header that cannot be read: {}", error.what()));
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return fail(fmt::format("has a header that cannot be used: {}", error.what()));
  }
}

const PackedTensor* PackedFile::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

uint64_t packed_checksum(std::span<const std::byte> bytes, ThreadPool& pool) {
  constexpr size_t kPart = size_t{1} << 20;
  std::vector<uint64_t> parts((bytes.size() + kPart - 1) / kPart);
  pool.parallel_for(std::ssize(parts), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const size_t at = static_cast<size_t>(i) * kPart;
      parts[static_cast<size_t>(i)] =
          XXH3_64bits(bytes.data() + at, std::min(kPart, bytes.size() - at));
    }
  });
  return XXH3_64bits(parts.data(), parts.size() * sizeof(uint64_t));
}

Status write_packed_file(const std::string& path, const PackedIdentity& identity,
                         std::vector<PackedTensor> tensors, ThreadPool& pool) {
  uint64_t end = 0;
  std::vector<uint64_t> offsets;
  Json list = Json::array();
  for (const PackedTensor& tensor : tensors) {
    offsets.push_back(rounded_up(end, kPage));
    end = offsets.back() + tensor.bytes.size();
    const Shape& shape = tensor.type.shape;
    list.push_back({{"name", tensor.name},
                    {"dtype", name(tensor.type.dtype)},
                    {"shape", std::vector<int64_t>(shape.begin(), shape.end())},
                    {"offset", offsets.back()},
                    {"checksum", packed_checksum(tensor.bytes.bytes(), pool)}});
  }
  const std::string header =
      Json{{"source", identity.source}, {"made", identity.made}, {"tensors", list}}.dump();
  const uint64_t words[] = {header.size(), XXH3_64bits(header.data(), header.size())};
  return write_file_atomically(path, [&](FileWriter& writer) -> Status {
    writer.write(kMagic);
    writer.write(std::as_bytes(std::span(words)));
    writer.write(header);
    const uint64_t start = rounded_up(kFixed + header.size(), kPage);
    for (size_t i = 0; i < tensors.size(); ++i) {
      const std::string zeros(start + offsets[i] - writer.position(), '\0');
      writer.write(zeros);
      writer.write(tensors[i].bytes.bytes());
      if (writer.failed()) break;
    }
    if (tensors.empty()) writer.write(std::string(start - writer.position(), '\0'));
    return Nothing{};
  });
}

}  // namespace cairn
