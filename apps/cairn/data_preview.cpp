// A look into a file of data: the first documents, rows or pictures, and what is in all of it.
#include "apps/cairn/data_preview.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "apps/cairn/arrays.h"
#include "apps/cairn/json.h"
#include "cairn/io/csv.h"
#include "cairn/io/idx.h"
#include "cairn/io/image.h"
#include "cairn/io/lines.h"
#include "cairn/io/npy.h"
#include "cairn/io/probe.h"
#include "cairn/io/tar.h"
#include "cairn/io/text_file.h"
#include "cairn/ops/printing.h"
#include "cairn/plot/pixels.h"
#include "cairn/text/utf8.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

// --- documents -----------------------------------------------------------------------------------

// The beginning of a document in at most `lines` lines.
std::string excerpt(std::string_view text, int lines, int width, bool unicode) {
  std::string out;
  for (int i = 0; i < lines && !text.empty(); ++i) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    // Tabs are as wide as the terminal likes; a space keeps the cut right.
    std::string shown(line.substr(0, 4 * static_cast<size_t>(width)));
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return static_cast<unsigned char>(c) < 32; }, ' ');
    shown = text::replace_invalid_utf8(shown);
    out += "  " +
           (plot::display_width(shown) > width - 2
                ? plot::fit(shown, width - 2, plot::Align::left, unicode)
                : shown) +
           "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (!text.empty()) out += unicode ? "  …\n" : "  ...\n";
  return out;
}

// Of a .jsonl file: the field asked for; else "text" where the first line has it, else the first
// that holds text.
std::string field_of(const PreviewOptions& options) {
  if (options.field) return *options.field;
  auto lines = io::LineReader::open(options.file).value();
  const auto line = lines.next().value();
  if (!line) return "text";
  const Json json = Json::parse(line->begin(), line->end(), nullptr, false);
  if (!json.is_object() || json.contains("text")) return "text";
  for (const auto& [key, value] : json.items())
    if (value.is_string()) return key;
  return "text";
}

int preview_documents(const PreviewOptions& options, Session& session) {
  io::DocumentOptions reading;
  if (options.file.ends_with(".jsonl") || options.file.ends_with(".jsonl.gz"))
    reading.field = field_of(options);
  reading.separator = options.separator;
  const int64_t wanted = options.rows.value_or(3);
  int64_t count = 0;
  uint64_t bytes = 0, longest = 0;
  std::vector<std::string> shown;
  Progress progress = session.progress();
  io::for_each_document(options.file, reading, [&](std::string_view document) -> Status {
    if (count >= options.start && static_cast<int64_t>(shown.size()) < wanted) {
      constexpr size_t kEnough = 4096;  // more than any terminal shows of it
      shown.emplace_back(document.substr(0, session.common.json ? document.size() : kEnough));
    }
    ++count;
    bytes += document.size();
    longest = std::max<uint64_t>(longest, document.size());
    progress.update(
        [&] { return fmt::format("{} documents, {}", count, plot::human_bytes(bytes)); });
    return Nothing{};
  }).value();
  progress.clear();
  if (session.common.json) {
    print_json(session.out, {{"kind", "documents"},
                             {"documents", count},
                             {"bytes", bytes},
                             {"longest_bytes", longest},
                             {"start", options.start},
                             {"preview", shown}});
    return 0;
  }
  session.out.line(
      fmt::format("{}: {} document{}, {}{}", session.out_terminal.bold(options.file), count,
                  count == 1 ? "" : "s", plot::human_bytes(bytes),
                  count > 1 ? fmt::format("; on average {}, the longest {}",
                                          plot::human_bytes(bytes / static_cast<uint64_t>(count)),
                                          plot::human_bytes(longest))
                            : ""));
  const int width = std::min(session.out_terminal.width, 100);
  const int lines = std::clamp(24 / static_cast<int>(std::max<size_t>(shown.size(), 1)), 3, 20);
  for (size_t i = 0; i < shown.size(); ++i) {
    session.out.line("");
    if (count > 1)
      session.out.line(session.out_terminal.dim(
          fmt::format("document {}", options.start + static_cast<int64_t>(i))));
    session.out.write(excerpt(shown[i], lines, width, session.out_terminal.unicode));
  }
  return 0;
}

