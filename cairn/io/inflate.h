// zlib as the readers use it: one stream that inflates or deflates between spans.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cairn/base/error.h"

struct z_stream_s;  // zlib's; its header stays out of ours

namespace cairn::io {

// windowBits of zlib.
inline constexpr int kRawDeflate = -15;
inline constexpr int kGzip = 15 + 16;

class Inflater {
 public:
  // Keeps reading from `input`, which outlives it. Throws Error without memory.
  Inflater(std::span<const std::byte> input, int window_bits);
  Inflater(Inflater&&) = default;

  // Fills `out` as far as the stream goes and returns how many bytes that were: fewer than asked
  // only at the end. Throws Error on damaged or cut-off data.
  size_t read(std::span<std::byte> out);
  bool finished() const { return finished_; }
  // Input that no stream has used.
  std::span<const std::byte> rest() const;
  // Starts the next stream at the rest.
  void next_member();

 private:
  struct End {
    void operator()(z_stream_s* stream) const;
  };
  std::unique_ptr<z_stream_s, End> stream_;
  std::span<const std::byte> pending_;  // beyond what avail_in, 32 bits wide, can hold
  bool finished_ = false;
};

bool is_gzip(std::span<const std::byte> bytes);

// The members of a gzip file one after the other, with their checksums checked; zeros after the
// last one are padding.
class GzipReader {
 public:
  // `input` outlives it.
  explicit GzipReader(std::span<const std::byte> input) : inflater_(input, kGzip) {}
  // As Inflater::read.
  size_t read(std::span<std::byte> out);

 private:
  Inflater inflater_;
};

std::string deflate_all(std::span<const std::byte> input, int window_bits);

}  // namespace cairn::io
