// What a sequence's scores may not depend on, and what can be done with sequences.
#include "cairn/llm/decoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cairn/base/file.h"
#include "cairn/io/safetensors.h"
#include "cairn/llm/generate.h"
#include "tests/io/temporary_folder.h"

namespace cairn {
namespace {

using Ids = std::vector<int32_t>;
using Scores = std::vector<float>;

constexpr int64_t kVocabulary = 20;

TransformerConfig small_config() {
  TransformerConfig c;
  c.vocabulary = kVocabulary;
  c.context = 1024;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.width = 64;
  c.head_width = 32;
  c.hidden = 48;
  c.initial_deviation = 0.3;
  return c;
}

Ids some_ids(int64_t count, int32_t from = 0) {
  Ids ids;
  for (int32_t i = 0; i < count; ++i) ids.push_back((i * 7 + i / 5 + from) % kVocabulary);
  return ids;
}

Scores feed(Decoder& decoder, int sequence, std::span<const int32_t> ids) {
  const Decoder::Part part{sequence, ids};
  return decoder.feed(std::span(&part, 1)).to_vector<float>();
}

// The scores after these tokens, fed to a decoder of their own.
Scores alone(Runtime& runtime, Transformer& model, KvType kv, const Ids& ids) {
  Decoder decoder(runtime, model, {.tokens = 1000, .kv = kv});
  return feed(decoder, decoder.open(), ids);
}

float largest(const Scores& scores) {
  float most = 0;
  for (const float x : scores) most = std::max(most, std::abs(x));
  return most;
}

std::string message(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

class DecoderTest : public testing::TestWithParam<KvType> {
 protected:
  DecoderTest() { initialize(runtime, model, 3); }
  DecoderOptions options(int64_t tokens, int sequences = 1) const {
    return {.tokens = tokens, .max_sequences = sequences, .kv = GetParam()};
  }
  Scores expected(const Ids& ids) { return alone(runtime, model, GetParam(), ids); }

  Runtime runtime{{.threads = 1}};
  Transformer model{small_config()};
};

INSTANTIATE_TEST_SUITE_P(Types, DecoderTest,
                         testing::Values(KvType::f32, KvType::f16, KvType::q8_0),
                         [](const auto& info) { return std::string(name(info.param)); });

TEST_P(DecoderTest, PiecesAreTheWhole) {
  const Ids ids = some_ids(600);
  const Scores whole = expected(ids);
  Decoder decoder(runtime, model, options(700));
  const int s = decoder.open();
  for (const std::vector<size_t>& pieces : {std::vector<size_t>{512, 88},
                                            {1, 599},
                                            {63, 1, 1, 64, 471},
                                            {400, 199, 1},
                                            {5, 9, 16, 2, 33, 24, 511}}) {
    decoder.truncate(s, 0);
    size_t at = 0;
    Scores scores;
    for (const size_t n : pieces) {
      scores = feed(decoder, s, std::span(ids).subspan(at, n));
      at += n;
    }
    EXPECT_EQ(decoder.length(s), 600);
    EXPECT_EQ(scores, whole) << pieces.size();
  }
}

// Sequences of other lengths beside it, in numbers that are rounded up and that are not, in blocks
// that others had before.
TEST_P(DecoderTest, ASequenceDoesNotSeeWhoIsBesideIt) {
  Decoder decoder(runtime, model, options(2000, 9));
  std::vector<Ids> texts;
  std::vector<int> sequences;
  for (const int64_t length : {130, 1, 64, 63, 65, 200, 5, 128, 17}) {
    texts.push_back(some_ids(length, static_cast<int32_t>(length)));
    sequences.push_back(decoder.open());
    feed(decoder, sequences.back(), texts.back());
  }
  for (const size_t closed : {size_t{0}, size_t{5}}) {
    decoder.close(sequences[closed]);
    texts[closed] = some_ids(90, 3);
    sequences[closed] = decoder.open();
    feed(decoder, sequences[closed], texts[closed]);
  }
  for (const size_t count : {1u, 2u, 3u, 7u, 9u}) {
    std::vector<Decoder::Part> parts;
    for (size_t i = 0; i < count; ++i) {
      texts[i].push_back(static_cast<int32_t>((i + count) % kVocabulary));
      parts.push_back({sequences[i], std::span(texts[i]).last(1)});
    }
    const Tensor scores = decoder.feed(parts);
    const Scores rows = scores.to_vector<float>();
    ASSERT_EQ(scores.shape(), (Shape{static_cast<int64_t>(count), kVocabulary}));
    for (size_t i = 0; i < count; ++i)
      EXPECT_EQ(Scores(rows.begin() + static_cast<int64_t>(i) * kVocabulary,
                       rows.begin() + static_cast<int64_t>(i + 1) * kVocabulary),
                expected(texts[i]))
          << i << " of " << count;
  }
}

TEST_P(DecoderTest, PromptsAndSingleTokensInOneCall) {
  Decoder decoder(runtime, model, options(500, 3));
  const Ids first = some_ids(70), second = some_ids(30, 4), third = some_ids(20, 9);
  const int a = decoder.open(), b = decoder.open(), c = decoder.open();
  feed(decoder, b, std::span(second).first(29));
  const Decoder::Part parts[] = {{a, first}, {b, std::span(second).last(1)}, {c, third}};
  Scores all = expected(first);
  for (const Ids& ids : {second, third}) {
    const Scores more = expected(ids);
    all.insert(all.end(), more.begin(), more.end());
  }
  EXPECT_EQ(decoder.feed(parts).to_vector<float>(), all);
}

TEST_P(DecoderTest, ThreadsDoNotMatter) {
  Runtime three({.threads = 3});
  EXPECT_EQ(alone(three, model, GetParam(), some_ids(150)), expected(some_ids(150)));
}

TEST_P(DecoderTest, AForkGoesItsOwnWay) {
  Decoder decoder(runtime, model, options(400, 3));
  Ids ids = some_ids(100), other = ids, third = ids;
  const int a = decoder.open();
  feed(decoder, a, ids);
  const int64_t before = decoder.free_tokens();
  const int b = decoder.fork(a), c = decoder.fork(a);
  EXPECT_EQ(decoder.free_tokens(), before);  // all blocks are shared
  ids.push_back(1), other.push_back(2), third.push_back(3);
  EXPECT_EQ(feed(decoder, b, std::span(other).last(1)), expected(other));
  EXPECT_EQ(feed(decoder, a, std::span(ids).last(1)), expected(ids));
  decoder.close(a);
  other.push_back(5), third.push_back(6);
  const Decoder::Part parts[] = {{b, std::span(other).last(1)}, {c, std::span(third).last(2)}};
  Scores both = expected(other);
  const Scores last = expected(third);
  both.insert(both.end(), last.begin(), last.end());
  EXPECT_EQ(decoder.feed(parts).to_vector<float>(), both);
  decoder.close(b);
  decoder.close(c);
  EXPECT_EQ(decoder.free_tokens(), 576);  // whatever 3 sequences of 400 together take
}

TEST_P(DecoderTest, WhatIsCutOffLeavesNoTrace) {
  Decoder decoder(runtime, model, options(300, 2));
  const int a = decoder.open();
  feed(decoder, a, some_ids(200));
  const int b = decoder.fork(a);
  decoder.truncate(a, 70);
  EXPECT_EQ(decoder.length(a), 70);
  Ids ids = some_ids(70);
  for (const int32_t id : {4, 4, 2}) ids.push_back(id);
  EXPECT_EQ(feed(decoder, a, std::span(ids).last(3)), expected(ids));
  // The fork keeps the block that was cut in a.
  Ids whole = some_ids(200);
  whole.push_back(7);
  EXPECT_EQ(feed(decoder, b, std::span(whole).last(1)), expected(whole));
}

// With one layer a token's keys and values do not depend on the tokens before it, so what is
// forgotten is as if it had never been there, but for the roundings of keys that are turned twice.
TEST_P(DecoderTest, AShiftIsAsIfTheTokensHadNeverBeen) {
  TransformerConfig c = small_config();
  c.layers = 1;
  c.rotary->width = 16;
  c.rotary->scaling = RotaryScaling::yarn;
  c.rotary->factor = 4;
  c.rotary->context = 64;
  Transformer shallow(c);
  initialize(runtime, shallow, 3);
  for (const auto& [keep, count] :
       {std::pair<int64_t, int64_t>{4, 50}, {0, 64}, {64, 70}, {3, 140}}) {
    const Ids ids = some_ids(150);
    Ids rest(ids.begin(), ids.begin() + keep);
    rest.insert(rest.end(), ids.begin() + keep + count, ids.end());
    rest.push_back(9);
    Decoder decoder(runtime, shallow, options(400, 2));
    const int s = decoder.open();
    feed(decoder, s, ids);
    const int whole = decoder.fork(s);  // its blocks must not change
    decoder.shift(s, keep, count);
    EXPECT_EQ(decoder.length(s), 150 - count);
    const Scores got = feed(decoder, s, std::span(rest).last(1));
    const Scores wanted = alone(runtime, shallow, GetParam(), rest);
    // As far apart as two roundings make them; see NarrowPoolsAreNearTheWideOne.
    const float unit = GetParam() == KvType::f32   ? 0x1p-24f
                       : GetParam() == KvType::f16 ? 0x1p-11f
                                                   : 1 / 254.0f;
    const float bound = 32 * unit * largest(wanted);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], bound) << keep;
    Ids more = ids;
    more.push_back(2);
    EXPECT_EQ(feed(decoder, whole, std::span(more).last(1)),
              alone(runtime, shallow, GetParam(), more));
  }
}

TEST_P(DecoderTest, ASessionGoesOnWhereItWas) {
  const io::TemporaryFolder folder;
  const std::string path = folder / "session";
  Ids ids = some_ids(130);
  {
    Decoder decoder(runtime, model, options(200));
    const int s = decoder.open();
    feed(decoder, s, ids);
    decoder.save(s, path, "a note");
  }
  Decoder decoder(runtime, model, options(600, 2));
  feed(decoder, decoder.open(), some_ids(70, 2));
  const Decoder::Loaded loaded = decoder.load(path);
  EXPECT_EQ(loaded.note, "a note");
  EXPECT_EQ(decoder.length(loaded.sequence), 130);
  ids.push_back(5);
  EXPECT_EQ(feed(decoder, loaded.sequence, std::span(ids).last(1)), expected(ids));
  EXPECT_NE(message([&] { decoder.load(path); }).find("all 2 sequences are open"),
            std::string::npos);
  // The same tokens give the same file.
  decoder.truncate(loaded.sequence, 130);
  decoder.save(loaded.sequence, folder / "again", "a note");
  EXPECT_EQ(read_file(folder / "again").value().size(), read_file(path).value().size());
}

TEST(Decoder, ASessionOfSomethingElseIsRefused) {
  Runtime runtime({.threads = 1});
  Transformer model(small_config()), other(small_config());
  initialize(runtime, model, 3);
  initialize(runtime, other, 4);
  const io::TemporaryFolder folder;
  const std::string path = folder / "session";
  Decoder decoder(runtime, model, {.tokens = 200, .max_sequences = 2});
  const int s = decoder.open();
  feed(decoder, s, some_ids(100));
  decoder.save(s, path, "a note");
  const auto refusal = [&](Transformer& of, const DecoderOptions& options) {
    return message([&] { Decoder(runtime, of, options).load(path); });
  };
  EXPECT_NE(refusal(other, {.tokens = 200}).find("another model"), std::string::npos);
  EXPECT_NE(refusal(model, {.tokens = 200, .kv = KvType::q8_0}).find("as f16"), std::string::npos);
  EXPECT_NE(refusal(model, {.tokens = 80}).find("100 tokens, and the context is 80"),
            std::string::npos);
  EXPECT_NE(message([&] { decoder.load(folder / "missing"); }).find("missing"), std::string::npos);
  feed(decoder, decoder.open(), some_ids(100));
  decoder.close(0);
  EXPECT_EQ(decoder.length(decoder.load(path).sequence), 100);
  EXPECT_NE(refusal(model, {.tokens = 200, .activations = ""}).find("products in f32 q8_0"),
            std::string::npos);
  // One wrong bit, in the keys and in the note.
  const std::string bytes = read_file(path).value();
  for (const size_t at : {bytes.size() - 9000, bytes.find("\"note\"") + 9}) {
    std::string damaged = bytes;
    damaged[at] ^= 1;
    write_file_atomically(path, damaged).value();
    EXPECT_NE(refusal(model, {.tokens = 200}).find("damaged"), std::string::npos) << at;
  }
  // Tensors without what they belong to.
  const HostArray nothing(DType::f16, {0, 2, 64, 32});
  const io::NamedArray tensors[] = {{"layers.0.keys", nothing}};
  io::write_safetensors(path, tensors, {{"format", "cairn session 2"}}).value();
  EXPECT_NE(message([&] { decoder.load(path); }).find("does not say its model"), std::string::npos);
  io::write_safetensors(path, tensors, {{"format", "cairn session 1"}}).value();
  EXPECT_NE(message([&] { decoder.load(path); }).find("this one reads 'cairn session 2'"),
            std::string::npos);
  // Cut anywhere, or something else.
  for (const size_t size :
       {size_t{0}, size_t{5}, size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    write_file_atomically(path, bytes.substr(0, size)).value();
    const std::string refused = refusal(model, {.tokens = 200});
    EXPECT_NE(refused.find(path + "' is cut, damaged or no session"), std::string::npos)
        << size << ": " << refused;
  }
}

TEST(Decoder, AnF32PoolGivesTheBitsOfTheWholePass) {
  for (const int64_t window : {0, 20}) {
    TransformerConfig c = small_config();
    c.windows = {window, window};
    Runtime runtime({.threads = 1});
    Transformer model(c);
    initialize(runtime, model, 5);
    const Ids ids = some_ids(150);
    const Scores all = full_logits(runtime, model, ids).to_vector<float>();
    Decoder decoder(runtime, model, {.tokens = 150, .kv = KvType::f32});
    const int s = decoder.open();
    feed(decoder, s, std::span(ids).first(100));
    for (size_t i = 100; i < 150; ++i) {
      const Scores scores = feed(decoder, s, std::span(ids).subspan(i, 1));
      const auto from = all.begin() + static_cast<int64_t>(i) * kVocabulary;
      ASSERT_EQ(scores, Scores(from, from + kVocabulary)) << window << " " << i;
    }
    EXPECT_EQ(decoder.free_tokens(), window ? 128 : 0);
    if (window) {
      // Tokens that the window left behind are gone.
      EXPECT_NE(message([&] { decoder.truncate(s, 80); }).find("windows of 20"), std::string::npos);
      decoder.truncate(s, 148);
      EXPECT_EQ(feed(decoder, s, std::span(ids).last(2)),
                Scores(all.end() - kVocabulary, all.end()));
    }
  }
}

// The narrow types are near the wide one: an f16 number errs by 2^-11 of itself, an i8 by half a
// step of its group's largest.
TEST(Decoder, NarrowPoolsAreNearTheWideOne) {
  Runtime runtime({.threads = 1});
  Transformer model(small_config());
  initialize(runtime, model, 3);
  const Ids ids = some_ids(150);
  const Scores wide = alone(runtime, model, KvType::f32, ids);
  const float size = largest(wide);
  const auto error = [&](KvType kv) {
    const Scores narrow = alone(runtime, model, kv, ids);
    float most = 0;
    for (size_t i = 0; i < wide.size(); ++i) most = std::max(most, std::abs(narrow[i] - wide[i]));
    return most / size;
  };
  const float f16 = error(KvType::f16), q8 = error(KvType::q8_0);
  EXPECT_GT(f16, 0);
  EXPECT_LT(f16, 0x1p-11f * 16);
  EXPECT_GT(q8, f16);
  EXPECT_LT(q8, 16 / 254.0f);
}

TEST(Decoder, PlansAreFew) {
  Runtime runtime({.threads = 1});
  Transformer model(small_config());
  initialize(runtime, model, 3);
  Decoder decoder(runtime, model, {.tokens = 1000, .max_sequences = 16});
  std::vector<int> sequences;
  for (int i = 0; i < 16; ++i) sequences.push_back(decoder.open());
  const auto feed_all = [&](size_t count) {
    std::vector<Decoder::Part> parts;
    static constexpr int32_t kId = 3;
    for (size_t i = 0; i < count; ++i) parts.push_back({sequences[i], std::span(&kId, 1)});
    decoder.feed(parts);
  };
  for (size_t count = 1; count <= 16; ++count) feed_all(count);  // 1, 2, 4, 8, 16
  for (const int64_t length : {2, 16, 17, 64, 65, 400}) {        // a step of each size
    feed(decoder, sequences[0], some_ids(length));
    decoder.truncate(sequences[0], 1);
  }
  const RuntimeStats before = runtime.stats();
  // And those of values that are kept, and the pool.
  EXPECT_LE(before.plans_made, 5 + std::ssize(Decoder::kChunks) + 1 + 8);
  for (size_t count = 1; count <= 16; ++count) feed_all(count);
  for (int64_t length = 2; length < 600; length += 37) {
    decoder.truncate(sequences[0], 0);
    feed(decoder, sequences[0], some_ids(length));
  }
  EXPECT_EQ(runtime.stats().plans_made, before.plans_made);
}

TEST(Decoder, ThePoolIsWrittenWhereItIs) {
  size_t most = 0;
  Runtime runtime(
      {.threads = 1, .on_run = [&](const Plan&, size_t bytes) { most = std::max(most, bytes); }});
  Transformer model(small_config());
  initialize(runtime, model, 3);
  const DecoderOptions options{.tokens = 8000};
  Decoder decoder(runtime, model, options);
  const int s = decoder.open();
  feed(decoder, s, some_ids(3));
  feed(decoder, s, some_ids(1));
  most = 0;
  feed(decoder, s, some_ids(64));
  feed(decoder, s, some_ids(1));
  decoder.shift(s, 2, 20);
  EXPECT_GT(most, 0u);
  EXPECT_LT(most, Decoder::pool_bytes(model.config(), options) / 8);
}

TEST(Decoder, PreparedItMakesNoPlanAnyMore) {
  Runtime runtime({.threads = 1});
  Transformer model(small_config());
  initialize(runtime, model, 3);
  Decoder decoder(runtime, model, {.tokens = 1000, .max_sequences = 3});
  decoder.prepare(600);
  decoder.prepare(1, 3);
  const RuntimeStats prepared = runtime.stats();
  std::vector<Decoder::Part> parts;
  const Ids ids = some_ids(600);
  for (int i = 0; i < 3; ++i) parts.push_back({decoder.open(), std::span(ids).first(1)});
  decoder.feed(parts);
  decoder.truncate(0, 0);
  feed(decoder, 0, ids);
  EXPECT_EQ(runtime.stats().plans_made, prepared.plans_made);
}

TEST(Decoder, MistakesNameTheNumbers) {
  Runtime runtime({.threads = 1});
  Transformer model(small_config());
  initialize(runtime, model, 3);
  Decoder decoder(runtime, model, {.tokens = 200, .max_sequences = 2, .context = 150});
  const int a = decoder.open(), b = decoder.open();
  const auto expect = [&](const std::string& got, const char* part) {
    EXPECT_NE(got.find(part), std::string::npos) << got;
  };
  expect(message([&] { decoder.open(); }), "all 2 sequences are open");
  expect(message([&] { feed(decoder, 7, some_ids(3)); }), "sequence 7 is not open");
  expect(message([&] { feed(decoder, a, {}); }), "no tokens");
  expect(message([&] { feed(decoder, a, Ids{1, 20}); }),
         "token 20 is not in the model's vocabulary");
  expect(message([&] { feed(decoder, a, some_ids(151)); }), "0 tokens and 151 more do not fit");
  feed(decoder, a, some_ids(150));
  expect(message([&] { feed(decoder, b, some_ids(129)); }),
         "room for 128 more, and 192 are needed");
  EXPECT_EQ(decoder.length(b), 0);
  const Ids one = {1};
  const Decoder::Part twice[] = {{b, one}, {b, one}};
  expect(message([&] { decoder.feed(twice); }), "sequence 1 is given twice");
  expect(message([&] { decoder.truncate(b, 1); }), "cannot be cut to 1");
  feed(decoder, b, some_ids(100));
  EXPECT_EQ(decoder.length(b), 100);

  TransformerConfig narrow = small_config();
  narrow.head_width = 16;
  Transformer other(narrow);
  expect(message([&] { Decoder(runtime, other, {.tokens = 10, .kv = KvType::q8_0}); }),
         "groups of 32 numbers");
  expect(message([] { kv_type_of("q4_0"); }), "f32, f16 or q8_0, not in 'q4_0'");
  EXPECT_EQ(kv_type_of("q8_0"), KvType::q8_0);
}

}  // namespace
}  // namespace cairn
