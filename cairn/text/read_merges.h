// "merges" of a BPE model in tokenizer.json.
#pragma once

#include <string_view>
#include <vector>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/json_view.h"

namespace cairn::text {

// Merges in the order of their ranks. `prefix` stands before keys that do not begin a word, and
// falls away where two of them are joined.
std::vector<Merge> read_merges(JsonView model, const TokenKeys& keys, std::string_view prefix = "");

}  // namespace cairn::text
