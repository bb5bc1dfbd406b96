// Pre-tokenizers of tokenizer.json.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cairn/text/byte_map.h"
#include "cairn/text/json_members.h"
#include "cairn/text/pipeline_steps.h"
#include "cairn/text/read_split.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

using Json = nlohmann::json;
using Keep = SplitRule::Keep;

// \w as Rust's regular expressions have it (PCRE2's lacks marks and other letters).
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}\x{200C}\x{200D}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149})"
    R"(\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";
constexpr std::string_view kPunctuation = R"([\p{P}!-/:-@\[-`{-~])";

Cut cut_by(std::vector<SplitRule> rules) {
  const auto splitter = std::make_shared<const Splitter>(Splitter::make(std::move(rules)).value());
  return [splitter](std::vector<TextPiece>& pieces) {
    std::vector<TextPiece> out;
    for (const TextPiece& piece : pieces) {
      splitter->split(piece.text, [&](std::string_view part) {
        out.push_back({std::string(part), piece.first && part.data() == piece.text.data()});
      });
    }
    pieces = std::move(out);
  };
}

Cut make_split(const Json& step) { return cut_by({read_split(step)}); }

Cut make_digits(const Json& step) {
  const bool each = flag(step, "individual_digits", false);
  return cut_by({{.pattern = R"(\p{N})", .keep = each ? Keep::everything : Keep::runs}});
}

Cut make_punctuation(const Json& step) {
  SplitRule rule{.pattern = std::string(kPunctuation)};
  if (const Json& behavior = member(step, "behavior"); !behavior.is_null())
    rule.keep = keep_of(text_of(behavior, "behavior"));
  return cut_by({rule});
}

Cut make_whitespace(const Json&) {
  return cut_by(
      {{.pattern = fmt::format(R"([{}]+|[^{}\s]+)", kWord, kWord), .keep = Keep::matches}});
}

Cut make_whitespace_split(const Json&) {
  return cut_by({{.pattern = R"(\s)", .keep = Keep::gaps}});
}

Cut make_bert(const Json&) {
  return cut_by({{.pattern = R"(\s)", .keep = Keep::gaps}, {.pattern = std::string(kPunctuation)}});
}

Cut make_delimiter(const Json& step) {
  return cut_by({{.pattern = text_at(step, "delimiter"), .literal = true, .keep = Keep::gaps}});
}

// Spaces as another character, which also goes before a text.
Cut make_metaspace(const Json& step) {
  const std::string mark = text_at(step, "replacement");
  const Json& scheme = member(step, "prepend_scheme");
  std::string where = flag(step, "add_prefix_space", true) ? "always" : "never";
  if (!scheme.is_null()) where = text_of(scheme, "prepend_scheme");
  if (where != "always" && where != "first" && where != "never")
    unsupported("prepend_scheme", where, "always, first, never");
  Cut split;
  if (flag(step, "split", true))
    split = cut_by({{.pattern = mark, .literal = true, .keep = Keep::with_next}});
  return [=](std::vector<TextPiece>& pieces) {
    for (TextPiece& piece : pieces) {
      std::string text;
      for (const char c : piece.text) c == ' ' ? text += mark : text += c;
      if (!text.starts_with(mark) && (where == "always" || (where == "first" && piece.first)))
        text.insert(0, mark);
      piece.text = std::move(text);
    }
    if (split) split(pieces);
  };
}

Cut make_byte_level(const Json& step) {
  const bool space = flag(step, "add_prefix_space", true);
  Cut split;
  if (flag(step, "use_regex", true)) split = cut_by({{.pattern = std::string(kGpt2Pattern)}});
  return [=](std::vector<TextPiece>& pieces) {
    if (space) {
      for (TextPiece& piece : pieces)
        if (!piece.text.starts_with(' ')) piece.text.insert(0, 1, ' ');
    }
    if (split) split(pieces);
    for (TextPiece& piece : pieces) piece.text = bytes_to_mapped(piece.text);
  };
}

constexpr struct {
  std::string_view type;
  Cut (*make)(const Json& step);
} kPreTokenizers[] = {
    {"ByteLevel", make_byte_level},  {"Split", make_split},
    {"Digits", make_digits},         {"Punctuation", make_punctuation},
    {"Whitespace", make_whitespace}, {"WhitespaceSplit", make_whitespace_split},
    {"BertPreTokenizer", make_bert}, {"CharDelimiterSplit", make_delimiter},
    {"Metaspace", make_metaspace},
};

}  // namespace

Keep keep_of(const std::string& behavior) {
  if (behavior == "Isolated") return Keep::everything;
  if (behavior == "Removed") return Keep::gaps;
  if (behavior == "Contiguous") return Keep::runs;
  if (behavior == "MergedWithPrevious") return Keep::with_previous;
  if (behavior == "MergedWithNext") return Keep::with_next;
  unsupported("the behavior", behavior,
              "Isolated, Removed, Contiguous, MergedWithPrevious and MergedWithNext");
}

SplitRule read_split(const Json& split) {
  SplitRule rule;
  const Json& pattern = member(split, "pattern");
  const Json& literal = member(pattern, "String");
  rule.literal = !literal.is_null();
  rule.pattern = rule.literal ? text_of(literal, "pattern.String")
                              : text_of(member(pattern, "Regex"), "pattern.Regex");
  rule.keep = keep_of(text_at(split, "behavior"));
  if (!flag(split, "invert", false)) return rule;
  if (rule.keep == Keep::gaps) rule.keep = Keep::matches;
  rule.inverted = rule.keep == Keep::with_previous || rule.keep == Keep::with_next;
  return rule;
}

std::vector<Cut> read_cuts(const Json& root) {
  std::vector<Cut> steps;
  for (const Json* part : flattened(root, "pre_tokenizer", "pretokenizers")) {
    const std::string& type = type_of(*part, "pre_tokenizer");
    std::string known;
    bool found = false;
    for (const auto& row : kPreTokenizers) {
      known += fmt::format("{}{}", known.empty() ? "" : ", ", row.type);
      if (row.type != type) continue;
      steps.push_back(row.make(*part));
      found = true;
    }
    if (!found) unsupported("pre_tokenizer", type, known);
  }
  return steps;
}

}  // namespace cairn::text
