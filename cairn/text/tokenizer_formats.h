// The file formats of tokenizers, from and to bytes. load_tokenizer (tokenizer.h) finds the files.
//
// Every reader takes foreign bytes: what is damaged, contradicts itself or is not supported is an
// Error that names it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cairn/base/error.h"
#include "cairn/text/bpe_tokenizer.h"
#include "cairn/text/tokenizer.h"

namespace cairn::text {

// Hugging Face's tokenizer.json with a BPE, Unigram, WordPiece or WordLevel model and added tokens;
// every normalizer, pre-tokenizer, post-processor and decoder but UnicodeScripts, FixedLength and
// CTC, and no dropout. Truncation and padding are ignored: they are not part of the tokenizer.
// `config` is the text of tokenizer_config.json, for BOS and EOS; without it they follow from the
// template, or from well-known names.
Result<std::unique_ptr<Tokenizer>> parse_tokenizer_json(std::string_view json,
                                                        std::string_view config = {});

// GPT-2's original pair of files: vocabulary (encoder.json, vocab.json) and merges (vocab.bpe,
// merges.txt). Its pattern cuts the text; <|endoftext|> is special, BOS and EOS.
Result<std::unique_ptr<Tokenizer>> parse_gpt2_files(std::string_view vocabulary,
                                                    std::string_view merges);

// llama2.c's tokenizer.bin: i32 longest token, then for each token f32 score, i32 length, bytes.
// Ids 0, 1, 2 are unknown, BOS and EOS, then come the 256 bytes. add_special adds BOS. Where
// llama2.c differs from SentencePiece, this is SentencePiece: control and byte tokens never come
// from the letters of their names, and U+2581 in a text is a space.
Result<std::unique_ptr<Tokenizer>> parse_llama2c_tokenizer(std::string_view bytes);

// SentencePiece's tokenizer.model of kind BPE (Llama 1 and 2, Mistral, Gemma, Phi-3), where
// add_special adds BOS, or Unigram (T5, XLM-R), where it adds EOS, as T5's does: the file does not
// say.
Result<std::unique_ptr<Tokenizer>> parse_sentencepiece_model(std::string_view bytes);

// tiktoken's files: Llama 3's tokenizer.model, cl100k_base, o200k_base, r50k_base, p50k_base, with
// their patterns and special tokens. add_special adds Llama 3's BOS.
Result<std::unique_ptr<Tokenizer>> parse_tiktoken_file(std::string_view bytes);

// See Tokenizer::to_json. `description.vocabulary` is not read.
std::string write_tokenizer_json(const Vocabulary& vocabulary, const BpeDescription& description);

// tokenizer_config.json beside it, with the names of BOS and EOS and the class that makes
// transformers read tokenizer.json as it stands; and a chat template, if there is one.
std::string write_tokenizer_config(const Tokenizer& tokenizer, std::string_view chat_template = {});

// BOS and EOS for vocabularies whose files do not say: the ends of the template, else the
// well-known names among the special tokens (<|endoftext|>, <s> and </s>, Llama 3's).
void guess_bos_and_eos(Vocabulary& vocabulary);

}  // namespace cairn::text
