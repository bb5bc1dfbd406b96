#include "cairn/plot/report.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "cairn/io/image.h"
#include "cairn/plot/markup.h"
#include "tests/plot/markup_check.h"

namespace cairn::plot {
namespace {

// Decodes what base64() writes, by its definition (RFC 4648, section 4).
std::string decoded(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int have = 0;
  for (char c : text.substr(0, text.find('='))) {
    bits = bits << 6 | static_cast<uint32_t>(kDigits.find(c));
    have += 6;
    if (have >= 8) {
      have -= 8;
      bytes += static_cast<char>(bits >> have);
      bits &= (1u << have) - 1;
    }
  }
  return bytes;
}

Report full_report() {
  Report report;
  report.title = "Run";
  report.subtitle = "of today";
  report.summary = {{"loss", "1.5"}, {"steps", "2000"}};
  Chart chart;
  chart.title = "Loss";
  chart.series = {{"train", {0, 1}, {2, 1}}};
  report.charts = {chart, chart};
  report.pictures = {
      {"digit", HostArray::from<uint8_t>(std::vector<uint8_t>{0, 50, 100, 150, 200, 250}, {2, 3})}};
  report.samples = {{"ROMEO:", "Good night,\n  good night!"}};
  report.tables = {{"Evaluation", {"step", "note"}, {{"10", "best"}, {"20"}}}};
  report.configuration = "[model]\nfamily = \"llama\"\n";
  report.machine = {{"Processor", "x86-64"}};
  report.footer = "the end";
  return report;
}

TEST(Markup, Escapes) {
  EXPECT_EQ(escaped("a<b & \"c\" > 'd'"), "a&lt;b &amp; &quot;c&quot; &gt; &#39;d&#39;");
  EXPECT_EQ(escaped("Größe 日本 🙂\n\t"), "Größe 日本 🙂\n\t");
  // What XML forbids or is not UTF-8: controls, a lone byte, a cut character, an overlong form, a
  // surrogate.
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(escaped(std::string_view("\0\x1b\x7f", 3)), bad + bad + bad);
  EXPECT_EQ(escaped("a\xff"), "a" + bad);
  EXPECT_EQ(escaped("\xe2\x82"), bad + bad);
  EXPECT_EQ(escaped("\xc0\xbc"), bad + bad);
  EXPECT_EQ(escaped("\xed\xa0\x80"), bad + bad + bad);
}

TEST(Markup, Base64) {
  // The vectors of RFC 4648, section 10.
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xff\xfe\x80"), "//6A");
}

TEST(Report, IsOneWellFormedPageThatFetchesNothing) {
  const std::string html = to_html(full_report());
  EXPECT_EQ(test::markup_problem(html), "");
  EXPECT_TRUE(html.starts_with("<!doctype html>"));
  EXPECT_NE(html.find("<meta charset=\"utf-8\">"), std::string::npos);
  EXPECT_NE(html.find("name=\"viewport\""), std::string::npos);
  EXPECT_NE(html.find("prefers-color-scheme:dark"), std::string::npos);
  EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
  for (const char* absent :
       {"<script", "<link", "href=", "@import", "url(", "https:", "src=\"http"})
    EXPECT_EQ(html.find(absent), std::string::npos) << absent;
}

TEST(Report, ShowsEveryPart) {
  const std::string html = to_html(full_report());
  for (const char* part :
       {"<title>Run</title>", "<h1>Run</h1><p>of today</p>", "<dt>loss</dt><dd>1.5</dd>",
        "aria-label=\"Loss\"", "<h3>ROMEO:</h3><pre>Good night,\n  good night!</pre>",
        "<h2>Evaluation</h2>", "<th class=\"n\">step</th><th>note</th>",
        "<td class=\"n\">20</td><td></td>", "<pre>[model]\nfamily = &quot;llama&quot;\n</pre>",
        "<dt>Processor</dt><dd>x86-64</dd>", "<figcaption>digit</figcaption>",
        "<footer>the end</footer>"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
}

TEST(Report, PicturesAreInside) {
  const Report report = full_report();
  const std::string html = to_html(report);
  const std::string_view prefix = "src=\"data:image/png;base64,";
  const size_t at = html.find(prefix);
  ASSERT_NE(at, std::string::npos);
  const size_t start = at + prefix.size();
  const std::string png = decoded(html.substr(start, html.find('"', start) - start));
  const auto image = io::decode_image(std::as_bytes(std::span(png)), "picture");
  ASSERT_TRUE(image.ok()) << image.error().what();
  const auto expected = report.pictures[0].image.span<uint8_t>();
  ASSERT_EQ(image.value().elements(), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(image.value().span<uint8_t>()[i], expected[i]);
}

TEST(Report, EscapesEveryText) {
  const std::string evil = "</title></pre></style><script>alert(1)</script>\"'><img src=x>";
  Report report;
  report.title = report.subtitle = report.configuration = report.footer = evil;
  report.summary = report.machine = {{evil, evil}};
  report.samples = {{evil, evil}};
  report.tables = {{evil, {evil}, {{evil}}}};
  report.pictures = {{evil, HostArray::from<uint8_t>(std::vector<uint8_t>{1}, {1, 1})}};
  Chart chart;
  chart.title = chart.x_label = chart.y_label = evil;
  chart.series = {{evil, {1}, {1}}};
  report.charts = {chart};
  const std::string html = to_html(report);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("src=x>"), std::string::npos);
  EXPECT_EQ(test::markup_problem(html), "");
}

TEST(Report, EmptyPartsAreLeftOut) {
  Report report;
  report.title = "Nothing yet";
  const std::string html = to_html(report);
  EXPECT_EQ(test::markup_problem(html), "");
  for (const char* absent : {"<h2>", "<dl", "<table", "<figure", "<footer", "<details", "<svg"})
    EXPECT_EQ(html.find(absent), std::string::npos) << absent;
}

TEST(Report, BadPartsAreErrors) {
  Report report = full_report();
  report.pictures[0].image = HostArray(DType::f32, {2, 3});
  EXPECT_THROW(to_html(report), Error);
  report = full_report();
  report.charts[0].series[0].ys.pop_back();
  EXPECT_THROW(to_html(report), Error);
}

TEST(MarkupCheck, FindsMistakes) {
  EXPECT_EQ(test::markup_problem("<a x=\"1\">t &amp; u<br/></a>"), "");
  for (const char* bad : {"<a>", "<a></b>", "</a>", "a & b", "a > b", "<a x=\"<\"></a>", "<a"})
    EXPECT_NE(test::markup_problem(bad), "") << bad;
}

}  // namespace
}  // namespace cairn::plot