// --- tables --------------------------------------------------------------------------------------

// "4.3 to 7.9, mean 5.84" for numbers, "3 values: a, b, c" for words.
std::string column_summary(const io::CsvTable& table, int column) {
  if (const auto numbers = table.numbers(std::span(&column, 1))) {
    const ArraySummary s = summarize(numbers.value());
    if (s.finite == 0) return "no number";
    return fmt::format("{} to {}, mean {}", plot::short_number(s.least),
                       plot::short_number(s.greatest), plot::short_number(s.mean));
  }
  std::map<std::string_view, int64_t> counts;
  for (int64_t row = 0; row < table.rows(); ++row) ++counts[table.cell(row, column)];
  std::vector<std::pair<std::string_view, int64_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> most;
  for (size_t i = 0; i < std::min<size_t>(sorted.size(), 4); ++i)
    most.push_back(fmt::format("{} ({})", sorted[i].first, sorted[i].second));
  return fmt::format("{} values: {}{}", counts.size(), fmt::join(most, ", "),
                     counts.size() > most.size() ? ", ..." : "");
}

int preview_csv(const PreviewOptions& options, Session& session) {
  const io::CsvTable table = io::read_csv(options.file).value();
  const int64_t end = std::min(table.rows(), options.start + options.rows.value_or(8));
  std::vector<std::string> header = table.header();
  plot::Table rows{"", header, {}};
  for (int64_t row = std::min(options.start, table.rows()); row < end; ++row) {
    std::vector<std::string> cells;
    for (int column = 0; column < table.columns(); ++column)
      cells.emplace_back(table.cell(row, column));
    rows.rows.push_back(std::move(cells));
  }
  if (session.common.json) {
    print_json(session.out, {{"kind", "csv"},
                             {"rows", table.rows()},
                             {"columns", header},
                             {"start", options.start},
                             {"preview", rows.rows}});
    return 0;
  }
  const auto style = session.out_terminal.table_style();
  session.out.line(fmt::format("{}: {} rows, {} columns\n", session.out_terminal.bold(options.file),
                               table.rows(), table.columns()));
  session.out.write(plot::to_text(rows, style));
  session.out.line("");
  plot::Table summary{"", {"column", "holds"}, {}};
  constexpr int kMostColumns = 40;
  for (int column = 0; column < std::min(table.columns(), kMostColumns); ++column)
    summary.rows.push_back({header[static_cast<size_t>(column)], column_summary(table, column)});
  session.out.write(plot::to_text(summary, style));
  if (table.columns() > kMostColumns)
    session.out.line(fmt::format("and {} columns more", table.columns() - kMostColumns));
  return 0;
}

// --- arrays --------------------------------------------------------------------------------------

Json summary_json(const HostArray& array) {
  const ArraySummary s = summarize(array);
  const Shape& shape = array.shape();
  Json result = {{"dtype", name(array.dtype())},
                 {"shape", std::vector<int64_t>(shape.begin(), shape.end())},
                 {"not_finite", s.elements - s.finite}};
  if (s.finite > 0)
    result.update(
        {{"min", s.least}, {"max", s.greatest}, {"mean", s.mean}, {"deviation", s.deviation}});
  return result;
}

// How the values spread, as a row of bars.
std::string histogram(const HostArray& array, const ArraySummary& s,
                      const plot::TerminalStyle& style) {
  constexpr int kBins = 40;
  if (s.finite == 0 || s.least == s.greatest) return "";
  std::vector<double> counts(kBins, 0.0);
  for (int64_t i = 0; i < array.elements(); ++i) {
    const double x = array.at(i);
    if (!std::isfinite(x)) continue;
    const int bin = static_cast<int>((x - s.least) / (s.greatest - s.least) * kBins);
    ++counts[static_cast<size_t>(std::clamp(bin, 0, kBins - 1))];
  }
  return fmt::format("{} {} {}\n", plot::short_number(s.least),
                     plot::sparkline(counts, kBins, style.unicode), plot::short_number(s.greatest));
}

