#include "cairn/io/zip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

#include "cairn/io/bytes.h"
#include "cairn/io/inflate.h"

namespace cairn::io {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kDirectoryEntry = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kZip64End = 0x06064b50;
constexpr uint32_t kZip64Locator = 0x07064b50;
constexpr size_t kEndBytes = 22;
constexpr size_t kLocatorBytes = 20;
constexpr uint32_t kIn64 = 0xffffffff;  // the value is in the zip64 field
constexpr uint64_t kMaxRatio = 1032;

uint32_t crc_of(std::span<const std::byte> bytes, uint32_t crc = 0) {
  return static_cast<uint32_t>(
      crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

struct Directory {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t entries = 0;
};

// The end record stands last, before a comment of at most 65,535 bytes.
size_t find_end(std::span<const std::byte> bytes) {
  if (bytes.size() >= kEndBytes) {
    const size_t last = bytes.size() - kEndBytes;
    const size_t first = last > 0xffff ? last - 0xffff : 0;
    for (size_t i = last + 1; i-- > first;) {
      ByteReader reader(bytes.subspan(i));
      if (reader.little<uint32_t>("end record") != kEnd) continue;
      reader.seek(20, "comment");
      if (reader.little<uint16_t>("comment") == bytes.size() - i - kEndBytes) return i;
    }
  }
  throw_error("it has no zip directory at its end; the file is damaged or was cut off");
}

Directory find_directory(std::span<const std::byte> bytes) {
  const size_t end = find_end(bytes);
  ByteReader reader(bytes);
  reader.seek(end + 4, "end record");
  const auto disk = reader.little<uint16_t>("end record");
  const auto directory_disk = reader.little<uint16_t>("end record");
  reader.little<uint16_t>("end record");
  Directory found;
  found.entries = reader.little<uint16_t>("end record");
  found.size = reader.little<uint32_t>("end record");
  found.offset = reader.little<uint32_t>("end record");
  uint64_t directory_end = end;
  if (end >= kLocatorBytes) {
    reader.seek(end - kLocatorBytes, "zip64 locator");
    if (reader.little<uint32_t>("zip64 locator") == kZip64Locator) {
      reader.little<uint32_t>("zip64 locator");
      directory_end = reader.little<uint64_t>("zip64 locator");
      reader.seek(directory_end, "zip64 end record");
      if (reader.little<uint32_t>("zip64 end record") != kZip64End)
        throw_error("its zip64 end record is not where its locator says");
      reader.take(20, "zip64 end record");
      reader.little<uint64_t>("zip64 end record");
      found.entries = reader.little<uint64_t>("zip64 end record");
      found.size = reader.little<uint64_t>("zip64 end record");
      found.offset = reader.little<uint64_t>("zip64 end record");
    }
  }
  if (disk != directory_disk && disk != 0xffff)
    throw_error("it is one part of a zip archive in several; join them first");
  if (found.offset > directory_end || found.size > directory_end - found.offset)
    throw_error(
        fmt::format("its zip directory should be the {} bytes at byte {}, which run into "
                    "the end record at {}",
                    found.size, found.offset, directory_end));
  return found;
}

// Replaces each value that is all ones by the next of the zip64 extra field, in their fixed order.
void read_zip64(std::span<const std::byte> extra, std::initializer_list<uint64_t*> values) {
  ByteReader reader(extra);
  while (reader.remaining() >= 4) {
    const auto tag = reader.little<uint16_t>("extra field");
    const auto size = reader.little<uint16_t>("extra field");
    ByteReader field(reader.take(size, "extra field"));
    if (tag != 1) continue;
    for (uint64_t* value : values)
      if (*value == kIn64) *value = field.little<uint64_t>("zip64 field");
    return;
  }
}

ZipMember read_entry(ByteReader& reader) {
  if (reader.little<uint32_t>("zip directory") != kDirectoryEntry)
    throw_error("its zip directory is damaged");
  ZipMember member;
  reader.take(4, "zip directory");
  member.flags = reader.little<uint16_t>("zip directory");
  member.method = reader.little<uint16_t>("zip directory");
  reader.take(4, "zip directory");
  member.crc = reader.little<uint32_t>("zip directory");
  member.compressed_size = reader.little<uint32_t>("zip directory");
  member.size = reader.little<uint32_t>("zip directory");
  const auto name_bytes = reader.little<uint16_t>("zip directory");
  const auto extra_bytes = reader.little<uint16_t>("zip directory");
  const auto comment_bytes = reader.little<uint16_t>("zip directory");
  reader.take(8, "zip directory");
  member.offset = reader.little<uint32_t>("zip directory");
  member.name = reader.take_text(name_bytes, "zip directory");
  read_zip64(reader.take(extra_bytes, "zip directory"),
             {&member.size, &member.compressed_size, &member.offset});
  reader.take(comment_bytes, "zip directory");
  return member;
}

void append(std::string& out, std::initializer_list<std::pair<uint64_t, int>> fields) {
  for (const auto& [value, bytes] : fields)
    out.append(reinterpret_cast<const char*>(&value), static_cast<size_t>(bytes));
}

uint64_t low32(uint64_t value) { return std::min<uint64_t>(value, kIn64); }

// Version 2.0 knows deflate, 4.5 zip64. Bit 11 says that the name is UTF-8. The date is the first
// that the format has.
constexpr uint64_t kVersionDeflate = 20, kVersionZip64 = 45, kUtf8 = 1 << 11, kDate = 1 << 5 | 1;

}  // namespace

Result<ZipFile> ZipFile::parse(SharedBytes bytes, const std::string& name) {
  return read_result(name, [&] {
    ZipFile file;
    file.name_ = name;
    file.bytes_ = bytes;
    const Directory directory = find_directory(bytes.bytes());
    ByteReader reader(bytes.bytes().subspan(directory.offset, directory.size));
    for (uint64_t i = 0; i < directory.entries; ++i) file.members_.push_back(read_entry(reader));
    std::vector<std::string_view> names;
    for (const ZipMember& member : file.members_) names.push_back(member.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) throw_error(fmt::format("it has the member '{}' twice", *twice));
    return file;
  });
}

const ZipMember* ZipFile::find(std::string_view name) const {
  for (const ZipMember& member : members_)
    if (member.name == name) return &member;
  return nullptr;
}

Result<SharedBytes> ZipFile::read(const ZipMember& member, uint64_t limit) const {
  return read_result(name_, [&] {
    const auto fail = [&](std::string_view what) {
      throw_error(fmt::format("its member '{}' {}", member.name, what));
    };
    if (member.flags & 1) fail("is encrypted; unpack it first");
    if (member.method != 0 && member.method != Z_DEFLATED)
      fail(fmt::format("is compressed with method {}; only stored and deflated ones can be read",
                       member.method));
    if (member.size > limit)
      fail(fmt::format("has {} bytes, more than the {} allowed", member.size, limit));
    ByteReader reader(bytes_.bytes());
    reader.seek(member.offset, "member");
    if (reader.little<uint32_t>("local header") != kLocalHeader)
      fail("is not where the directory says");
    reader.take(22, "local header");
    const auto name_bytes = reader.little<uint16_t>("local header");
    const auto extra_bytes = reader.little<uint16_t>("local header");
    reader.take(uint64_t{name_bytes} + extra_bytes, "local header");
    const size_t begin = reader.offset();
    const auto packed = reader.take(member.compressed_size, "member's data");
    if (member.method == 0) {
      if (member.size != member.compressed_size) fail("is stored, with two different sizes");
      if (crc_of(packed) != member.crc) fail("is damaged: its CRC-32 differs");
      return bytes_.part(begin, member.size);
    }
    if (member.size / kMaxRatio > member.compressed_size)
      fail(fmt::format("cannot have {} bytes when {} hold them compressed", member.size,
                       member.compressed_size));
    std::string out(member.size, '\0');
    Inflater inflater(packed, kRawDeflate);
    size_t size = inflater.read(std::as_writable_bytes(std::span(out)));
    std::byte more;
    if (!inflater.finished()) size += inflater.read({&more, 1});
    if (size != member.size || !inflater.finished())
      fail(fmt::format("does not inflate to the {} bytes that the directory says", member.size));
    SharedBytes result(std::move(out));
    if (crc_of(result.bytes()) != member.crc) fail("is damaged: its CRC-32 differs");
    return result;
  });
}

std::string zip_local_header(const ZipMember& member) {
  const bool wide = std::max(member.size, member.compressed_size) >= kIn64;
  std::string out;
  append(out, {{kLocalHeader, 4},
               {wide ? kVersionZip64 : kVersionDeflate, 2},
               {member.flags, 2},
               {member.method, 2},
               {0, 2},
               {kDate, 2},
               {member.crc, 4},
               {wide ? kIn64 : member.compressed_size, 4},
               {wide ? kIn64 : member.size, 4},
               {member.name.size(), 2},
               {wide ? 20 : 0, 2}});
  out += member.name;
  if (wide) append(out, {{1, 2}, {16, 2}, {member.size, 8}, {member.compressed_size, 8}});
  return out;
}

std::string zip_directory(std::span<const ZipMember> members, uint64_t offset) {
  std::string out;
  for (const ZipMember& member : members) {
    std::string extra;
    for (const uint64_t value : {member.size, member.compressed_size, member.offset})
      if (value >= kIn64) append(extra, {{value, 8}});
    const bool wide = !extra.empty();
    append(out, {{kDirectoryEntry, 4},
                 {wide ? kVersionZip64 : kVersionDeflate, 2},
                 {wide ? kVersionZip64 : kVersionDeflate, 2},
                 {member.flags, 2},
                 {member.method, 2},
                 {0, 2},
                 {kDate, 2},
                 {member.crc, 4},
                 {low32(member.compressed_size), 4},
                 {low32(member.size), 4},
                 {member.name.size(), 2},
                 {wide ? extra.size() + 4 : 0, 2},
                 {0, 2},
                 {0, 2},
                 {0, 2},
                 {0, 4},
                 {low32(member.offset), 4}});
    out += member.name;
    if (wide) append(out, {{1, 2}, {extra.size(), 2}});
    out += extra;
  }
  const uint64_t size = out.size();
  if (members.size() >= 0xffff || size >= kIn64 || offset >= kIn64) {
    append(out, {{kZip64End, 4},
                 {44, 8},
                 {kVersionZip64, 2},
                 {kVersionZip64, 2},
                 {0, 4},
                 {0, 4},
                 {members.size(), 8},
                 {members.size(), 8},
                 {size, 8},
                 {offset, 8}});
    append(out, {{kZip64Locator, 4}, {0, 4}, {offset + size, 8}, {1, 4}});
  }
  const uint64_t entries = std::min<uint64_t>(members.size(), 0xffff);
  append(out, {{kEnd, 4},
               {0, 2},
               {0, 2},
               {entries, 2},
               {entries, 2},
               {low32(size), 4},
               {low32(offset), 4},
               {0, 2}});
  return out;
}

void ZipWriter::add(const std::string& name, std::span<const std::span<const std::byte>> pieces,
                    bool compress) {
  if (name.size() > 0xffff) throw_error("[zip] a member's name has more than 65535 bytes");
  ZipMember member{.name = name, .flags = kUtf8, .offset = file_.position()};
  for (const auto piece : pieces) {
    member.crc = crc_of(piece, member.crc);
    member.size += piece.size();
  }
  if (!compress) {
    member.compressed_size = member.size;
    file_.write(zip_local_header(member));
    for (const auto piece : pieces) file_.write(piece);
  } else {
    std::string whole;
    for (const auto piece : pieces)
      whole.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    const std::string packed =
        deflate_all(std::as_bytes(std::span(whole.data(), whole.size())), kRawDeflate);
    member.method = Z_DEFLATED;
    member.compressed_size = packed.size();
    file_.write(zip_local_header(member));
    file_.write(packed);
  }
  members_.push_back(std::move(member));
}

void ZipWriter::finish() {
  const uint64_t offset = file_.position();
  file_.write(zip_directory(members_, offset));
}

}  // namespace cairn::io
