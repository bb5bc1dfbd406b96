// CSV (RFC 4180): quoted cells with doubled quotes and line breaks, "\n" or "\r\n", UTF-8 with or
// without a byte order mark. Blank lines are skipped. Files may be gzip.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cairn/io/bytes.h"

namespace cairn::io {

struct CsvOptions {
  char separator = ',';
  bool header = true;      // the first record names the columns
  int64_t skip_lines = 0;  // at the start, before the header: titles, counts
};

class CsvTable {
 public:
  const std::string& name() const { return name_; }
  // Names of the columns; empty when the file has none.
  const std::vector<std::string>& header() const { return header_; }
  int64_t rows() const { return static_cast<int64_t>(row_lines_.size()); }
  int columns() const { return columns_; }
  // Spaces around a cell belong to it. The caller stays inside.
  std::string_view cell(int64_t row, int column) const;
  // Which column has this name; throws Error that lists the names when none has.
  int column(std::string_view name) const;
  // Columns as numbers, f64 [rows, columns.size()], spaces around them allowed, "nan" and "inf"
  // too. An error names line and column of a cell that is no number.
  Result<HostArray> numbers(std::span<const int> columns) const;
  // All columns.
  Result<HostArray> numbers() const;

 private:
  friend class CsvParser;
  std::string name_;
  std::vector<std::string> header_;
  int columns_ = 0;
  std::string text_;                // all cells, unquoted, one after the other
  std::vector<size_t> cell_ends_;   // into text_
  std::vector<int64_t> row_lines_;  // where each row begins in the file, from 1
};

// All rows have as many cells; one that has not is an error that names its line.
Result<CsvTable> read_csv(const std::string& path, const CsvOptions& options = {});
Result<CsvTable> parse_csv(std::string_view text, const std::string& name,
                           const CsvOptions& options = {});

}  // namespace cairn::io
