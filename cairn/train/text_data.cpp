#include "cairn/train/text_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cairn/io/text_file.h"
#include "cairn/text/bpe_tokenizer.h"
#include "cairn/text/train_bpe.h"
#include "cairn/text/utf8.h"

namespace cairn {
namespace {

Status for_each_document(const TrainConfig::Data& data,
                         const std::function<void(std::string_view)>& visit) {
  io::DocumentOptions options;
  options.separator = data.separator;
  for (const std::vector<std::string>* files : {&data.text, &data.validation_text})
    for (const std::string& file : *files) {
      auto status = io::for_each_document(file, options, [&](std::string_view d) -> Status {
        visit(d);
        return Nothing{};
      });
      if (!status) return status;
    }
  return Nothing{};
}

Result<std::unique_ptr<text::Tokenizer>> character_tokenizer(const TrainConfig::Data& data) {
  std::vector<bool> seen(0x110000);
  auto status = for_each_document(data, [&](std::string_view d) {
    while (!d.empty()) {
      const text::Utf8Character c = text::decode_utf8(d);
      seen[c.code_point] = true;
      d.remove_prefix(c.size);
    }
  });
  if (!status) return status.error();
  std::string characters;
  for (char32_t c = 0; c < seen.size(); ++c)
    if (seen[c]) text::append_utf8(characters, c);
  const std::string_view all = characters;
  return text::make_character_tokenizer({&all, 1});
}

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Whether text before and after `at` encodes as it does together. Words that a tokenizer looks at
// are far shorter than the 512 bytes on either side.
bool parts_at(const text::Tokenizer& tokenizer, std::string_view text, size_t at) {
  constexpr size_t kAround = 512;
  size_t begin = at - std::min(at, kAround);
  size_t end = std::min(at + kAround, text.size());
  while (begin < at && continues(text[begin])) ++begin;
  while (end > at && end < text.size() && continues(text[end])) --end;
  std::vector<int32_t> apart = tokenizer.encode(text.substr(begin, at - begin));
  const std::vector<int32_t> after = tokenizer.encode(text.substr(at, end - at));
  apart.insert(apart.end(), after.begin(), after.end());
  return apart == tokenizer.encode(text.substr(begin, end - begin));
}

// The last place to cut at or before `size`, else the first stretch beyond that has one; all of the
// text when there is none.
size_t size_of_part(const text::Tokenizer& tokenizer, std::string_view text, size_t size) {
  constexpr int kTries = 64;
  for (size_t searched = 0; size < text.size(); searched = size, size *= 2) {
    int tries = 0;
    for (size_t at = size; at > searched && tries < kTries; --at) {
      if (!is_space(text[at]) || is_space(text[at - 1])) continue;
      if (parts_at(tokenizer, text, at)) return at;
      ++tries;
    }
  }
  return text.size();
}

}  // namespace

Result<std::unique_ptr<text::Tokenizer>> make_tokenizer(const TrainConfig::Data& data) {
  const std::string& kind = data.tokenizer;
  if (kind == "bytes") return text::make_byte_tokenizer();
  if (kind == "char") return character_tokenizer(data);
  if (is_tokenizer_file(kind)) return text::load_tokenizer(kind);
  int size = 0;
  const char* end = kind.data() + kind.size();
  if (const auto [rest, error] = std::from_chars(kind.data() + 4, end, size);
      error != std::errc() || rest != end)
    return Error(fmt::format("data.tokenizer '{}': expected bpe:SIZE, for example bpe:1024", kind));
  const std::string special[] = {"<|endoftext|>"};
  text::PieceCounts pieces(special);
  if (auto status = for_each_document(data, [&](std::string_view d) { pieces.add(d); }); !status)
    return status.error();
  return text::train_bpe(pieces, size);
}

void encode_in_parts(const text::Tokenizer& tokenizer, std::string_view document,
                     const std::function<void(std::span<const int32_t>)>& visit,
                     size_t part_bytes) {
  for (size_t begin = 0; begin < document.size();) {
    const std::string_view rest = document.substr(begin);
    const size_t size = size_of_part(tokenizer, rest, part_bytes);
    try {
      visit(tokenizer.encode(rest.substr(0, size)));
    } catch (const InternalError&) {
      throw;
    } catch (const Error& e) {
      if (begin == 0) throw;
      throw_error(fmt::format("{} (counted from byte {} of the document)", e.what(), begin));
    }
    begin += size;
  }
}

}  // namespace cairn
