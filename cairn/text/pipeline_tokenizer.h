// tokenizer.json of any form: its components one after the other, as `tokenizers` runs them. The
// forms that most language models have are BpeDescription's instead, which is many times as fast.
#pragma once

#include <memory>

#include "cairn/text/json_view.h"
#include "cairn/text/tokenizer.h"

namespace cairn::text {

// `from` has the added tokens, prefix, suffix, BOS and EOS of the file; its tokens are read here.
// Bytes that are not UTF-8 are encoded as U+FFFD. to_json gives the root. Throws Error.
std::unique_ptr<Tokenizer> make_pipeline_tokenizer(JsonView root, Vocabulary from);

}  // namespace cairn::text
