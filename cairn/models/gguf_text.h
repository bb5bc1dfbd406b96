// The tokenizer and the chat template among a GGUF file's metadata.
#pragma once

#include <memory>
#include <vector>

#include "cairn/io/gguf.h"
#include "cairn/text/model_template.h"
#include "cairn/text/tokenizer.h"

namespace cairn {

// Whether there is one; files of models without text say "none".
bool has_gguf_tokenizer(const io::GgufFile& file);
// The Error says what of tokenizer.ggml.* is missing or wrong.
Result<std::unique_ptr<text::Tokenizer>> gguf_tokenizer(const io::GgufFile& file);

// tokenizer.chat_template or, `with_tools`, the one for them where there is one; an Error when
// there is none.
Result<text::ModelTemplate> gguf_template(const io::GgufFile& file, bool with_tools);

// Tokens after which a text is at its end: those of the keys, and those that chat models end a
// turn with by their names, which many files do not say.
std::vector<int> gguf_end_tokens(const io::GgufFile& file);

// The keys that these are read from, for a model of so many ids: what the tokenizer lacks is
// written as unused tokens. `ends` are those after which a text is at its end; an empty template is
// left out. Throws Error for what the keys cannot say (text::Tokenizer::to_gguf), or when the
// tokenizer has more ids than the model.
io::GgufMetadata gguf_text_metadata(const text::Tokenizer& tokenizer, int64_t vocabulary,
                                    const std::vector<int>& ends, const std::string& chat_template);

}  // namespace cairn
