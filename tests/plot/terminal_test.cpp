#include "cairn/plot/terminal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cairn::plot {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Terminal, BytesUseTheUnitThatKeepsThemShort) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes(1536ull << 20), "1.5 GiB");
  EXPECT_EQ(human_bytes(312ull << 20), "312 MiB");
  EXPECT_EQ(human_bytes((1ull << 20) - 1), "1.0 MiB");  // not "1024 KiB"
  EXPECT_EQ(human_bytes(std::numeric_limits<uint64_t>::max()), "16.0 EiB");
}

TEST(Terminal, CountsRoundBeforeTheyChooseTheUnit) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(7), "7");
  EXPECT_EQ(human_count(950), "950");
  EXPECT_EQ(human_count(0.01234), "0.0123");
  EXPECT_EQ(human_count(999.4), "999");
  EXPECT_EQ(human_count(999.6), "1.0k");
  EXPECT_EQ(human_count(12345), "12.3k");
  EXPECT_EQ(human_count(-12345), "-12.3k");
  EXPECT_EQ(human_count(99960), "100k");
  EXPECT_EQ(human_count(999960), "1.0M");
  EXPECT_EQ(human_count(45.1e6), "45.1M");
  EXPECT_EQ(human_count(1.24e9), "1.2B");
  EXPECT_EQ(human_count(3e12), "3.0T");
  EXPECT_EQ(human_count(2e17), "2e+17");
  EXPECT_EQ(human_count(kNan), "nan");
  EXPECT_EQ(human_count(-kInfinity), "-inf");
}

TEST(Terminal, DurationsReadLikeAClock) {
  EXPECT_EQ(human_duration(0), "0s");
  EXPECT_EQ(human_duration(0.00082), "820us");
  EXPECT_EQ(human_duration(0.0849), "85ms");
  EXPECT_EQ(human_duration(0.9999), "1.0s");
  EXPECT_EQ(human_duration(4.24), "4.2s");
  EXPECT_EQ(human_duration(42.4), "42s");
  EXPECT_EQ(human_duration(59.7), "1m00s");
  EXPECT_EQ(human_duration(65), "1m05s");
  EXPECT_EQ(human_duration(3599.8), "1h00m");
  EXPECT_EQ(human_duration(2 * 3600 + 3 * 60), "2h03m");
  EXPECT_EQ(human_duration(3 * 86400 + 4 * 3600), "3d04h");
  EXPECT_EQ(human_duration(-1), "--");
  EXPECT_EQ(human_duration(kNan), "--");
  EXPECT_EQ(human_duration(kInfinity), "--");
}

TEST(Terminal, EtaScalesTheElapsedTime) {
  EXPECT_EQ(eta_text(60, 120, 250), "ETA 1m05s");
  EXPECT_EQ(eta_text(60, 0, 250), "ETA --");
  EXPECT_EQ(eta_text(60, 250, 250), "ETA 0s");
  EXPECT_EQ(eta_text(60, 300, 250), "ETA 0s");
}

TEST(Terminal, ProgressBarFillsByEighths) {
  EXPECT_EQ(progress_bar(0, 4), "░░░░");
  EXPECT_EQ(progress_bar(0.5, 4), "██░░");
  EXPECT_EQ(progress_bar(0.625, 4), "██▌░");
  EXPECT_EQ(progress_bar(1, 4), "████");
  EXPECT_EQ(progress_bar(7, 4), "████");
  EXPECT_EQ(progress_bar(kNan, 4), "░░░░");
  EXPECT_EQ(progress_bar(0.5, 6, false), "[##--]");
  EXPECT_EQ(progress_bar(0.5, 0), "");
  for (int i = 0; i <= 100; ++i) EXPECT_EQ(display_width(progress_bar(i / 100.0, 7)), 7);
}

