// The rules by which families of models cut text before merging.
#pragma once

#include <string_view>
#include <vector>

#include "cairn/text/splitter.h"

namespace cairn::text {

// Contractions in any case, words with one symbol before them, numbers of up to three digits.
inline constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// The same with single digits.
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Words are also cut where small letters are followed by capitals.
inline constexpr std::string_view kGpt4oPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct PreTokenizer {
  std::vector<SplitRule> splits;
  bool whole_pieces_first = false;
  bool add_bos = false;  // unless the file says
};

// By the name that GGUF files have in tokenizer.ggml.pre. Throws Error for an unknown one, with the
// known ones: another rule gives other ids, and nobody would notice.
PreTokenizer pre_tokenizer(std::string_view name);
// The first name of these rules; empty when there is none.
std::string_view pre_tokenizer_name(const std::vector<SplitRule>& splits, bool whole_pieces_first);

}  // namespace cairn::text
