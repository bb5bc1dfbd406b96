#include "cairn/plot/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "cairn/io/image.h"
#include "cairn/plot/markup.h"

namespace cairn::plot {
namespace {

constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--page:#f3f5f7;--paper:#fff;--ink:#1f2933;--soft:#6b7684;--line:#e3e7eb;--accent:#2563eb}
@media(prefers-color-scheme:dark){:root{--page:#0d0f13;--paper:#16191f;--ink:#e6e9ed;--soft:#98a2b0;--line:#272c35;--accent:#60a5fa}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:66rem;margin:0 auto;padding:clamp(1rem,4vw,3rem) clamp(.75rem,3vw,2rem)}
header{margin-bottom:1.75rem;border-left:4px solid var(--accent);padding-left:1rem}
h1{margin:0;font-size:clamp(1.5rem,4.5vw,2.1rem);line-height:1.2;letter-spacing:-.015em;overflow-wrap:anywhere}
header p{margin:.35rem 0 0;color:var(--soft)}
h2{margin:2.25rem 0 .8rem;font-size:1.1rem;letter-spacing:-.005em}
h3{margin:0 0 .5rem;font-size:.85rem;font-weight:600;color:var(--soft)}
.card,.cards>div{background:var(--paper);border:1px solid var(--line);border-radius:10px}
.card{padding:1rem;margin:0 0 .8rem;overflow:hidden}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(13rem,45%),1fr));gap:.8rem;margin:0}
.cards>div{padding:.75rem 1rem}
.cards dt{font-size:.78rem;color:var(--soft)}
.cards dd{margin:.1rem 0 0;font-size:1.3rem;font-weight:600;letter-spacing:-.01em;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:.8rem}
.charts>.card{margin:0;padding:.35rem}
.charts>.wide{grid-column:1/-1}
.charts>.narrow{display:none}
@media(max-width:40rem){.charts>.wide{display:none}.charts>.narrow{display:block}}
.charts svg{display:block}
.charts>.card>svg{width:100%}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));gap:.8rem}
figure{margin:0}
figure img{display:block;width:100%;max-height:40rem;object-fit:contain;border-radius:6px}
.pixels{image-rendering:pixelated}
figcaption{margin-top:.6rem;font-size:.85rem;color:var(--soft)}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:.86rem/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.card.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.4rem .75rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);white-space:nowrap}
tbody tr:last-child td{border-bottom:0}
.n{text-align:right;white-space:nowrap}
summary{cursor:pointer;font-weight:600;font-size:.9rem}
details[open]>summary{margin-bottom:.75rem}
.facts{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.3rem 1.25rem;margin:0;font-size:.9rem}
.facts dt{color:var(--soft)}
.facts dd{margin:0;overflow-wrap:anywhere}
footer{margin-top:2.5rem;font-size:.82rem;color:var(--soft)}
@media print{body{background:none}.card,.cards>div{break-inside:avoid}}
)css";

std::string facts(const std::vector<Report::KeyValue>& list, std::string_view kind) {
  std::string out = fmt::format("<dl class=\"{}\">\n", kind);
  const bool wrapped = kind == "cards";
  for (const auto& [key, value] : list)
    out += fmt::format("{}<dt>{}</dt><dd>{}</dd>{}\n", wrapped ? "<div>" : "", escaped(key),
                       escaped(value), wrapped ? "</div>" : "");
  return out + "</dl>\n";
}

std::string table_html(const Table& table) {
  size_t columns = table.header.size();
  for (const auto& row : table.rows) columns = std::max(columns, row.size());
  std::vector<std::string_view> classes;
  for (size_t c = 0; c < columns; ++c)
    classes.push_back(is_numeric_column(table, c) ? " class=\"n\"" : "");
  const auto row_html = [&](const std::vector<std::string>& row, std::string_view tag) {
    std::string out = "<tr>";
    for (size_t c = 0; c < columns; ++c)
      out += fmt::format("<{0}{1}>{2}</{0}>", tag, classes[c],
                         c < row.size() ? escaped(row[c]) : std::string());
    return out + "</tr>\n";
  };
  std::string out;
  if (!table.title.empty()) out += fmt::format("<h2>{}</h2>\n", escaped(table.title));
  out += "<div class=\"card scroll\"><table>\n";
  if (!table.header.empty()) out += "<thead>" + row_html(table.header, "th") + "</thead>\n";
  out += "<tbody>\n";
  for (const auto& row : table.rows) out += row_html(row, "td");
  return out + "</tbody></table></div>\n";
}

std::string picture_html(const Report::Picture& picture) {
  // A small image is enlarged: as squares, since smoothing would hide what its pixels are.
  const bool small = picture.image.shape().rank() > 1 && picture.image.shape()[1] < 400;
  std::string caption;
  if (!picture.caption.empty())
    caption = fmt::format("<figcaption>{}</figcaption>", escaped(picture.caption));
  return fmt::format(
      "<figure class=\"card\"><img{} alt=\"{}\" src=\"data:image/png;base64,{}\">{}</figure>\n",
      small ? " class=\"pixels\"" : "", escaped(picture.caption),
      base64(io::encode_png(picture.image)), caption);
}

std::string text_html(const Report::Text& text) {
  std::string title;
  if (!text.title.empty()) title = fmt::format("<h3>{}</h3>", escaped(text.title));
  return fmt::format("<div class=\"card\">{}<pre>{}</pre></div>\n", title, escaped(text.text));
}

// The first chart takes the whole width, and so does a single other one. Shrunk to a phone its text
// would be 4 pixels high, so there is a second rendering for narrow screens.
std::string chart_html(const Chart& chart, bool wide) {
  const std::string small = to_svg(chart, {440, 300});
  if (!wide) return fmt::format("<div class=\"card\">{}</div>\n", small);
  return fmt::format("<div class=\"card wide\">{}</div>\n<div class=\"card narrow\">{}</div>\n",
                     to_svg(chart, {960, 380}), small);
}

}  // namespace

std::string to_html(const Report& report) {
  const std::string title = escaped(report.title);
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n<header><h1>{}</h1>",
      "default-src 'none'; style-src 'unsafe-inline'; img-src data:", title, kStyle, title);
  if (!report.subtitle.empty()) out += fmt::format("<p>{}</p>", escaped(report.subtitle));
  out += "</header>\n";
  if (!report.summary.empty()) out += facts(report.summary, "cards");
  if (!report.charts.empty()) {
    out += fmt::format("<h2>{}</h2>\n<div class=\"charts\">\n", escaped(report.charts_title));
    for (size_t i = 0; i < report.charts.size(); ++i)
      out += chart_html(report.charts[i], i == 0 || report.charts.size() == 2);
    out += "</div>\n";
  }
  if (!report.samples.empty()) out += "<h2>Samples</h2>\n";
  for (const Report::Text& sample : report.samples) out += text_html(sample);
  if (!report.pictures.empty()) {
    out += "<h2>Pictures</h2>\n<div class=\"pictures\">\n";
    for (const Report::Picture& picture : report.pictures) out += picture_html(picture);
    out += "</div>\n";
  }
  for (const Table& table : report.tables) out += table_html(table);
  if (!report.configuration.empty())
    out += fmt::format(
        "<h2>Configuration</h2>\n"
        "<details class=\"card\"><summary>As it ran</summary><pre>{}</pre></details>\n",
        escaped(report.configuration));
  if (!report.machine.empty())
    out += "<h2>Machine</h2>\n<div class=\"card\">" + facts(report.machine, "facts") + "</div>\n";
  if (!report.footer.empty()) out += fmt::format("<footer>{}</footer>\n", escaped(report.footer));
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace cairn::plot
