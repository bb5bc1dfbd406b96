#include "cairn/io/gzip.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/io/bytes.h"
#include "cairn/io/inflate.h"

namespace cairn::io {
namespace {

// Deflate's densest code is 258 bytes in 2 bits; no honest stream inflates further.
constexpr uint64_t kMaxRatio = 1032;

SharedBytes inflate_members(std::span<const std::byte> bytes, uint64_t limit, bool head_only) {
  std::string out;
  // Doubling from a guess of four times the input, never more than the limit and one byte beyond,
  // which tells that there is more.
  const uint64_t ceiling =
      std::min({limit, static_cast<uint64_t>(bytes.size()) * kMaxRatio, uint64_t{INT64_MAX} - 1}) +
      !head_only;
  out.resize(std::min<uint64_t>(ceiling, std::max<uint64_t>(bytes.size() * 4, 1 << 12)));
  size_t size = 0;
  Inflater inflater(bytes, kGzip);
  for (;;) {
    size += inflater.read(std::as_writable_bytes(std::span(out)).subspan(size));
    if (head_only && size == ceiling) break;
    if (!head_only && (size > limit || (size == ceiling && !inflater.finished())))
      throw_error(fmt::format("it inflates to more than {} bytes; is it the right file?", limit));
    if (inflater.finished()) {
      const auto rest = inflater.rest();
      if (!is_gzip(rest)) {
        if (std::any_of(rest.begin(), rest.end(), [](std::byte b) { return b != std::byte{0}; }))
          throw_error(
              fmt::format("{} bytes that are no gzip follow its compressed data", rest.size()));
        break;
      }
      inflater.next_member();
    } else if (size == out.size()) {
      out.resize(std::min<uint64_t>(ceiling, size * 2));
    }
  }
  out.resize(size);
  return SharedBytes(std::move(out));
}

}  // namespace

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 3 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b} &&
         bytes[2] == std::byte{8};
}

Result<SharedBytes> gunzip(std::span<const std::byte> bytes, const std::string& name,
                           uint64_t limit) {
  return read_result(name, [&] { return inflate_members(bytes, limit, false); });
}

Result<SharedBytes> gunzip_head(std::span<const std::byte> bytes, const std::string& name,
                                uint64_t count) {
  return read_result(name, [&] { return inflate_members(bytes, count, true); });
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
