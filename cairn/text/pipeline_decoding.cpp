// Decoders of tokenizer.json.
#include <fmt/format.h>

#include "cairn/base/error.h"
#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/json_view.h"
#include "cairn/text/pieces.h"
#include "cairn/text/pipeline_steps.h"

namespace cairn::text {
namespace {

// U+FFFD per byte of what is no UTF-8 is left to those who print: decoding gives the bytes.
void add_byte_level(JsonView, Decoding& out) {
  out.steps.push_back([](const std::string& token, bool) { return bytes_of_key(token); });
}

void add_byte_fallback(JsonView, Decoding& out) {
  out.steps.push_back([](std::string token, bool) {
    const int byte = byte_of_key(token);
    return byte < 0 ? std::move(token) : std::string(1, static_cast<char>(byte));
  });
}

void add_metaspace(JsonView step, Decoding& out) {
  const std::string& mark = step.text_at("replacement");
  const JsonView scheme = step.member("prepend_scheme");
  const bool prepends = scheme.is_null() ? step.flag("add_prefix_space", true)
                                         : scheme.text("prepend_scheme") != "never";
  out.steps.push_back([=](const std::string& token, bool first) {
    return replaced(token, mark, first && prepends ? "" : " ");
  });
}

void add_wordpiece(JsonView step, Decoding& out) {
  const std::string& prefix = step.text_at("prefix");
  const bool cleanup = step.flag("cleanup", true);
  out.steps.push_back([=](std::string token, bool first) {
    if (!first) {
      token = token.starts_with(prefix) ? token.substr(prefix.size()) : ' ' + token;
    }
    if (!cleanup) return token;
    constexpr std::pair<const char*, const char*> kClean[] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kClean) token = replaced(token, from, to);
    return token;
  });
}

void add_word_end(JsonView step, Decoding& out) {
  const JsonView suffix = step.member("suffix");
  out.word_end = suffix.is_null() ? "</w>" : suffix.text("suffix");
  const std::string end = out.word_end;
  out.steps.push_back([end](const std::string& token, bool) { return replaced(token, end, ""); });
}

void add_replace(JsonView step, Decoding& out) {
  const JsonView literal = step.member("pattern").member("String");
  if (literal.is_null()) throw_error("decoder 'Replace' of a regular expression is not supported");
  const std::string &from = literal.text("pattern.String"), &to = step.text_at("content");
  out.steps.push_back([=](const std::string& token, bool) { return replaced(token, from, to); });
}

struct Strip {
  std::string content;
  size_t start = 0, stop = 0;
};

Strip read_strip(JsonView step) {
  const auto count = [&](const char* key) {
    const int64_t value = step.member(key).integer(key);
    if (value < 0 || value > 1024)
      throw_error(fmt::format("decoder 'Strip' has {} {}", key, value));
    return static_cast<size_t>(value);
  };
  return {step.text_at("content"), count("start"), count("stop")};
}

void add_strip(JsonView step, Decoding& out) {
  const Strip strip = read_strip(step);
  out.steps.push_back([=](const std::string& token, bool) {
    std::string_view rest = token;
    if (strip.content.empty()) return token;
    for (size_t i = 0; i < strip.start && rest.starts_with(strip.content); ++i)
      rest.remove_prefix(strip.content.size());
    for (size_t i = 0; i < strip.stop && rest.ends_with(strip.content); ++i)
      rest.remove_suffix(strip.content.size());
    return std::string(rest);
  });
}

// Behind Fuse: of the text as a whole.
void add_strip_of_text(JsonView step, Decoding& out) {
  const Strip strip = read_strip(step);
  if (strip.stop > 0 || out.strip_count > 0)
    throw_error("decoder 'Strip' of a text's end is not supported; cairn decodes as tokens come");
  out.strip = strip.content;
  out.strip_count = strip.content.empty() ? 0 : strip.start;
}

constexpr struct {
  std::string_view type;
  void (*add)(JsonView step, Decoding& out);
} kDecoders[] = {
    {"ByteLevel", add_byte_level}, {"ByteFallback", add_byte_fallback},
    {"Metaspace", add_metaspace},  {"WordPiece", add_wordpiece},
    {"BPEDecoder", add_word_end},  {"Replace", add_replace},
    {"Strip", add_strip},
};

}  // namespace

std::string Decoding::text(std::string key, bool first) const {
  for (const auto& step : steps) key = step(std::move(key), first);
  return key;
}

Decoding read_decoding(JsonView root) {
  Decoding out;
  bool fused = false;
  const auto parts = flattened(root, "decoder", "decoders");
  for (const JsonView part : parts) {
    const std::string& type = type_of(part, "decoder");
    if (type == "Fuse") {
      fused = true;
      continue;
    }
    if (fused && type == "Strip") {
      add_strip_of_text(part, out);
      continue;
    }
    std::string known = "Fuse";
    bool found = false;
    for (const auto& row : kDecoders) {
      known += fmt::format(", {}", row.type);
      if (row.type != type) continue;
      if (fused) throw_error(fmt::format("decoder '{}' behind 'Fuse' is not supported", type));
      row.add(part, out);
      found = true;
    }
    if (!found) unsupported("decoder", type, known);
  }
  // Without a decoder tokens are words.
  if (parts.empty())
    out.steps.push_back(
        [](const std::string& token, bool first) { return first ? token : ' ' + token; });
  return out;
}

}  // namespace cairn::text
