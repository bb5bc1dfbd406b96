// Generation: ends, what the cache is reused for, full contexts, texts beside each other.
#include "cairn/llm/generation.h"

#include <gtest/gtest.h>

#include "cairn/llm/decoder.h"
#include "cairn/text/bpe_tokenizer.h"
#include "tests/support/message_of.h"

namespace cairn {
namespace {

constexpr int64_t kContext = 48;

class GenerationTest : public testing::Test {
 protected:
  GenerationTest() {
    TransformerConfig c;
    c.family = "llama";
    c.vocabulary = 256;
    c.context = 512;
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = 2;
    c.width = 16;
    c.head_width = 4;
    c.hidden = 24;
    c.initial_deviation = 0.5;
    model.transformer = std::make_unique<Transformer>(c);
    initialize(runtime, *model.transformer, 3);
    model.tokenizer = text::make_byte_tokenizer();
  }
  TextGenerator generator(int texts = 1, int64_t context = kContext) {
    return {runtime, model, {.context = context, .texts = texts}};
  }
  Generated run(TextGenerator& g, int text, const std::vector<int32_t>& prompt,
                const GenerationOptions& options, const GenerationWatch& watch = {}) {
    const GenerationRequest request{text, prompt, options};
    return g.run(std::span(&request, 1), watch)[0];
  }
  Runtime runtime{{.threads = 1}};
  LanguageModel model;
};

TEST_F(GenerationTest, LengthStopAndEndTokens) {
  TextGenerator g = generator();
  const int text = g.open();
  const std::vector<int32_t> prompt{5, 6, 7};
  const Generated plain = run(g, text, prompt, {.max_tokens = 20});
  EXPECT_EQ(plain.reason, StopReason::length);
  ASSERT_EQ(plain.ids.size(), 20u);
  EXPECT_EQ(plain.text, model.tokenizer->decode(plain.ids));
  EXPECT_EQ(plain.prompt_tokens, 3);
  EXPECT_EQ(run(g, text, prompt, {.max_tokens = 0}).ids.size(), 0u);

  // A stop text over a border of tokens: the last byte of one and the first of the next.
  const std::string stop = plain.text.substr(6, 2);
  const Generated stopped = run(g, text, prompt, {.max_tokens = 20, .stop = {"never", stop}});
  EXPECT_EQ(stopped.reason, StopReason::stop);
  EXPECT_EQ(stopped.text, plain.text.substr(0, plain.text.find(stop)));

  // Several end tokens: whichever comes first, and it is not part of the text.
  model.ends = {plain.ids[9], plain.ids[5]};
  const auto first = std::ranges::find_if(plain.ids, [&](int id) { return model.is_end(id); });
  const Generated ended = run(g, text, prompt, {.max_tokens = 20});
  EXPECT_EQ(ended.reason, StopReason::eos);
  EXPECT_EQ(ended.ids, std::vector<int32_t>(plain.ids.begin(), first));
  EXPECT_EQ(run(g, text, prompt, {.max_tokens = 20, .ignore_eos = true}).ids, plain.ids);
}

TEST_F(GenerationTest, TheCacheIsReusedUpToWhereThePromptDiffers) {
  TextGenerator g = generator();
  const int text = g.open();
  std::vector<int32_t> prompt{5, 6, 7, 8};
  const Generated first = run(g, text, prompt, {.max_tokens = 6});
  EXPECT_EQ(first.reused_tokens, 0);
  // The last new token was never fed.
  EXPECT_EQ(g.cached(text).size(), 9u);
  prompt.insert(prompt.end(), first.ids.begin(), first.ids.end());
  prompt.insert(prompt.end(), {1, 2});
  const Generated second = run(g, text, prompt, {.max_tokens = 4});
  EXPECT_EQ(second.prompt_tokens, 12);
  EXPECT_EQ(second.reused_tokens, 9);
  TextGenerator other = generator();
  EXPECT_EQ(run(other, other.open(), prompt, {.max_tokens = 4}).ids, second.ids);
  // The same prompt again feeds its last token only; another beginning, all of it.
  EXPECT_EQ(run(g, text, prompt, {.max_tokens = 4}).reused_tokens, 11);
  prompt[2] = 100;
  EXPECT_EQ(run(g, text, prompt, {.max_tokens = 4}).reused_tokens, 2);
  prompt[0] = 100;
  EXPECT_EQ(run(g, text, prompt, {.max_tokens = 4}).reused_tokens, 0);
}

// What a window has left behind is fed again when the prompt goes back to it.
TEST_F(GenerationTest, WindowsAreFedAgain) {
  TransformerConfig c = model.transformer->config();
  c.windows = {16, 16};
  model.transformer = std::make_unique<Transformer>(c);
  initialize(runtime, *model.transformer, 3);
  TextGenerator g = generator(1, 300);
  const int text = g.open();
  const GenerationOptions options{.max_tokens = 5};
  run(g, text, std::vector<int32_t>(250, 9), options);
  std::vector<int32_t> prompt(30, 9);
  prompt.push_back(8);
  const Generated back = run(g, text, prompt, options);
  EXPECT_EQ(back.reused_tokens, 0);
  TextGenerator other = generator(1, 300);
  EXPECT_EQ(run(other, other.open(), prompt, options).ids, back.ids);
  EXPECT_EQ(run(g, text, prompt, options).reused_tokens, 30);
}

TEST_F(GenerationTest, AFullContext) {
  TextGenerator g = generator();
  const int text = g.open();
  const std::vector<int32_t> prompt(40, 9);
  const Generated full = run(g, text, prompt, {.max_tokens = 20});
  EXPECT_EQ(full.reason, StopReason::context);
  EXPECT_EQ(full.ids.size(), 9u);  // the last needs no place
  EXPECT_EQ(test::message_of([&] { run(g, text, std::vector<int32_t>(49, 9), {.max_tokens = 1}); }),
            "the prompt has 49 tokens and the context 48; use a shorter prompt, a larger context, "
            "or let the context shift");
  EXPECT_EQ(run(g, text, std::vector<int32_t>(48, 9), {.max_tokens = 1}).ids.size(), 1u);
}

// Learned positions cannot move: what is left is fed again, as if it had been the prompt.
TEST_F(GenerationTest, AContextThatIsShiftedWithLearnedPositions) {
  TransformerConfig c = model.transformer->config();
  c.family = "gpt";
  c.rotary = std::nullopt;
  model.transformer = std::make_unique<Transformer>(c);
  initialize(runtime, *model.transformer, 3);
  TextGenerator g = generator();
  const int text = g.open();
  const std::vector<int32_t> prompt(40, 9);
  const GenerationOptions options{.max_tokens = 60, .context_shift = true};
  const Generated shifted = run(g, text, prompt, options);
  EXPECT_EQ(shifted.reason, StopReason::length);
  ASSERT_EQ(shifted.ids.size(), 60u);
  EXPECT_EQ(shifted.shifts, 3);  // when 49, 73 and 97 tokens are there
  std::vector<int32_t> all = prompt;
  all.insert(all.end(), shifted.ids.begin(), shifted.ids.end());
  const std::vector<int32_t> rest(all.begin() + 24, all.begin() + 49);
  TextGenerator other = generator();
  EXPECT_EQ(run(other, other.open(), rest, {.max_tokens = 5}).ids,
            std::vector<int32_t>(all.begin() + 49, all.begin() + 54));
  // A prompt that is too long loses its older part.
  EXPECT_EQ(run(g, text, std::vector<int32_t>(100, 9), options).prompt_tokens, 24);
}

// The most likely token after those that the decoder has and `id`.
int32_t next_token(Decoder& decoder, int sequence, int32_t id) {
  const Decoder::Part part{sequence, std::span(&id, 1)};
  const auto scores = decoder.feed(std::span(&part, 1)).to_vector<float>();
  return static_cast<int32_t>(std::ranges::max_element(scores) - scores.begin());
}

// With rotary positions keys are turned to their new places and values stay: what llama.cpp does,
// which forgets (context - kept) / 2 tokens when the context is full.
TEST_F(GenerationTest, AContextThatIsShifted) {
  constexpr int64_t kKeep = 5;
  TextGenerator g = generator();
  const int text = g.open();
  std::vector<int32_t> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(i * 31 % 256);
  const Generated shifted =
      run(g, text, ids, {.max_tokens = 60, .context_shift = true, .keep = kKeep});
  EXPECT_EQ(shifted.reason, StopReason::length);
  EXPECT_EQ(shifted.shifts, 3);
  EXPECT_EQ(shifted.reused_tokens, 0);
  // The same by hand.
  Decoder decoder(runtime, *model.transformer, {.tokens = kContext, .kv = KvType::f32});
  const int sequence = decoder.open();
  const Decoder::Part part{sequence, std::span(ids).first(39)};
  decoder.feed(std::span(&part, 1));
  std::vector<int32_t> expected;
  int32_t id = ids.back();
  while (expected.size() < 60) {
    if (decoder.length(sequence) == kContext)
      decoder.shift(sequence, kKeep, (kContext - kKeep) / 2);
    expected.push_back(id = next_token(decoder, sequence, id));
  }
  EXPECT_EQ(shifted.ids, expected);
  // What is kept stands at the front.
  const auto& cached = g.cached(text);
  EXPECT_EQ(std::ssize(cached), decoder.length(sequence));
  EXPECT_TRUE(std::equal(cached.begin(), cached.begin() + kKeep, ids.begin()));
  EXPECT_TRUE(std::equal(cached.begin() + kKeep, cached.end(),
                         shifted.ids.end() - 1 - (std::ssize(cached) - kKeep)));
  // Of one layer, values saw nothing of what is forgotten: as if what is left were the prompt.
  TransformerConfig c = model.transformer->config();
  c.layers = 1;
  model.transformer = std::make_unique<Transformer>(c);
  initialize(runtime, *model.transformer, 3);
  TextGenerator shallow = generator();
  const Generated one =
      run(shallow, shallow.open(), ids, {.max_tokens = 14, .context_shift = true});
  std::vector<int32_t> all = ids;
  all.insert(all.end(), one.ids.begin(), one.ids.end());
  const std::vector<int32_t> rest(all.begin() + 24, all.begin() + 49);
  TextGenerator other = generator();
  EXPECT_EQ(run(other, other.open(), rest, {.max_tokens = 5}).ids,
            std::vector<int32_t>(all.begin() + 49, all.begin() + 54));
}

TEST_F(GenerationTest, TextsDoNotDependOnEachOther) {
  TextGenerator g = generator(3);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 3; ++i)
    requests.push_back({g.open(),
                        std::vector<int32_t>(static_cast<size_t>(3 + 4 * i), 30 + i),
                        {.sampling = {.temperature = 0.5 * i, .top_k = 5 * i, .seed = 3},
                         .max_tokens = 12 - 3 * i}});
  const auto together = g.run(requests);
  for (size_t i = 0; i < 3; ++i) {
    TextGenerator alone = generator();
    GenerationRequest request = requests[i];
    request.text = alone.open();
    EXPECT_EQ(alone.run(std::span(&request, 1))[0].ids, together[i].ids) << i;
  }
  EXPECT_EQ(test::message_of([&] { g.open(); }),
            "all 3 sequences are open; close one, or ask for more");
  g.close(1);
  EXPECT_EQ(g.open(), 1);
}

TEST_F(GenerationTest, WhatIsWatchedIsTheText) {
  TextGenerator g = generator();
  std::string text;
  std::vector<int32_t> ids;
  int asked = 0;
  const GenerationWatch watch{.token = [&](size_t, int32_t id) { ids.push_back(id); },
                              .text = [&](size_t, std::string_view piece) { text += piece; },
                              .stop = [&] { return ++asked > 8; }};
  const Generated result = run(g, g.open(), {5, 6}, {.max_tokens = 20}, watch);
  EXPECT_EQ(result.reason, StopReason::interrupted);
  EXPECT_EQ(result.ids.size(), 7u);
  EXPECT_EQ(ids, result.ids);
  EXPECT_EQ(text, result.text);
}

// Between the pieces of a long prompt too: what was fed is kept for the next time.
TEST_F(GenerationTest, AStopWhileThePromptIsRead) {
  TextGenerator g = generator(1, 1500);
  const int text = g.open();
  const std::vector<int32_t> prompt(1200, 9);
  int asked = 0;
  const GenerationWatch watch{.stop = [&] { return ++asked > 1; }};
  const Generated result = run(g, text, prompt, {}, watch);
  EXPECT_EQ(result.reason, StopReason::interrupted);
  EXPECT_TRUE(result.ids.empty());
  EXPECT_EQ(g.cached(text).size(), 512u);
  EXPECT_EQ(run(g, text, prompt, {.max_tokens = 1}).reused_tokens, 512);
}

TEST_F(GenerationTest, MistakesNameTheNumbers) {
  TextGenerator g = generator();
  const int text = g.open();
  EXPECT_NE(test::message_of([&] { run(g, text, {}, {}); }).find("the prompt has no tokens"),
            std::string::npos);
  EXPECT_EQ(test::message_of([&] { run(g, text, {1, 256}, {}); }),
            "token 256 is not in the model's vocabulary of 256");
  EXPECT_NE(test::message_of([&] { run(g, text, {1}, {.sampling = {.top_p = 2}}); }).find("top-p"),
            std::string::npos);
  EXPECT_NE(test::message_of([&] { generator(1, 0); }).find("a context of 0"), std::string::npos);
}

}  // namespace
}  // namespace cairn
