// zip archives as .npz and PyTorch files use them: members stored or deflated, zip64, CRC-32.
//
// Read through the central directory at the end (PKWARE APPNOTE 6.3); encrypted, multi-disk and
// other compression methods are errors. A member's declared size is checked against its compressed
// size (deflate gains at most 1032 times) before memory for it is taken.
#pragma once

#include <string>
#include <vector>

#include "cairn/base/file.h"

namespace cairn::io {

struct ZipMember {
  std::string name;
  uint16_t method = 0;  // 0 stored, 8 deflated
  uint16_t flags = 0;
  uint32_t crc = 0;
  uint64_t compressed_size = 0;
  uint64_t size = 0;
  uint64_t offset = 0;  // of its local header
};

class ZipFile {
 public:
  // Reads the directory. `name` is for error texts.
  static Result<ZipFile> parse(SharedBytes bytes, const std::string& name);

  const std::vector<ZipMember>& members() const { return members_; }
  // Null when there is none.
  const ZipMember* find(std::string_view name) const;
  // The bytes of a member: a view when it is stored, else inflated; its CRC is checked. A member
  // of more than `limit` bytes is an error.
  Result<SharedBytes> read(const ZipMember& member, uint64_t limit = UINT64_MAX) const;

 private:
  std::string name_;
  SharedBytes bytes_;
  std::vector<ZipMember> members_;
};

// Writes members one after the other, then the directory. Dates are 1980-01-01, as NumPy's, so
// equal contents give equal archives. Sizes and offsets beyond 32 bits take zip64 fields.
class ZipWriter {
 public:
  explicit ZipWriter(FileWriter& file) : file_(file) {}
  // `pieces` one after the other are the member's bytes.
  void add(const std::string& name, std::span<const std::span<const std::byte>> pieces,
           bool compress);
  void finish();

 private:
  FileWriter& file_;
  std::vector<ZipMember> members_;
};

// The records of an archive, apart from the data (used by ZipWriter, and by tests of sizes that no
// test wants to write).
std::string zip_local_header(const ZipMember& member);
std::string zip_directory(std::span<const ZipMember> members, uint64_t offset);

}  // namespace cairn::io
