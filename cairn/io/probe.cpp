#include "cairn/io/probe.h"

#include <cctype>

#include "cairn/io/bytes.h"
#include "cairn/io/gzip.h"
#include "cairn/io/image.h"
#include "cairn/io/llama2c.h"

namespace cairn::io {
namespace {

constexpr size_t kHead = 1 << 16;

bool is_safetensors(std::string_view head, std::optional<uint64_t> size) {
  if (head.size() < 10) return false;
  uint64_t header;
  std::memcpy(&header, head.data(), 8);
  return head[8] == '{' && header >= 2 && header <= 100'000'000 && (!size || header <= *size - 8);
}

// Two zeros, a type, a rank, and as many bytes as the sizes say.
bool is_idx(std::string_view head, std::optional<uint64_t> size) {
  if (head.size() < 8 || head[0] != 0 || head[1] != 0) return false;
  const int code = static_cast<unsigned char>(head[2]);
  if (code != 8 && code != 9 && (code < 0xb || code > 0xe)) return false;
  constexpr uint64_t kSizes[] = {1, 1, 0, 2, 4, 4, 8};
  uint64_t bytes = kSizes[code - 8];
  const auto rank = static_cast<unsigned char>(head[3]);
  if (rank == 0 || head.size() < 4u + 4u * rank) return false;
  for (int i = 0; i < rank; ++i) {
    uint32_t big;
    std::memcpy(&big, head.data() + 4 + 4 * i, 4);
    if (__builtin_mul_overflow(bytes, byte_swapped(big), &bytes)) return false;
  }
  return !size || *size == 4u + 4u * rank + bytes;
}

bool is_npz(std::string_view head) {
  if (head.size() < 30) return false;
  uint16_t name_bytes;
  std::memcpy(&name_bytes, head.data() + 26, 2);
  return head.substr(30, name_bytes).ends_with(".npy");
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }

// From the first character that is neither white space nor in a comment line.
std::string_view without_comments(std::string_view text, std::string_view mark) {
  for (;;) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    if (!text.starts_with(mark)) return text;
    text.remove_prefix(std::min(text.find('\n'), text.size()));
  }
}

// "[table]" or "key =" begins a TOML document.
bool is_toml(std::string_view text) {
  text = without_comments(text, "#");
  const bool table = text.starts_with('[');
  while (text.starts_with('[')) text.remove_prefix(1);
  if (text.empty() || !std::isalpha(static_cast<unsigned char>(text.front()))) return false;
  while (!text.empty() && (is_word(text.front()) || text.front() == '.')) text.remove_prefix(1);
  if (table) {
    if (!text.starts_with(']')) return false;
    text.remove_prefix(std::min(text.find_first_not_of("] \t\r"), text.size()));
    return text.empty() || text.front() == '\n' || text.front() == '#';
  }
  while (text.starts_with(' ')) text.remove_prefix(1);
  return text.starts_with('=') && !text.starts_with("==");
}

// An object's first key, or a list's first value, follows the bracket.
bool is_json(std::string_view text) {
  if (text.empty() || (text[0] != '{' && text[0] != '[')) return false;
  const bool object = text[0] == '{';
  text.remove_prefix(1);
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  if (text.empty()) return false;
  const char c = text.front();
  if (object) return c == '"' || c == '}';
  return c == '{' || c == '[' || c == ']' || c == '"' || c == '-' || (c >= '0' && c <= '9') ||
         text.starts_with("true") || text.starts_with("false") || text.starts_with("null");
}

bool is_text(std::string_view head) {
  if (head.find('\0') != std::string_view::npos) return false;
  const auto bad = first_invalid_utf8(head);
  // The end of the head may cut a character.
  return !bad || (head.size() == kHead && head.size() - *bad < 4);
}

FileKind kind_of(std::span<const std::byte> bytes, std::optional<uint64_t> size,
                 std::string_view file_name) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (head.starts_with("GGUF")) return FileKind::gguf;
  if (head.starts_with("\x93NUMPY")) return FileKind::npy;
  if (is_png(bytes)) return FileKind::png;
  if (is_jpeg(bytes)) return FileKind::jpeg;
  if (head.starts_with("PK\x03\x04") || head.starts_with("PK\x05\x06"))
    return is_npz(head) ? FileKind::npz : FileKind::zip;
  if (is_safetensors(head, size)) return FileKind::safetensors;
  if (head.size() >= 512 && head.substr(257, 5) == "ustar") return FileKind::tar;
  if (is_idx(head, size)) return FileKind::idx;
  if (size && looks_like_llama2c(bytes, *size)) return FileKind::llama2c;
  if (is_pnm(bytes)) return FileKind::pnm;
  if (!is_text(head)) return FileKind::unknown;
  std::string_view text = head;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (file_name.ends_with(".toml")) return FileKind::toml;
  if (file_name.ends_with(".jinja")) return FileKind::text;  // whatever it begins with
  if (without_comments(without_comments(text, "//"), "#").starts_with("graph @"))
    return FileKind::graph;
  if (is_json(without_comments(text, "\n"))) return FileKind::json;
  if (is_toml(text)) return FileKind::toml;
  return FileKind::text;
}

}  // namespace

std::string_view name(FileKind kind) {
  constexpr std::string_view kNames[] = {
      "safetensors", "gguf", "npy",     "npz",  "zip",  "idx",   "png",  "jpeg",
      "pnm",         "tar",  "llama2c", "json", "toml", "graph", "text", "unknown"};
  return kNames[static_cast<int>(kind)];
}

Result<FileProbe> probe_file(const std::string& path) {
  const auto file = map_file(path);
  if (!file) return file.error();
  return probe_bytes(file.value().bytes(), path);
}

Result<FileProbe> probe_bytes(std::span<const std::byte> bytes, const std::string& name) {
  if (!is_gzip(bytes))
    return FileProbe{kind_of(bytes.first(std::min(bytes.size(), kHead)), bytes.size(), name),
                     false};
  const auto head = gunzip_head(bytes, name, kHead);
  if (!head) return head.error();
  const std::optional<uint64_t> size =
      head.value().size() < kHead ? std::optional<uint64_t>(head.value().size()) : std::nullopt;
  std::string_view inner = name;
  if (inner.ends_with(".gz")) inner.remove_suffix(3);
  return FileProbe{kind_of(head.value().bytes(), size, inner), true};
}

}  // namespace cairn::io
