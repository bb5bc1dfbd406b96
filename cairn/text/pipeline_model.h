// The models of tokenizer.json: words to ids.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/json_view.h"

namespace cairn::text {

class WordModel {
 public:
  virtual ~WordModel() = default;
  // Appends the ids of a piece, which is not empty. Throws Error on what it cannot express.
  virtual void encode(std::string_view piece, std::vector<int32_t>& ids) const = 0;
};

// BPE, WordPiece, WordLevel or Unigram from the root's "model". `keys` are those of its vocabulary
// and outlive what is made.
std::unique_ptr<WordModel> read_word_model(JsonView model, const TokenKeys& keys);

// Calls `put(key, id)` for each token of "model", in any order.
void each_token(JsonView model, const std::function<void(const std::string& key, int64_t id)>& put);

}  // namespace cairn::text
