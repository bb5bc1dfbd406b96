#include "cairn/io/lines.h"

#include <fmt/format.h>

#include "cairn/io/bytes.h"
#include "cairn/io/inflate.h"

namespace cairn::io {
namespace {

constexpr size_t kChunk = 1 << 18;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

// What has been read and not returned is `rest`: of the mapped file, or of `buffer`, which the
// gzip reader fills.
struct LineReader::Source {
  SharedBytes file;
  std::optional<GzipReader> gzip;
  std::string buffer;
  std::string_view rest;

  // Appends a chunk to `rest`; false when the file has ended.
  bool fill() {
    if (!gzip) return false;
    // Keeps what is left, at the front.
    buffer.erase(0, buffer.size() - rest.size());
    const size_t kept = buffer.size();
    buffer.resize(kept + std::max(kChunk, kept));
    const size_t got = gzip->read(std::as_writable_bytes(std::span(buffer)).subspan(kept));
    buffer.resize(kept + got);
    rest = buffer;
    return got > 0;
  }
};

LineReader::LineReader(std::unique_ptr<Source> source, std::string name, uint64_t max_line)
    : source_(std::move(source)), name_(std::move(name)), max_line_(max_line) {}
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader& LineReader::operator=(LineReader&&) noexcept = default;
LineReader::~LineReader() = default;

Result<LineReader> LineReader::open(const std::string& path, uint64_t max_line) {
  auto file = map_file(path);
  if (!file) return file.error();
  return parse(std::move(file).value(), path, max_line);
}

LineReader LineReader::parse(SharedBytes bytes, const std::string& name, uint64_t max_line) {
  auto source = std::make_unique<Source>();
  source->file = std::move(bytes);
  if (is_gzip(source->file.bytes())) {
    source->gzip.emplace(source->file.bytes());
  } else {
    source->rest = source->file.text();
  }
  return LineReader(std::move(source), name, max_line);
}

Result<std::optional<std::string_view>> LineReader::next() {
  return read_result(name_, [&]() -> std::optional<std::string_view> {
    Source& source = *source_;
    size_t searched = 0;
    size_t end = source.rest.find('\n');
    while (end == std::string_view::npos && source.rest.size() <= max_line_) {
      searched = source.rest.size();
      if (!source.fill()) break;
      end = source.rest.find('\n', searched);
    }
    if (source.rest.empty()) return std::nullopt;
    const size_t size = std::min(end, source.rest.size());
    if (size > max_line_)
      throw_error(fmt::format("line {} has more than {} bytes", number_ + 1, max_line_));
    std::string_view line = source.rest.substr(0, size);
    source.rest.remove_prefix(end == std::string_view::npos ? size : size + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (++number_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(3);
    return line;
  });
}

}  // namespace cairn::io