void print_array(const std::string& title, const HostArray& array, Session& session) {
  const ArraySummary s = summarize(array);
  session.out.line(fmt::format("{}: {}{}", session.out_terminal.bold(title), name(array.dtype()),
                               to_string(array.shape())));
  if (s.finite > 0)
    session.out.line(fmt::format("mean {}, deviation {}, {} NaN or infinite",
                                 plot::short_number(s.mean), plot::short_number(s.deviation),
                                 s.elements - s.finite));
  session.out.write(histogram(array, s, session.out_terminal.style()));
  if (array.elements() > 0) session.out.line(to_string(Tensor(array)));
}

int preview_npy(const PreviewOptions& options, Session& session) {
  const HostArray array = io::read_npy(options.file).value();
  if (session.common.json) {
    Json result = {{"kind", "npy"}};
    result.update(summary_json(array));
    print_json(session.out, result);
  } else {
    print_array(options.file, array, session);
  }
  return 0;
}

int preview_npz(const PreviewOptions& options, Session& session) {
  const io::NpzFile file = io::NpzFile::open(options.file).value();
  Json arrays = Json::object();
  for (const std::string& member : file.names()) {
    const HostArray array = file.read(member).value();
    if (session.common.json) {
      arrays[member] = summary_json(array);
    } else {
      print_array(member, array, session);
      session.out.line("");
    }
  }
  if (session.common.json) print_json(session.out, {{"kind", "npz"}, {"arrays", arrays}});
  return 0;
}

// --- pictures ------------------------------------------------------------------------------------

// u8 pictures [count, height, width] side by side, with a gap of one pixel.
HostArray strip(const HostArray& images, int64_t first, int64_t count) {
  const int64_t height = images.shape()[1], width = images.shape()[2];
  HostArray result(DType::u8, {height, count * (width + 1) - 1});
  const auto in = images.span<uint8_t>();
  const auto out = result.mutable_span<uint8_t>();
  std::fill(out.begin(), out.end(), uint8_t{0});
  const int64_t stride = count * (width + 1) - 1;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t y = 0; y < height; ++y)
      std::memcpy(out.data() + y * stride + i * (width + 1),
                  in.data() + ((first + i) * height + y) * width, static_cast<size_t>(width));
  return result;
}

// "train-labels-idx1-ubyte.gz" beside "train-images-idx3-ubyte.gz", when it is there.
std::optional<HostArray> labels_beside(const std::string& file) {
  std::string path = file;
  const size_t at = path.rfind("images-idx3");
  if (at == std::string::npos) return std::nullopt;
  path.replace(at, 11, "labels-idx1");
  std::error_code failure;
  if (!fs::exists(path, failure)) return std::nullopt;
  auto labels = io::read_idx(path);
  if (!labels || labels.value().shape().rank() != 1) return std::nullopt;
  return std::move(labels).value();
}

