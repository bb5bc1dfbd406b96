#include "cairn/io/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cairn/io/bytes.h"
#include "cairn/io/gzip.h"

namespace cairn::io {
namespace {

constexpr size_t kBlock = 512;

// A field up to its first zero byte.
std::string_view field(std::string_view header, size_t offset, size_t size) {
  const std::string_view text = header.substr(offset, size);
  return text.substr(0, text.find('\0'));
}

// Octal digits with spaces around, or, for what does not fit, GNU's base 256 with its top bit set.
uint64_t number(std::string_view header, size_t offset, size_t size) {
  const std::string_view raw = header.substr(offset, size);
  const auto first = static_cast<unsigned char>(raw[0]);
  uint64_t value = 0;
  if (first & 0x80) {
    if (first != 0x80) throw_error("a header has a number that is negative or beyond 64 bits");
    for (const char c : raw.substr(1)) {
      if (value >> 56) throw_error("a header has a number beyond 64 bits");
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  std::string_view text = field(header, offset, size);
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  text = text.substr(0, text.find_last_not_of(' ') + 1);
  for (const char c : text) {
    if (c < '0' || c > '7') throw_error("a header has a number that is not octal");
    value = value * 8 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// The sum of all bytes, the checksum's own taken as spaces. Some old programs added signed bytes.
void check_sum(std::string_view header, uint64_t at) {
  const uint64_t expected = number(header, 148, 8);
  uint64_t sum = 8 * ' ';
  int64_t signed_sum = 8 * ' ';
  for (size_t i = 0; i < kBlock; ++i) {
    if (i >= 148 && i < 156) continue;
    sum += static_cast<unsigned char>(header[i]);
    signed_sum += static_cast<signed char>(header[i]);
  }
  if (sum != expected && static_cast<uint64_t>(signed_sum) != expected)
    throw_error(fmt::format("the header at byte {} has the wrong checksum; is it a tar file?", at));
}

// What a pax header says of the next entry.
struct Overrides {
  std::optional<std::string> name;
  std::optional<uint64_t> size;
};

// Records "LENGTH KEY=VALUE\n", where LENGTH counts all of the record.
void read_pax(std::string_view text, Overrides& next) {
  while (!text.empty()) {
    size_t length = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    const auto digits = static_cast<size_t>(end - text.data());
    if (error != std::errc() || length > text.size() || length < digits + 3 ||
        text[digits] != ' ' || text[length - 1] != '\n')
      throw_error("a pax header is damaged");
    const std::string_view record = text.substr(digits + 1, length - digits - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) throw_error("a pax header is damaged");
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") next.name = value;
    if (key == "size") {
      uint64_t size = 0;
      const auto [stop, failed] = std::from_chars(value.data(), value.data() + value.size(), size);
      if (failed != std::errc() || stop != value.data() + value.size())
        throw_error("a pax header has a size that is no number");
      next.size = size;
    }
    if (key.starts_with("GNU.sparse"))
      throw_error("it has a sparse file, which cannot be read; pack it again without --sparse");
    text.remove_prefix(length);
  }
}

std::string ustar_name(std::string_view header) {
  const std::string name(field(header, 0, 100));
  const std::string_view prefix = field(header, 345, 155);
  // GNU's own format has other things where ustar has the prefix.
  if (header.substr(257, 6) != std::string_view("ustar\0", 6) || prefix.empty()) return name;
  return std::string(prefix) + "/" + name;
}

std::vector<TarEntry> read_entries(std::span<const std::byte> bytes) {
  std::vector<TarEntry> entries;
  ByteReader reader(bytes);
  Overrides next;
  for (;;) {
    const size_t at = reader.offset();
    const std::string_view header = reader.take_text(kBlock, "tar headers");
    if (header.find_first_not_of('\0') == std::string_view::npos) return entries;
    check_sum(header, at);
    const char type = header[156];
    const bool extension = type == 'x' || type == 'g' || type == 'L' || type == 'K';
    uint64_t size = number(header, 124, 12);
    if (!extension && next.size) size = *next.size;
    if (type >= '1' && type <= '6') size = 0;  // links, devices, folders: no data follows
    const size_t offset = reader.offset();
    const std::string_view data = reader.take_text(size, "entries");
    const size_t padding = (kBlock - size % kBlock) % kBlock;
    reader.take(std::min(padding, reader.remaining()), "entries");
    if (type == 'x') {
      read_pax(data, next);
    } else if (type == 'L') {
      next.name = data.substr(0, data.find('\0'));
    } else if (type == 'S') {
      throw_error("it has a sparse file, which cannot be read; pack it again without --sparse");
    } else if (!extension) {
      if (type == '0' || type == '\0' || type == '7')
        entries.push_back({next.name.value_or(ustar_name(header)), offset, size});
      next = {};
    }
  }
}

}  // namespace

Result<TarFile> TarFile::open(const std::string& path, uint64_t limit) {
  auto bytes = map_or_gunzip(path, limit);
  if (!bytes) return bytes.error();
  return parse(std::move(bytes).value(), path);
}

Result<TarFile> TarFile::parse(SharedBytes bytes, const std::string& name) {
  return read_result(name, [&] {
    TarFile file;
    file.entries_ = read_entries(bytes.bytes());
    file.bytes_ = bytes;
    return file;
  });
}

const TarEntry* TarFile::find(std::string_view name) const {
  const auto found = std::find_if(entries_.rbegin(), entries_.rend(),
                                  [&](const TarEntry& entry) { return entry.name == name; });
  return found == entries_.rend() ? nullptr : &*found;
}

}  // namespace cairn::io