TEST(Terminal, SparklineSpansItsOwnRange) {
  const std::vector<double> up = {0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(sparkline(up, 8), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(sparkline(up, 4), "▁▃▆█");  // means of pairs
  EXPECT_EQ(sparkline(up, 8, false), "_.:-=+*#");
  EXPECT_EQ(sparkline(std::vector<double>{1, kNan, 3, kInfinity}, 9), "▁ █ ");
  EXPECT_EQ(sparkline(std::vector<double>{2, 2}, 9), "▅▅");
  EXPECT_EQ(sparkline(std::vector<double>{}, 9), "");
}

TEST(Terminal, DisplayWidthCountsCells) {
  EXPECT_EQ(display_width("plain"), 5);
  EXPECT_EQ(display_width("Größe"), 5);
  EXPECT_EQ(display_width("e\u0301"), 1);             // combining acute
  EXPECT_EQ(display_width("日本語"), 6);              // wide
  EXPECT_EQ(display_width("🙂"), 2);                  // emoji
  EXPECT_EQ(display_width("\033[31mred\033[0m"), 3);  // escape codes take none
  EXPECT_EQ(display_width("\xff\xfe"), 2);            // not UTF-8: one per byte
  EXPECT_EQ(display_width("\xe2\x82"), 2);            // cut in the middle
}

TEST(Terminal, FitPadsAndCuts) {
  EXPECT_EQ(fit("ab", 4), "ab  ");
  EXPECT_EQ(fit("ab", 4, Align::right), "  ab");
  EXPECT_EQ(fit("ab", 5, Align::center), " ab  ");
  EXPECT_EQ(fit("abcdef", 4), "abc…");
  EXPECT_EQ(fit("abcdef", 4, Align::left, false), "abc~");
  EXPECT_EQ(fit("日本語", 4), "日… ");  // a wide character that does not fit leaves a space
  EXPECT_EQ(fit("abc", 0), "");
  EXPECT_EQ(fit("\033[31mabcdef\033[0m", 3), "\033[31mab…\033[0m");
  for (int w = 0; w < 12; ++w) EXPECT_EQ(display_width(fit("日本a語b", w)), w);
}

TEST(Terminal, JoinFieldsDropsTheLastOnes) {
  const std::vector<std::string> fields = {"step 10", "loss 2.31", "", "ETA 5s"};
  EXPECT_EQ(join_fields(fields, 80), "step 10  loss 2.31  ETA 5s");
  EXPECT_EQ(join_fields(fields, 18), "step 10  loss 2.31");
  EXPECT_EQ(join_fields(fields, 17), "step 10");
  EXPECT_EQ(join_fields(fields, 3), "");
}

TEST(Terminal, TableAlignsNumbersRight) {
  Table table;
  table.header = {"tensor", "shape", "bytes"};
  table.rows = {{"wte", "[65,128]", "32.5 KiB"}, {"größe", "[8]", "32 B"}, {"日本"}};
  EXPECT_EQ(to_text(table, {}),
            "tensor  shape        bytes\n"
            "──────────────────────────\n"
            "wte     [65,128]  32.5 KiB\n"
            "größe   [8]           32 B\n"
            "日本\n");
  EXPECT_TRUE(is_numeric_column(table, 2));
  EXPECT_FALSE(is_numeric_column(table, 1));
}

TEST(Terminal, NumericColumnsAreNumbersWithAUnit) {
  const auto numeric = [](const char* cell) { return is_numeric_column({{}, {}, {{cell}}}, 0); };
  for (const char* yes :
       {"12", "-3e-4", "1.5 GiB", "98.1 %", "12.3k", "310/s", "nan", "1,024", "--"})
    EXPECT_TRUE(numeric(yes)) << yes;
  for (const char* no : {"", "f32", "32x32", "[1,2]", "v1.2", "4 heads, 2 layers", "e5", "-x"})
    EXPECT_FALSE(numeric(no)) << no;
}

TEST(Terminal, TableCutsItsWidestColumns) {
  Table table;
  table.title = "t";
  table.header = {"name", "note"};
  table.rows = {{"abc", std::string(100, 'x')}};
  const std::string text = to_text(table, {.width = 20, .unicode = false});
  EXPECT_EQ(text,
            "t\n"
            "name  note\n"
            "--------------------\n"
            "abc   xxxxxxxxxxxxx~\n");
  EXPECT_EQ(to_text(Table{}, {}), "");
}

}  // namespace
}  // namespace cairn::plot
