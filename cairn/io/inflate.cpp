#include "cairn/io/inflate.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <climits>

namespace cairn::io {
namespace {

// zlib counts in unsigned int; 1 GiB pieces stay clear of its end.
constexpr size_t kPiece = size_t{1} << 30;

Bytef* writable(const std::byte* p) { return reinterpret_cast<Bytef*>(const_cast<std::byte*>(p)); }

}  // namespace

void Inflater::End::operator()(z_stream* stream) const {
  inflateEnd(stream);
  delete stream;
}

Inflater::Inflater(std::span<const std::byte> input, int window_bits)
    : stream_(new z_stream{}), pending_(input) {
  if (inflateInit2(stream_.get(), window_bits) != Z_OK)
    throw_error("there is no memory to inflate it");
}

std::span<const std::byte> Inflater::rest() const {
  // avail_in bytes lie directly before what is pending.
  return {pending_.data() - stream_->avail_in, pending_.size() + stream_->avail_in};
}

void Inflater::next_member() {
  inflateReset(stream_.get());
  finished_ = false;
}

size_t Inflater::read(std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size() && !finished_) {
    if (stream_->avail_in == 0) {
      const size_t count = std::min(pending_.size(), kPiece);
      stream_->next_in = writable(pending_.data());
      stream_->avail_in = static_cast<uInt>(count);
      pending_ = pending_.subspan(count);
    }
    const size_t room = std::min(out.size() - done, kPiece);
    stream_->next_out = writable(out.data() + done);
    stream_->avail_out = static_cast<uInt>(room);
    const int code = inflate(stream_.get(), Z_NO_FLUSH);
    done += room - stream_->avail_out;
    if (code == Z_STREAM_END) {
      finished_ = true;
    } else if (code == Z_MEM_ERROR) {
      throw_error("there is no memory to inflate it");
    } else if (code == Z_BUF_ERROR || (code == Z_OK && stream_->avail_out > 0)) {
      if (stream_->avail_in == 0 && pending_.empty())
        throw_error("its compressed data was cut off");
    } else if (code != Z_OK) {
      throw_error(fmt::format("its compressed data is damaged ({})",
                              stream_->msg ? stream_->msg : "it asks for a dictionary"));
    }
  }
  return done;
}

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 3 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b} &&
         bytes[2] == std::byte{8};
}

size_t GzipReader::read(std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    done += inflater_.read(out.subspan(done));
    if (!inflater_.finished()) continue;
    const auto rest = inflater_.rest();
    if (is_gzip(rest)) {
      inflater_.next_member();
      continue;
    }
    if (std::any_of(rest.begin(), rest.end(), [](std::byte b) { return b != std::byte{0}; }))
      throw_error(fmt::format("{} bytes that are no gzip follow its compressed data", rest.size()));
    break;
  }
  return done;
}

std::string deflate_all(std::span<const std::byte> input, int window_bits) {
  z_stream stream = {};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window_bits, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    throw_error("there is no memory to compress");
  std::string out;
  int code = Z_OK;
  while (code != Z_STREAM_END) {
    if (stream.avail_in == 0 && !input.empty()) {
      const size_t count = std::min(input.size(), kPiece);
      stream.next_in = writable(input.data());
      stream.avail_in = static_cast<uInt>(count);
      input = input.subspan(count);
    }
    char buffer[1 << 16];
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    code = deflate(&stream, input.empty() ? Z_FINISH : Z_NO_FLUSH);
    out.append(buffer, sizeof buffer - stream.avail_out);
  }
  deflateEnd(&stream);
  return out;
}

}  // namespace cairn::io
