// Text measured in terminal cells, and tables made of it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "cairn/plot/terminal.h"

namespace cairn::plot {
namespace {

struct CodeRange {
  uint32_t first, last;
};

// Marks that take no cell of their own. Combining diacritics and their extensions, joiners and
// variation selectors: what names and tokens of real text contain. Other scripts' marks count 1,
// which shifts a column by a cell and breaks nothing.
constexpr std::array<CodeRange, 8> kZero = {{{0x0300, 0x036f},
                                             {0x0483, 0x0489},
                                             {0x0591, 0x05bd},
                                             {0x064b, 0x065f},
                                             {0x1ab0, 0x1aff},
                                             {0x200b, 0x200f},
                                             {0x20d0, 0x20ff},
                                             {0xfe00, 0xfe0f}}};
constexpr std::array<CodeRange, 12> kWide = {{{0x1100, 0x115f},
                                              {0x2e80, 0x303e},
                                              {0x3041, 0x33ff},
                                              {0x3400, 0x4dbf},
                                              {0x4e00, 0x9fff},
                                              {0xa000, 0xa4cf},
                                              {0xac00, 0xd7a3},
                                              {0xf900, 0xfaff},
                                              {0xfe30, 0xfe6f},
                                              {0xff01, 0xff60},
                                              {0x1f300, 0x1faff},
                                              {0x20000, 0x3fffd}}};

template <size_t N>
bool contains(const std::array<CodeRange, N>& ranges, uint32_t code) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](CodeRange r) { return code >= r.first && code <= r.last; });
}

struct Glyph {
  size_t bytes;
  int cells;
};

// The character or escape code at the start of `text`, which is not empty. A byte that does not
// start valid UTF-8 counts as one cell, as terminals show it.
Glyph first_glyph(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  if (byte(0) == 0x1b && text.size() > 1 && text[1] == '[') {
    size_t end = 2;
    while (end < text.size() && (byte(end) < 0x40 || byte(end) > 0x7e)) ++end;
    return {std::min(end + 1, text.size()), 0};
  }
  if (byte(0) < 0x80) return {1, byte(0) < 0x20 || byte(0) == 0x7f ? 0 : 1};
  const size_t length = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : byte(0) >= 0xc0 ? 2 : 1;
  if (length == 1 || length > text.size()) return {1, 1};
  uint32_t code = byte(0) & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {1, 1};
    code = code << 6 | (byte(i) & 0x3f);
  }
  if (contains(kZero, code)) return {length, 0};
  return {length, contains(kWide, code) ? 2 : 1};
}

bool is_number_with_unit(std::string_view cell) {
  if (cell.empty() || cell == "-" || cell == "--") return true;
  size_t i = cell[0] == '-' || cell[0] == '+' ? 1 : 0;
  if (cell.substr(i) == "nan" || cell.substr(i) == "inf") return true;
  const size_t digits = i;
  const auto is_part = [](char c) { return (c >= '0' && c <= '9') || c == '.' || c == ','; };
  while (i < cell.size() && is_part(cell[i])) ++i;
  if (i == digits) return false;
  if (i < cell.size() && cell[i] == 'e') {
    size_t j = i + 1;
    if (j < cell.size() && (cell[j] == '-' || cell[j] == '+')) ++j;
    const size_t exponent = j;
    while (j < cell.size() && cell[j] >= '0' && cell[j] <= '9') ++j;
    if (j > exponent) i = j;
  }
  // "12.3k", "4.2 GiB", "98.1 %", "310/s": a short unit without digits (so "4 heads, 2 layers" and
  // "32x32" are text).
  const std::string_view unit = cell.substr(i);
  return unit.size() <= 10 && unit.find_first_of("0123456789") == std::string_view::npos &&
         (unit.empty() || unit[0] != 'x');
}

std::string_view cell_of(const std::vector<std::string>& row, size_t column) {
  return column < row.size() ? std::string_view(row[column]) : std::string_view();
}

