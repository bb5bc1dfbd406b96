#include "cairn/io/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "cairn/io/gzip.h"

namespace cairn::io {

class CsvParser {
 public:
  CsvParser(std::string_view text, const std::string& name, const CsvOptions& options)
      : text_(text), options_(options) {
    table_.name_ = name;
  }

  CsvTable parse() {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
    for (int64_t i = 0; i < options_.skip_lines; ++i) skip_line();
    bool names = options_.header;
    while (skip_blank_lines()) {
      const int64_t line = line_;
      const size_t first = table_.cell_ends_.size();
      read_record();
      const auto cells = static_cast<int>(table_.cell_ends_.size() - first);
      if (table_.columns_ == 0) table_.columns_ = cells;
      if (cells != table_.columns_)
        throw_error(
            fmt::format("line {} has {} cells where {} are expected, as in its first "
                        "record",
                        line, cells, table_.columns_));
      if (names) {
        take_header();
        names = false;
      } else {
        table_.row_lines_.push_back(line);
      }
    }
    if (names) throw_error("it has no header: it is empty");
    return std::move(table_);
  }

 private:
  [[noreturn]] void fail(size_t at, std::string_view what) {
    throw_error(fmt::format("line {}, column {}: {}", line_, at - line_start_ + 1, what));
  }

  void end_line() {
    ++line_;
    line_start_ = at_;
  }

  void skip_line() {
    const size_t end = text_.find('\n', at_);
    at_ = end == std::string_view::npos ? text_.size() : end + 1;
    end_line();
  }

  // Steps over a line break, and says whether there was one.
  bool accept_break() {
    const bool cr = text_.substr(at_, 2) == "\r\n";
    if (!cr && (at_ == text_.size() || text_[at_] != '\n')) return false;
    at_ += cr ? 2 : 1;
    end_line();
    return true;
  }

  // False at the end of the file.
  bool skip_blank_lines() {
    while (accept_break()) {
    }
    return at_ < text_.size();
  }

  void read_record() {
    for (;;) {
      if (at_ < text_.size() && text_[at_] == '"') {
        read_quoted();
      } else {
        read_plain();
      }
      table_.cell_ends_.push_back(table_.text_.size());
      if (at_ < text_.size() && text_[at_] == options_.separator) {
        ++at_;
      } else if (at_ == text_.size() || accept_break()) {
        return;
      } else {
        fail(at_, "text follows the closing quote of a cell");
      }
    }
  }

  void read_plain() {
    const size_t begin = at_;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == options_.separator || c == '\n' || text_.substr(at_, 2) == "\r\n") break;
      if (c == '"') fail(at_, "a quote inside a cell; quote the whole cell and double the quote");
    }
    table_.text_ += text_.substr(begin, at_ - begin);
  }

  void read_quoted() {
    const size_t open = at_, open_start = line_start_;
    const int64_t open_line = line_;
    ++at_;
    for (;;) {
      const size_t stop = text_.find_first_of("\"\n", at_);
      if (stop == std::string_view::npos)
        throw_error(fmt::format("line {}, column {}: a quote that is never closed", open_line,
                                open - open_start + 1));
      table_.text_ += text_.substr(at_, stop - at_);
      at_ = stop + 1;
      if (text_[stop] == '\n') {
        table_.text_ += '\n';
        end_line();
      } else if (at_ < text_.size() && text_[at_] == '"') {
        table_.text_ += '"';
        ++at_;
      } else {
        return;
      }
    }
  }

  void take_header() {
    size_t begin = 0;
    for (const size_t end : table_.cell_ends_) {
      table_.header_.push_back(table_.text_.substr(begin, end - begin));
      begin = end;
    }
    table_.cell_ends_.clear();
    table_.text_.clear();
  }

  std::string_view text_;
  const CsvOptions& options_;
  CsvTable table_;
  size_t at_ = 0;
  int64_t line_ = 1;
  size_t line_start_ = 0;
};

std::string_view CsvTable::cell(int64_t row, int column) const {
  const auto i = static_cast<size_t>(row * columns_ + column);
  const size_t begin = i == 0 ? 0 : cell_ends_[i - 1];
  return std::string_view(text_).substr(begin, cell_ends_[i] - begin);
}

int CsvTable::column(std::string_view name) const {
  const auto found = std::find(header_.begin(), header_.end(), name);
  if (found == header_.end())
    throw_error(
        fmt::format("'{}' has no column '{}'; it has: {}", name_, name,
                    header_.empty() ? "no header" : fmt::format("{}", fmt::join(header_, ", "))));
  return static_cast<int>(found - header_.begin());
}

Result<HostArray> CsvTable::numbers(std::span<const int> columns) const {
  HostArray result(DType::f64, {rows(), static_cast<int64_t>(columns.size())});
  double* out = result.mutable_span<double>().data();
  for (int64_t row = 0; row < rows(); ++row) {
    for (const int column : columns) {
      std::string_view text = cell(row, column);
      const size_t first = text.find_first_not_of(" \t");
      text.remove_prefix(std::min(first, text.size()));
      text = text.substr(0, text.find_last_not_of(" \t") + 1);
      if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out++);
      if (error != std::errc() || end != text.data() + text.size())
        return read_error(name_,
                          fmt::format("line {}, {}: '{}' is not a number", row_lines_[row],
                                      header_.empty() ? fmt::format("cell {}", column + 1)
                                                      : fmt::format("column '{}'", header_[column]),
                                      cell(row, column).substr(0, 40)));
    }
  }
  return result;
}

Result<HostArray> CsvTable::numbers() const {
  std::vector<int> all(static_cast<size_t>(columns_));
  std::iota(all.begin(), all.end(), 0);
  return numbers(all);
}

Result<CsvTable> parse_csv(std::string_view text, const std::string& name,
                           const CsvOptions& options) {
  return read_result(name, [&] { return CsvParser(text, name, options).parse(); });
}

Result<CsvTable> read_csv(const std::string& path, const CsvOptions& options) {
  const auto bytes = map_or_gunzip(path);
  if (!bytes) return bytes.error();
  return parse_csv(bytes.value().text(), path, options);
}

}  // namespace cairn::io
