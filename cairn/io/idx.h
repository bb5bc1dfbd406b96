// IDX, the format of MNIST: two zero bytes, a type, a rank, big-endian u32 sizes, big-endian data
// (yann.lecun.com/exdb/mnist). Its six types are u8 i8 i16 i32 f32 f64.
#pragma once

#include <string>

#include "cairn/io/bytes.h"

namespace cairn::io {

// Plain or gzip. Bytes are viewed in the mapped file where they need no swapping. A gzip that
// inflates to more than `limit` bytes is an error.
Result<HostArray> read_idx(const std::string& path, uint64_t limit = UINT64_MAX);
// `bytes` is not compressed.
Result<HostArray> parse_idx(SharedBytes bytes, const std::string& name);

// Compressed when the path ends in ".gz". Atomic. Throws Error for types that IDX lacks and for
// sizes beyond 32 bits.
Status write_idx(const std::string& path, const HostArray& array);

}  // namespace cairn::io
