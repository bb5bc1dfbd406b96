// Generation: texts that a language model goes on with, one or several at a time.
//
// A text keeps its tokens in the cache. What is asked for next is a whole prompt again; tokens that
// it begins with and that the cache has are not computed once more, so a turn of a conversation
// costs its new tokens. A text does not depend on those beside it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/llm/sampling.h"
#include "cairn/models/language_model.h"
#include "cairn/nn/kv_cache.h"

namespace cairn {

struct GenerationOptions {
  SamplingOptions sampling = {};
  int64_t max_tokens = 256;
  std::vector<std::string> stop = {};  // texts to end before
  bool ignore_eos = false;             // go on after the model's end tokens
  // When the context is full, forget the older half of it and go on. The tokens after it move up in
  // the cache (Decoder::shift), as llama.cpp has it; where positions are learned they are fed
  // again.
  bool context_shift = false;
  // Tokens at the front that are never forgotten, at most half of the context; at least what the
  // tokenizer puts before every text.
  int64_t keep = 0;
};

struct GenerationRequest {
  int text;  // of TextGenerator::open
  std::vector<int32_t> prompt;
  GenerationOptions options = {};
};

enum class StopReason { eos, stop, length, context, interrupted };
std::string_view name(StopReason reason);

struct Generated {
  std::vector<int32_t> ids;  // new tokens; the end token is not among them
  std::string text;          // bytes; empty without a tokenizer
  StopReason reason = StopReason::length;
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;  // of these, those that the cache had
  int64_t shifts = 0;         // how often the context was full and half of it forgotten
  double prompt_seconds = 0;
  // From the second new token on, the first to have come out of a step that is planned and warm.
  double seconds = 0;
  double prompt_tokens_per_second() const;
  double tokens_per_second() const;
};

// Called as things come, from the thread that generates; each may be empty.
struct GenerationWatch {
  std::function<void(size_t request, int32_t id)> token;
  // Whole characters that can be shown; never a part of a stop text.
  std::function<void(size_t request, std::string_view text)> text;
  std::function<bool()> stop;  // true ends all texts, after the token at hand
};

struct TextGeneratorOptions {
  int64_t context = 0;  // tokens of one text at most
  int texts = 1;        // open at once
  KvType kv = KvType::f32;
  DType precision = DType::f32;
  std::string activations = "q8_0";  // as in DecoderOptions
};

class TextGenerator {
 public:
  // Throws Error when there is no memory for the cache, or a context beyond learned positions.
  TextGenerator(Runtime& runtime, const LanguageModel& model, const TextGeneratorOptions& options);
  ~TextGenerator();
  TextGenerator(TextGenerator&&) noexcept;

  int64_t context() const;
  // A text of no tokens.
  int open();
  void close(int text);
  // What the cache has of it.
  const std::vector<int32_t>& cached(int text) const;

  // A text's ids, keys and values in a file, as Decoder::save, with a note of the caller's; opened
  // as a text. Loading throws Error for what cannot be used; all texts are as before then.
  void save(int text, const std::string& path, const std::string& note = {}) const;
  struct Loaded {
    int text;
    std::string note;
  };
  Loaded load(const std::string& path);

  // Results in the order of the requests, which name different texts. Throws Error for a prompt
  // that does not fit the context, with both counts, unless it may be shifted; for an empty one;
  // for a token or option that the vocabulary does not have.
  std::vector<Generated> run(std::span<const GenerationRequest> requests,
                             const GenerationWatch& watch = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn
