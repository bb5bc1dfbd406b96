// Normalizers of tokenizer.json.
#include <fmt/format.h>

#include <memory>

#include "cairn/base/error.h"
#include "cairn/text/base64.h"
#include "cairn/text/byte_map.h"
#include "cairn/text/character_map.h"
#include "cairn/text/json_view.h"
#include "cairn/text/pipeline_steps.h"
#include "cairn/text/splitter.h"
#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

// Appends to the first argument what each character becomes.
template <class Append>
std::string each_character(std::string_view text, Append append) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character character = decode_utf8(text);
    append(out, character.code_point);
    text.remove_prefix(character.size);
  }
  return out;
}

std::string lower_each(std::string_view text) {
  return each_character(text, [](std::string& out, char32_t c) {
    if (c == 0x130)  // the one capital whose small letter is two characters
      out += "i\u0307";
    else
      append_utf8(out, lower_character(c));
  });
}

std::string without_marks(std::string_view text, bool (*is_mark)(char32_t)) {
  return each_character(text, [&](std::string& out, char32_t c) {
    if (!is_mark(c)) append_utf8(out, c);
  });
}

template <NormalForm form>
Normalize make_form(JsonView) {
  return [](const std::string& text) { return normalize(text, form); };
}

Normalize make_lowercase(JsonView) { return lower_each; }

Normalize make_strip_accents(JsonView) {
  return [](const std::string& text) { return without_marks(text, is_mark); };
}

Normalize make_strip(JsonView step) {
  const bool left = step.flag("strip_left", true), right = step.flag("strip_right", true);
  return [=](const std::string& text) {
    size_t begin = 0, end = 0, at = 0;  // of what is no white space, where there is any
    for (bool found = false; at < text.size();) {
      const Utf8Character character = decode_utf8(std::string_view(text).substr(at));
      const bool space = is_white_space(character.code_point);
      if (!space && !found) begin = at;
      found |= !space;
      at += character.size;
      if (!space) end = at;
    }
    if (!left) begin = 0;
    if (!right) end = text.size();
    return begin < end ? text.substr(begin, end - begin) : std::string();
  };
}

// Hugging Face's replacements of an empty match put the content there; here they do nothing.
std::function<std::string(const std::string&)> make_replacement(JsonView step) {
  const std::string& content = step.text_at("content");
  const JsonView pattern = step.member("pattern");
  const JsonView literal = pattern.member("String");
  if (!literal.is_null()) {
    const std::string& from = literal.text("pattern.String");
    return [=](const std::string& text) { return replaced(text, from, content); };
  }
  const auto splitter = std::make_shared<const Splitter>(
      Splitter::make({{.pattern = pattern.member("Regex").text("pattern.Regex")}}).value());
  return [=](const std::string& text) { return splitter->replace(text, content); };
}

Normalize make_replace(JsonView step) { return make_replacement(step); }

Normalize make_prepend(JsonView step) {
  const std::string& prepend = step.text_at("prepend");
  return [=](const std::string& text) { return text.empty() ? text : prepend + text; };
}

Normalize make_byte_level(JsonView) {
  return [](const std::string& text) { return bytes_to_mapped(text); };
}

// The blocks of Han characters, each of which is a word to BERT.
bool is_han(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

Normalize make_bert(JsonView step) {
  const bool clean = step.flag("clean_text", true);
  const bool han = step.flag("handle_chinese_chars", true);
  const bool lowercase = step.flag("lowercase", true);
  const bool strip_accents = step.flag("strip_accents", lowercase);
  return [=](const std::string& text) {
    std::string out = each_character(text, [&](std::string& to, char32_t c) {
      const bool line = c == '\t' || c == '\n' || c == '\r';  // the controls that are spaces
      const bool dropped = c == 0 || c == kReplacementCharacter || is_assigned_control(c);
      if (clean && dropped && !line) {
        return;
      } else if (clean && is_white_space(c)) {
        to += ' ';
      } else if (han && is_han(c)) {
        to += ' ';
        append_utf8(to, c);
        to += ' ';
      } else {
        append_utf8(to, c);
      }
    });
    if (strip_accents) out = without_marks(normalize(out, NormalForm::nfd), is_combining_mark);
    return lowercase ? lower_each(out) : out;
  };
}

Normalize make_nmt(JsonView) {
  return [](const std::string& text) {
    return each_character(text, [](std::string& out, char32_t c) {
      const bool dropped = (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) ||
                           c == 0x7F || c == 0x8F || c == 0x9F;
      const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 ||
                         c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
      if (!dropped) append_utf8(out, space ? U' ' : c);
    });
  };
}

Normalize make_precompiled(JsonView step) {
  const auto bytes = decode_base64(step.text_at("precompiled_charsmap"));
  if (!bytes) throw_error("'precompiled_charsmap' is no base64");
  const auto map = std::make_shared<const CharacterMap>(*bytes);
  // The strings of a damaged map may be cut within characters.
  return [=](const std::string& text) { return replace_invalid_utf8(map->map_clusters(text)); };
}

constexpr struct {
  std::string_view type;
  Normalize (*make)(JsonView step);
} kNormalizers[] = {
    {"NFC", make_form<NormalForm::nfc>},
    {"NFD", make_form<NormalForm::nfd>},
    {"NFKC", make_form<NormalForm::nfkc>},
    {"NFKD", make_form<NormalForm::nfkd>},
    {"Lowercase", make_lowercase},
    {"StripAccents", make_strip_accents},
    {"Strip", make_strip},
    {"Replace", make_replace},
    {"Prepend", make_prepend},
    {"ByteLevel", make_byte_level},
    {"BertNormalizer", make_bert},
    {"Nmt", make_nmt},
    {"Precompiled", make_precompiled},
};

}  // namespace

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t found = from.empty() ? text.npos : text.find(from, at);
    out += text.substr(at, found - at);
    if (found == text.npos) return out;
    out += to;
    at = found + from.size();
  }
}

std::vector<Normalize> read_normalizers(JsonView root) {
  std::vector<Normalize> steps;
  for (const JsonView part : flattened(root, "normalizer", "normalizers")) {
    const std::string& type = type_of(part, "normalizer");
    std::string known;
    bool found = false;
    for (const auto& row : kNormalizers) {
      known += fmt::format("{}{}", known.empty() ? "" : ", ", row.type);
      if (row.type != type) continue;
      steps.push_back(row.make(part));
      found = true;
    }
    if (!found) unsupported("normalizer", type, known);
  }
  return steps;
}

}  // namespace cairn::text