size_t column_count(const Table& table) {
  size_t columns = table.header.size();
  for (const auto& row : table.rows) columns = std::max(columns, row.size());
  return columns;
}

void trim_right(std::string& line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
}

}  // namespace

int display_width(std::string_view text) {
  int cells = 0;
  while (!text.empty()) {
    const Glyph g = first_glyph(text);
    cells += g.cells;
    text.remove_prefix(g.bytes);
  }
  return cells;
}

std::string fit(std::string_view text, int width, Align align, bool unicode) {
  width = std::max(width, 0);
  int cells = display_width(text);
  std::string out(text);
  if (cells > width) {
    // Escape codes after the cut are kept: a reset may be among them.
    out.clear();
    int used = 0;
    bool cut = false;
    while (!text.empty()) {
      const Glyph g = first_glyph(text);
      const bool escape = text[0] == '\033';
      if (!cut && used + g.cells > width - 1 && g.cells > 0) {
        cut = true;
        if (width > 0) out += unicode ? "…" : "~";
      }
      if (!cut || escape) out += text.substr(0, g.bytes);
      if (!cut) used += g.cells;
      text.remove_prefix(g.bytes);
    }
    cells = width > 0 ? used + 1 : 0;
  }
  const int space = width - cells;
  const int before = align == Align::left ? 0 : align == Align::right ? space : space / 2;
  return std::string(static_cast<size_t>(before), ' ') + out +
         std::string(static_cast<size_t>(space - before), ' ');
}

std::string join_fields(std::span<const std::string> fields, int width) {
  std::string line;
  int cells = 0;
  for (const std::string& field : fields) {
    const int more = display_width(field) + (line.empty() ? 0 : 2);
    if (field.empty()) continue;
    if (cells + more > width) break;
    if (!line.empty()) line += "  ";
    line += field;
    cells += more;
  }
  return line;
}

bool is_numeric_column(const Table& table, size_t column) {
  bool any = false;
  for (const auto& row : table.rows) {
    const std::string_view cell = cell_of(row, column);
    if (!is_number_with_unit(cell)) return false;
    any = any || !cell.empty();
  }
  return any;
}

std::string to_text(const Table& table, const TerminalStyle& style) {
  constexpr int kGap = 2;
  constexpr int kNarrowest = 4;
  const size_t columns = column_count(table);
  std::vector<int> widths(columns, 0);
  for (size_t c = 0; c < columns; ++c) {
    widths[c] = display_width(cell_of(table.header, c));
    for (const auto& row : table.rows)
      widths[c] = std::max(widths[c], display_width(cell_of(row, c)));
  }
  int total = kGap * static_cast<int>(columns ? columns - 1 : 0);
  for (int w : widths) total += w;
  for (; total > style.width; --total) {
    auto widest = std::max_element(widths.begin(), widths.end());
    if (widest == widths.end() || *widest <= kNarrowest) break;
    --*widest;
  }

  std::string out;
  const auto bold = [&](std::string line) {
    return style.color ? fmt::format("\033[1m{}\033[0m", line) : line;
  };
  if (!table.title.empty()) out += bold(table.title) + "\n";
  std::vector<Align> align(columns);
  for (size_t c = 0; c < columns; ++c)
    align[c] = is_numeric_column(table, c) ? Align::right : Align::left;
  const auto line_of = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t c = 0; c < columns; ++c) {
      if (c) line += std::string(kGap, ' ');
      line += fit(cell_of(row, c), widths[c], align[c], style.unicode);
    }
    trim_right(line);
    return line;
  };
  if (!table.header.empty()) {
    out += bold(line_of(table.header)) + "\n";
    for (int i = 0; i < total; ++i) out += style.unicode ? "─" : "-";
    out += '\n';
  }
  for (const auto& row : table.rows) out += line_of(row) + "\n";
  return out;
}

}  // namespace cairn::plot
