#include "cairn/io/gzip.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/io/bytes.h"

namespace cairn::io {
namespace {

// Deflate's densest code is 258 bytes in 2 bits; no honest stream inflates further.
constexpr uint64_t kMaxRatio = 1032;

// Inflates until the end or until `limit` bytes are there.
std::string inflate_up_to(std::span<const std::byte> bytes, uint64_t limit) {
  const uint64_t most =
      std::min<uint64_t>({limit, bytes.size() * kMaxRatio + 1, uint64_t{INT64_MAX}});
  std::string out;
  // From a guess of four times the input; the read that finds the end needs room.
  out.resize(std::min<uint64_t>(most, std::max<uint64_t>(bytes.size() * 4, 1 << 12)));
  size_t size = 0;
  GzipReader reader(bytes);
  for (;;) {
    size += reader.read(std::as_writable_bytes(std::span(out)).subspan(size));
    if (size < out.size() || size == most) break;
    out.resize(std::min<uint64_t>(most, size * 2));
  }
  out.resize(size);
  return out;
}

}  // namespace

Result<SharedBytes> gunzip(std::span<const std::byte> bytes, const std::string& name,
                           uint64_t limit) {
  return read_result(name, [&] {
    std::string out = inflate_up_to(bytes, limit == UINT64_MAX ? limit : limit + 1);
    if (out.size() > limit)
      throw_error(fmt::format("it inflates to more than {} bytes; is it the right file?", limit));
    return SharedBytes(std::move(out));
  });
}

Result<SharedBytes> gunzip_head(std::span<const std::byte> bytes, const std::string& name,
                                uint64_t count) {
  return read_result(name, [&] { return SharedBytes(inflate_up_to(bytes, count)); });
}

std::string gzip(std::span<const std::byte> bytes) { return deflate_all(bytes, kGzip); }

Result<SharedBytes> map_or_gunzip(const std::string& path, uint64_t limit) {
  auto mapped = map_file(path);
  if (!mapped) return mapped.error();
  if (is_gzip(mapped.value().bytes())) return gunzip(mapped.value().bytes(), path, limit);
  if (mapped.value().size() > limit)
    return read_error(path, fmt::format("it has {} bytes, more than the {} allowed; is it the "
                                        "right file?",
                                        mapped.value().size(), limit));
  return mapped;
}

}  // namespace cairn::io
