// JSON lines: one JSON object a line, of which some text fields are wanted. Streams, so a file may
// be larger than memory; plain or gzip.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cairn/io/lines.h"

namespace cairn::io {

class JsonlReader {
 public:
  // `fields` are the names wanted of each line's object.
  static Result<JsonlReader> open(const std::string& path, std::vector<std::string> fields);
  // The same for bytes that are already there.
  static JsonlReader parse(SharedBytes bytes, const std::string& name,
                           std::vector<std::string> fields);

  // The fields' texts of the next line, in the order asked for; empty after the last line. Blank
  // lines are skipped. A line that is no JSON object, or where a field is missing or not text, is
  // an error that names the line; one may go on after it.
  Result<std::optional<std::vector<std::string>>> next();
  // Of the line last returned, from 1.
  int64_t line() const { return lines_.number(); }

 private:
  JsonlReader(LineReader lines, std::vector<std::string> fields)
      : lines_(std::move(lines)), fields_(std::move(fields)) {}
  LineReader lines_;
  std::vector<std::string> fields_;
};

}  // namespace cairn::io
