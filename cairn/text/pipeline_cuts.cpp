// Pre-tokenizers of tokenizer.json.
#include <fmt/format.h>

#include <memory>

#include "cairn/text/byte_map.h"
#include "cairn/text/json_view.h"
#include "cairn/text/pipeline_steps.h"
#include "cairn/text/read_split.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

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

Cut make_split(JsonView step) { return cut_by({read_split(step)}); }

Cut make_digits(JsonView step) {
  const bool each = step.flag("individual_digits", false);
  return cut_by({{.pattern = R"(\p{N})", .keep = each ? Keep::everything : Keep::runs}});
}

Cut make_punctuation(JsonView step) {
  SplitRule rule{.pattern = std::string(kPunctuation)};
  if (JsonView behavior = step.member("behavior"); !behavior.is_null())
    rule.keep = keep_of(behavior.text("behavior"));
  return cut_by({rule});
}

Cut make_whitespace(JsonView) {
  return cut_by(
      {{.pattern = fmt::format(R"([{}]+|[^{}\s]+)", kWord, kWord), .keep = Keep::matches}});
}

Cut make_whitespace_split(JsonView) { return cut_by({{.pattern = R"(\s)", .keep = Keep::gaps}}); }

Cut make_bert(JsonView) {
  return cut_by({{.pattern = R"(\s)", .keep = Keep::gaps}, {.pattern = std::string(kPunctuation)}});
}

Cut make_delimiter(JsonView step) {
  return cut_by({{.pattern = step.text_at("delimiter"), .literal = true, .keep = Keep::gaps}});
}

// Spaces as another character, which also goes before a text.
Cut make_metaspace(JsonView step) {
  const std::string& mark = step.text_at("replacement");
  const JsonView scheme = step.member("prepend_scheme");
  std::string where = step.flag("add_prefix_space", true) ? "always" : "never";
  if (!scheme.is_null()) where = scheme.text("prepend_scheme");
  if (where != "always" && where != "first" && where != "never")
    unsupported("prepend_scheme", where, "always, first, never");
  Cut split;
  if (step.flag("split", true))
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

Cut make_byte_level(JsonView step) {
  const bool space = step.flag("add_prefix_space", true);
  Cut split;
  if (step.flag("use_regex", true)) split = cut_by({{.pattern = std::string(kGpt2Pattern)}});
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
  Cut (*make)(JsonView step);
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

SplitRule read_split(JsonView split) {
  SplitRule rule;
  const JsonView pattern = split.member("pattern");
  const JsonView literal = pattern.member("String");
  rule.literal = !literal.is_null();
  rule.pattern =
      rule.literal ? literal.text("pattern.String") : pattern.member("Regex").text("pattern.Regex");
  rule.keep = keep_of(split.text_at("behavior"));
  if (!split.flag("invert", false)) return rule;
  if (rule.keep == Keep::gaps) rule.keep = Keep::matches;
  rule.inverted = rule.keep == Keep::with_previous || rule.keep == Keep::with_next;
  return rule;
}

std::vector<Cut> read_cuts(JsonView root) {
  std::vector<Cut> steps;
  for (const JsonView part : flattened(root, "pre_tokenizer", "pretokenizers")) {
    const std::string& type = type_of(part, "pre_tokenizer");
    std::string known;
    bool found = false;
    for (const auto& row : kPreTokenizers) {
      known += fmt::format("{}{}", known.empty() ? "" : ", ", row.type);
      if (row.type != type) continue;
      steps.push_back(row.make(part));
      found = true;
    }
    if (!found) unsupported("pre_tokenizer", type, known);
  }
  return steps;
}

}  // namespace cairn::text
