#include "cairn/text/split_patterns.h"

#include <fmt/format.h>

#include <initializer_list>
#include <string>

namespace cairn::text {
namespace {

using Patterns = std::initializer_list<std::string_view>;

constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kThreeDigits = "[0-9][0-9][0-9]";

struct Family {
  std::string_view name;
  Patterns patterns;
  bool whole_pieces_first = false;
  bool add_bos = false;
};

const Family kFamilies[] = {
    {"gpt-2", {kGpt2Pattern}},
    {"phi-2", {kGpt2Pattern}},
    {"olmo", {kGpt2Pattern}},
    {"mpt", {kGpt2Pattern}},
    {"dbrx", {kLlama3Pattern}},
    {"smaug-bpe", {kLlama3Pattern}},
    {"llama-bpe", {kLlama3Pattern}, true, true},
    {"llama-v3", {kLlama3Pattern}, true, true},
    {"llama3", {kLlama3Pattern}, true, true},
    {"falcon3", {kLlama3Pattern}, true, true},
    {"qwen2", {kQwen2Pattern}},
    {"stablelm2", {kQwen2Pattern}},
    {"deepseek-r1-qwen", {kQwen2Pattern}},
    {"gpt-4o", {kGpt4oPattern}},
    {"llama4", {kGpt4oPattern}},
    {"refact", {kDigit, kGpt2Pattern}},  // Granite, too
    {"starcoder", {kDigit, kGpt2Pattern}},
    {"command-r", {kDigit, kGpt2Pattern}},
    {"smollm", {kDigit, kGpt2Pattern}},
    {"codeshell", {kDigit, kGpt2Pattern}},
    {"exaone", {kDigit, kGpt2Pattern}},
    {"falcon", {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2Pattern, kThreeDigits}},
    {"deepseek-coder",
     {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
      R"([\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+)", kDigit}},
    {"deepseek-v3",
     {R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
      R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}},
    {"tekken",
     {R"([^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+|[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
     true},
};

std::vector<SplitRule> splits_of(const Family& family) {
  std::vector<SplitRule> splits;
  for (const std::string_view pattern : family.patterns)
    splits.push_back({.pattern = std::string(pattern)});
  return splits;
}

}  // namespace

std::string_view pre_tokenizer_name(const std::vector<SplitRule>& splits, bool whole_pieces_first) {
  for (const Family& family : kFamilies)
    if (family.whole_pieces_first == whole_pieces_first && splits_of(family) == splits)
      return family.name;
  return {};
}

PreTokenizer pre_tokenizer(std::string_view name) {
  std::string known;
  for (const Family& family : kFamilies) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.name);
    if (family.name != name) continue;
    PreTokenizer found;
    found.splits = splits_of(family);
    found.whole_pieces_first = family.whole_pieces_first;
    found.add_bos = family.add_bos;
    return found;
  }
  throw_error(fmt::format("the pre-tokenizer '{}' is unknown; cairn knows {}", name, known));
}

}  // namespace cairn::text
