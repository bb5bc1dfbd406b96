// Text files to a tokenizer and to ids, document by document and part by part: nothing here holds a
// corpus, or a document, as a whole.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "cairn/base/error.h"
#include "cairn/text/tokenizer.h"
#include "cairn/train/config.h"

namespace cairn {

// What data.tokenizer says: made from the texts ("char", "bpe:SIZE"), without them ("bytes"), or
// read from a file. The Error names the file or key.
Result<std::unique_ptr<text::Tokenizer>> make_tokenizer(const TrainConfig::Data& data);

// Gives `visit` the ids of `document` in parts of about `part_bytes` of text; together they are
// tokenizer.encode(document). Parts end before white space, at a place where encoding what lies
// around it shows that nothing reaches across. A tokenizer that has no such place (one that puts a
// space before each text) gets the document whole.
void encode_in_parts(const text::Tokenizer& tokenizer, std::string_view document,
                     const std::function<void(std::span<const int32_t>)>& visit,
                     size_t part_bytes = size_t{1} << 20);

}  // namespace cairn
