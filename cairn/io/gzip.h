// gzip files (RFC 1952) through zlib.
#pragma once

#include <string>

#include "cairn/base/file.h"
#include "cairn/io/inflate.h"

namespace cairn::io {

// All members of a gzip file, inflated, with checksums checked. More than `limit` bytes of result
// is an error: 1 MB of gzip can hold 1 GB. Zeros after the last member are padding.
Result<SharedBytes> gunzip(std::span<const std::byte> bytes, const std::string& name,
                           uint64_t limit = UINT64_MAX);

// The first `count` bytes of the content, or all where it is shorter: for telling what it is.
Result<SharedBytes> gunzip_head(std::span<const std::byte> bytes, const std::string& name,
                                uint64_t count);

// One member without name or time, so equal bytes give equal files.
std::string gzip(std::span<const std::byte> bytes);

// A file that may be compressed: mapped when it is plain, inflated when it is gzip.
Result<SharedBytes> map_or_gunzip(const std::string& path, uint64_t limit = UINT64_MAX);

}  // namespace cairn::io
