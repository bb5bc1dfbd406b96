// tar archives, plain or gzip, read: ustar, with the long names of pax and GNU tar.
//
// Only regular files are listed. Sparse files are an error. Every header's checksum is checked, and
// an archive without the zero block that ends it was cut off.
#pragma once

#include <string>
#include <vector>

#include "cairn/base/file.h"

namespace cairn::io {

struct TarEntry {
  std::string
      name;  // as in the archive: "train/cat/0001.jpg"; not checked for "..", never unpacked
  uint64_t offset = 0;
  uint64_t size = 0;
};

class TarFile {
 public:
  // Maps the file, or inflates it to at most `limit` bytes.
  static Result<TarFile> open(const std::string& path, uint64_t limit = UINT64_MAX);
  static Result<TarFile> parse(SharedBytes bytes, const std::string& name);

  // In the order of the archive. A name may stand twice; then the later one replaces the earlier.
  const std::vector<TarEntry>& entries() const { return entries_; }
  // The last of that name; null when there is none.
  const TarEntry* find(std::string_view name) const;
  // A view that keeps the archive alive.
  SharedBytes bytes(const TarEntry& entry) const { return bytes_.part(entry.offset, entry.size); }

 private:
  SharedBytes bytes_;
  std::vector<TarEntry> entries_;
};

}  // namespace cairn::io
