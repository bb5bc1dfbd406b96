#include "cairn/io/text_file.h"

#include <fmt/format.h>

#include "cairn/io/bytes.h"
#include "cairn/io/gzip.h"
#include "cairn/io/jsonl.h"

namespace cairn::io {
namespace {

Status visit_parts(std::string_view text, const std::string& separator,
                   const std::function<Status(std::string_view)>& visit) {
  while (!text.empty()) {
    const size_t end = separator.empty() ? std::string_view::npos : text.find(separator);
    const std::string_view part = text.substr(0, end);
    if (!part.empty()) {
      if (Status status = visit(part); !status) return status;
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + separator.size());
  }
  return Nothing{};
}

}  // namespace

Status check_utf8(std::string_view text, std::string_view name) {
  const auto bad = first_invalid_utf8(text);
  if (!bad) return Nothing{};
  return read_error(name, fmt::format("byte {} (0x{:02x}) is not UTF-8 text; convert the file to "
                                      "UTF-8 (iconv), or read it as bytes",
                                      *bad, static_cast<unsigned char>(text[*bad])));
}

Status for_each_document(const std::string& path, const DocumentOptions& options,
                         const std::function<Status(std::string_view)>& visit) {
  if (path.ends_with(".jsonl") || path.ends_with(".jsonl.gz")) {
    auto reader = JsonlReader::open(path, {options.field});
    if (!reader) return reader.error();
    for (;;) {
      auto fields = reader.value().next();  // JSON is UTF-8, and its parser checks that
      if (!fields) return fields.error();
      if (!fields.value()) return Nothing{};
      Status status = visit_parts(fields.value()->front(), options.separator, visit);
      if (!status) return status;
    }
  }
  const auto bytes = map_or_gunzip(path);
  if (!bytes) return bytes.error();
  const std::string_view text = bytes.value().text();
  if (options.require_utf8) {
    if (Status status = check_utf8(text, path); !status) return status;
  }
  return visit_parts(text, options.separator, visit);
}

}  // namespace cairn::io
