// The tokenizer and the chat template among a GGUF file's metadata.
#pragma once

#include <memory>
#include <vector>

#include "cairn/io/gguf.h"
#include "cairn/text/model_template.h"
#include "cairn/text/tokenizer.h"

namespace cairn {

bool has_gguf_tokenizer(const io::GgufFile& file);
// The Error says what of tokenizer.ggml.* is missing or wrong.
Result<std::unique_ptr<text::Tokenizer>> gguf_tokenizer(const io::GgufFile& file);

// tokenizer.chat_template or, `with_tools`, the one for them where there is one; an Error when
// there is none.
Result<text::ModelTemplate> gguf_template(const io::GgufFile& file, bool with_tools);

// Tokens after which a text is at its end: those of the keys, and those that chat models end a
// turn with by their names, which many files do not say.
std::vector<int> gguf_end_tokens(const io::GgufFile& file);

}  // namespace cairn