void print_pictures(const PreviewOptions& options, const HostArray& images, Session& session) {
  const int64_t width = images.shape()[2];
  const auto style = session.out_terminal.style(160, 40);
  const int64_t per_row = std::max<int64_t>((style.width + 1) / (width + 1), 1);
  const int64_t end =
      std::min(images.shape()[0], options.start + options.rows.value_or(2 * per_row));
  const auto labels = labels_beside(options.file);
  for (int64_t first = options.start; first < end; first += per_row) {
    const int64_t count = std::min(per_row, end - first);
    session.out.line("");
    session.out.write(plot::image_to_text(strip(images, first, count), style));
    std::string line;
    for (int64_t i = first; i < first + count; ++i) {
      std::string text = fmt::format("{}", i);
      if (labels && i < labels->elements()) text += fmt::format(": {}", labels->at(i));
      line += plot::fit(text, static_cast<int>(std::min<int64_t>(width, style.width)) + 1,
                        plot::Align::left, style.unicode);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    session.out.line(session.out_terminal.dim(line));
  }
}

int preview_idx(const PreviewOptions& options, Session& session) {
  const HostArray array = io::read_idx(options.file).value();
  if (session.common.json) {
    Json result = {{"kind", "idx"}};
    result.update(summary_json(array));
    print_json(session.out, result);
    return 0;
  }
  const bool pictures =
      array.shape().rank() == 3 && array.dtype() == DType::u8 && array.elements() > 0;
  if (!pictures) {
    print_array(options.file, array, session);
    return 0;
  }
  session.out.line(fmt::format("{}: {} pictures of {} x {}",
                               session.out_terminal.bold(options.file), array.shape()[0],
                               array.shape()[2], array.shape()[1]));
  print_pictures(options, array, session);
  return 0;
}

int preview_image(const PreviewOptions& options, io::FileKind kind, Session& session) {
  const HostArray image = io::read_image(options.file).value();
  if (session.common.json) {
    Json result = {{"kind", io::name(kind)}};
    result.update(summary_json(image));
    print_json(session.out, result);
    return 0;
  }
  const Shape& shape = image.shape();
  session.out.line(fmt::format("{}: {}, {} x {}, {} channel{}",
                               session.out_terminal.bold(options.file), io::name(kind), shape[1],
                               shape[0], shape[2], shape[2] == 1 ? "" : "s"));
  session.out.write(plot::image_to_text(image, session.out_terminal.style(160, 60)));
  return 0;
}

int preview_tar(const PreviewOptions& options, Session& session) {
  const io::TarFile file = io::TarFile::open(options.file).value();
  const auto count = static_cast<int64_t>(file.entries().size());
  const int64_t end = std::min(count, options.start + options.rows.value_or(10));
  Json entries = Json::array();
  plot::Table table{"", {"entry", "size"}, {}};
  for (int64_t i = options.start; i < end; ++i) {
    const io::TarEntry& entry = file.entries()[static_cast<size_t>(i)];
    entries.push_back({{"name", entry.name}, {"bytes", entry.size}});
    table.rows.push_back({entry.name, plot::human_bytes(entry.size)});
  }
  if (session.common.json) {
    print_json(
        session.out,
        {{"kind", "tar"}, {"entries", count}, {"start", options.start}, {"preview", entries}});
    return 0;
  }
  session.out.line(fmt::format("{}: {} entries\n", session.out_terminal.bold(options.file), count));
  session.out.write(plot::to_text(table, session.out_terminal.table_style()));
  return 0;
}

}  // namespace

int preview(const PreviewOptions& options, Session& session) {
  std::error_code failure;
  if (fs::is_directory(options.file, failure))
    throw_error(fmt::format("'{}' is a folder; `cairn data list {}` lists its files", options.file,
                            options.file));
  const io::FileProbe probe = io::probe_file(options.file).value();
  using io::FileKind;
  std::string name = options.file;
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  if (name.ends_with(".csv")) return preview_csv(options, session);
  switch (probe.kind) {
    case FileKind::idx: return preview_idx(options, session);
    case FileKind::npy: return preview_npy(options, session);
    case FileKind::npz: return preview_npz(options, session);
    case FileKind::png:
    case FileKind::jpeg:
    case FileKind::pnm: return preview_image(options, probe.kind, session);
    case FileKind::tar: return preview_tar(options, session);
    case FileKind::json:
    case FileKind::text:
    case FileKind::toml:
    case FileKind::graph: return preview_documents(options, session);
    case FileKind::safetensors:
    case FileKind::llama2c:
    case FileKind::gguf:
    case FileKind::zip:
      throw_error(fmt::format("'{}' holds weights ({}), not data; `cairn inspect {}` shows them",
                              options.file, io::name(probe.kind), options.file));
    case FileKind::unknown: break;
  }
  throw_error(
      fmt::format("'{}' is no data that cairn reads; `cairn data list` says which kinds those are",
                  options.file));
}

}  // namespace cairn::app
