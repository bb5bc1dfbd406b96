// NumPy's .npy and .npz.
//
// .npy (numpy.lib.format): versions 1, 2 and 3, both byte orders, C and Fortran order. A
// little-endian array in C order is viewed in the mapped file; any other is copied. Types: f8 f4 f2
// i8 i4 i2 i1 u1 u4 and bool. NumPy has others (u2, u8, complex, text, objects, records): an error
// that names them. It has no bf16 and no 8-bit floats, so writing one of these is an error that
// says to cast to f32, which holds each of them exactly; raw bits under another name would load as
// wrong numbers.
//
// .npz: a zip archive of .npy members, stored or deflated.
#pragma once

#include <string>
#include <vector>

#include "cairn/io/bytes.h"
#include "cairn/io/zip.h"

namespace cairn::io {

// Rank at most kMaxRank. Bytes after the array are an error: a file is one array.
Result<HostArray> read_npy(const std::string& path);
Result<HostArray> parse_npy(SharedBytes bytes, const std::string& name);

// Version 1, C order, data at a multiple of 64 bytes: the bytes that np.save writes. Atomic.
// Throws Error for bf16 and 8-bit floats.
Status write_npy(const std::string& path, const HostArray& array);

class NpzFile {
 public:
  // Reads the directory; members are read when asked for. One of more than `limit` bytes is an
  // error when it is read.
  static Result<NpzFile> open(const std::string& path, uint64_t limit = UINT64_MAX);
  static Result<NpzFile> parse(SharedBytes bytes, const std::string& name,
                               uint64_t limit = UINT64_MAX);

  // Without their ".npy", in the order of the file; members that are no .npy are left out.
  const std::vector<std::string>& names() const { return names_; }
  Result<HostArray> read(std::string_view name) const;

 private:
  std::string name_;
  ZipFile zip_;
  uint64_t limit_ = 0;
  std::vector<std::string> names_;
};

// Like np.savez, or np.savez_compressed. Atomic; the same arrays give the same bytes. Throws Error
// for types that NumPy lacks and for a name twice.
Status write_npz(const std::string& path, std::span<const NamedArray> arrays,
                 bool compress = false);

}  // namespace cairn::io
