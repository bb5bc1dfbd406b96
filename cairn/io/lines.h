// Lines of a text file of any size, plain or gzip, without holding the file in memory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cairn/base/file.h"

namespace cairn::io {

class LineReader {
 public:
  // A line of more than `max_line` bytes is an error (it guards memory when the file is gzip).
  static Result<LineReader> open(const std::string& path, uint64_t max_line = uint64_t{1} << 30);
  // The same for bytes that are already there.
  static LineReader parse(SharedBytes bytes, const std::string& name,
                          uint64_t max_line = uint64_t{1} << 30);
  LineReader(LineReader&&) noexcept;
  LineReader& operator=(LineReader&&) noexcept;
  ~LineReader();

  // The next line without its "\n" or "\r\n", and without a byte order mark at the start; empty
  // after the last one. The view holds until the next call.
  Result<std::optional<std::string_view>> next();
  // Of the line last returned, from 1.
  int64_t number() const { return number_; }
  const std::string& name() const { return name_; }

 private:
  struct Source;
  LineReader(std::unique_ptr<Source> source, std::string name, uint64_t max_line);
  std::unique_ptr<Source> source_;
  std::string name_;
  uint64_t max_line_;
  int64_t number_ = 0;
};

}  // namespace cairn::io
