// Text for terminals: numbers for people, durations, bars, sparklines, tables.
//
// Every function is pure and returns a string; nothing here prints, asks for the terminal's size or
// reads the environment. Whether there is colour or Unicode is the caller's decision.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::plot {

// What a picture in a terminal may use. Width and height are in character cells and bound the whole
// block of text, axes and title included; each picture says what smallest size it falls back to.
struct TerminalStyle {
  int width = 72;
  int height = 18;
  bool unicode = true;  // false: ASCII only
  bool color = false;   // ANSI escape codes
};

// --- Numbers and times ---------------------------------------------------------------------------

// "512 B", "1.5 GiB", "312 MiB". One decimal below 100, none above.
std::string human_bytes(uint64_t bytes);
// "7", "950", "12.3k", "45.1M", "1.2B", "3.0T"; below 1000 three significant digits ("0.0123").
// NaN is "nan"; infinity "inf".
std::string human_count(double value);
// At most `digits` significant digits, without needless zeros: "0.6931", "1.2e-05", "nan".
std::string short_number(double value, int digits = 4);
// "820us", "85ms", "4.2s", "42s", "1m05s", "2h03m", "3d04h"; "--" for a negative or non-finite one.
std::string human_duration(double seconds);
// "ETA 1m05s" when `done` of `total` took `elapsed_seconds`; "ETA --" before the first.
std::string eta_text(double elapsed_seconds, double done, double total);

// --- Small drawings ------------------------------------------------------------------------------

// A bar of `width` cells of which `fraction` (clamped to [0, 1]) is filled: "███▌░░░░" or
// "[###---]".
std::string progress_bar(double fraction, int width, bool unicode = true);
// A line of bars, one cell each, at most `width` of them: the values in order, averaged in groups
// where there are more. Scaled from the smallest to the largest; what is not finite is a space.
std::string sparkline(std::span<const double> values, int width, bool unicode = true);

// --- Text in cells -------------------------------------------------------------------------------

// Cells that valid UTF-8 text takes in a terminal, by simple rules: 0 for combining marks, joiners,
// variation selectors and ANSI escape codes, 2 for the wide East Asian blocks and emoji, else 1.
int display_width(std::string_view text);
enum class Align { left, right, center };
// Padded with spaces, or cut with "…" (ASCII: "~"), to exactly `width` cells.
std::string fit(std::string_view text, int width, Align align = Align::left, bool unicode = true);
// As many of the fields, in order, as fit in `width` cells with two spaces between: a progress line
// whose least important fields stand last.
std::string join_fields(std::span<const std::string> fields, int width);

// Rows may be shorter than the header; longer ones extend it.
struct Table {
  std::string title;
  std::vector<std::string> header;  // may be empty
  std::vector<std::vector<std::string>> rows;
};
// True when a column's cells are numbers with an optional unit ("12", "1.5 GiB", "-3e-4", "98.1 %",
// "--", ""): such columns are aligned to the right.
bool is_numeric_column(const Table& table, size_t column);
// Columns two spaces apart, a rule under the header, each line without trailing spaces and ended by
// '\n'. When the table is wider than style.width the widest columns are cut, to 4 cells at least.
std::string to_text(const Table& table, const TerminalStyle& style);

}  // namespace cairn::plot
