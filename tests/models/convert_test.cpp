// Hugging Face folders as GGUF files and back: equal to what llama.cpp's converter wrote, and the
// same bytes after a round trip.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "cairn/base/file.h"
#include "cairn/models/families.h"
#include "cairn/models/gguf_content.h"
#include "cairn/models/gguf_families.h"
#include "cairn/models/gguf_text.h"
#include "cairn/models/hf_export.h"
#include "cairn/models/hf_folder.h"
#include "cairn/models/language_model.h"
#include "cairn/text/bpe_tokenizer.h"
#include "tests/io/temporary_folder.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

void write(const GgufContent& content, const fs::path& path) {
  std::vector<io::GgufSource> sources;
  for (const GgufTensor& tensor : content.tensors)
    sources.push_back({tensor.name, tensor.type, tensor.shape, [&tensor] {
                         const HostArray array = tensor.read();
                         return SharedBytes(
                             array.owner(),
                             {static_cast<const std::byte*>(array.data()), array.bytes()});
                       }});
  ASSERT_TRUE(io::write_gguf(path.string(), content.metadata, sources).ok());
}

bool same_bytes(const HostArray& a, const HostArray& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

// The numbers differ by a rounding of what is near 1 at most: Gemma's norms are kept with 1 added.
bool nearly_same(const HostArray& a, const HostArray& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  for (int64_t i = 0; i < a.elements(); ++i)
    if (std::abs(a.at(i) - b.at(i)) > 0x1p-23) return false;
  return true;
}

class Converted : public testing::TestWithParam<const char*> {
 protected:
  fs::path folder = test::golden_path(GetParam());
  io::TemporaryFolder to;
};

TEST_P(Converted, IsWhatLlamaCppsConverterWrites) {
  const GgufContent content = read_gguf_content(folder).value();
  const io::GgufFile expected = io::GgufFile::open((folder / "model.gguf").string()).value();
  for (const GgufTensor& tensor : content.tensors) {
    const io::GgufEntry* entry = expected.tensor(tensor.name);
    ASSERT_TRUE(entry) << tensor.name;
    EXPECT_EQ(tensor.type, entry->type) << tensor.name;
    EXPECT_EQ(tensor.shape, entry->shape) << tensor.name;
    const HostArray ours = tensor.read(), theirs = expected.read(*entry).value();
    if (tensor.name.starts_with("rope_"))
      EXPECT_TRUE(nearly_same(ours, theirs)) << tensor.name;
    else
      EXPECT_TRUE(same_bytes(ours, theirs)) << tensor.name;
  }
  EXPECT_EQ(content.tensors.size(), expected.entries().size());
}

TEST_P(Converted, AndBackIsTheSame) {
  write(read_gguf_content(folder).value(), to / "model.gguf");
  const io::GgufFile file = io::GgufFile::open(to / "model.gguf").value();
  const fs::path again = to / "again";
  fs::create_directories(again);
  const auto was = io::SafetensorsFolder::open(folder).value();
  // GGUF has vectors in f32, whatever the matrices are in.
  const bool is_gpt = was.has("transformer.wte.weight");
  const HostArray embedding =
      was.read(is_gpt ? "transformer.wte.weight" : "model.embed_tokens.weight").value();
  const HfExport how{.dtype = embedding.dtype()};
  const HfExported done = write_hf_folder(file, again, how).value();
  EXPECT_EQ(done.files, 1u);
  const auto is = io::SafetensorsFile::open((again / "model.safetensors").string()).value();
  const bool gemma = std::string(GetParam()).find("gemma") != std::string::npos;
  for (const io::SafetensorsEntry& entry : is.entries()) {
    ASSERT_TRUE(was.has(entry.name)) << entry.name;
    const HostArray a = is.read(entry).value(), b = was.read(entry.name).value();
    EXPECT_TRUE(gemma && entry.name.find("norm") != std::string::npos ? nearly_same(a, b)
                                                                      : same_bytes(a, b))
        << entry.name;
  }
  EXPECT_EQ(done.tensors, is.entries().size());
  // Nothing is lost: the folder is a model, whose positions turn as they did.
  EXPECT_TRUE(load_language_model(again).ok());
  const auto rotary = HfFolder::open(again).value().config.rotary;
  const auto before = HfFolder::open(folder).value().config.rotary;
  ASSERT_EQ(rotary.has_value(), before.has_value());
  if (!before) return;
  EXPECT_EQ(rotary->scaling, before->scaling);
  if (before->scaling == RotaryScaling::llama3) {
    EXPECT_EQ(rotary, before);
  }
}

// Small shards, as those of more than 5 GB.
TEST_P(Converted, InShards) {
  const io::GgufFile file = io::GgufFile::open((folder / "model.gguf").string()).value();
  HfExport how{.dtype = DType::bf16, .shard_bytes = 4096};
  size_t told = 0;
  how.progress = [&](const std::string&) { ++told; };
  const HfExported done = write_hf_folder(file, to / "", how).value();
  EXPECT_GT(done.files, 1u);
  EXPECT_EQ(told, done.tensors);
  const auto index = nlohmann::json::parse(read_file(to / "model.safetensors.index.json").value());
  EXPECT_EQ(index["weight_map"].size(), done.tensors);
  EXPECT_EQ(index["metadata"]["total_size"], done.bytes);
  HfFolder read = HfFolder::open(to / "").value();
  for (const auto& [name, shard] : index["weight_map"].items())
    EXPECT_EQ(read.tensors.read(name).value().dtype(), DType::bf16);
  const auto config = nlohmann::json::parse(read_file(to / "config.json").value());
  EXPECT_EQ(config["torch_dtype"], "bfloat16");
}

INSTANTIATE_TEST_SUITE_P(Families, Converted,
                         testing::Values("families/gemma", "families/gemma2", "families/gemma3",
                                         "families/granite", "families/llama-linear",
                                         "families/llama-yarn", "families/llama3",
                                         "families/mistral", "families/olmo2", "families/phi3-long",
                                         "families/phi3-short", "families/qwen2", "families/qwen3",
                                         "families/stablelm", "families/stablelm-parallel",
                                         "twins/gpt2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name)
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           return name;
                         });

// Llama 3's scaling is recognised among the factors that files have of it; others stay factors.
TEST(ConvertedPositions, OfLlama3) {
  const auto through_gguf = [](const Rotary& rotary, int64_t width) {
    TransformerConfig c;
    c.family = "llama";
    c.vocabulary = 4;
    c.context = 131072;
    c.layers = c.heads = c.kv_heads = 1;
    c.width = c.head_width = width;
    c.hidden = 32;
    c.rotary = rotary;
    auto tensors = gguf_config_tensors(c);
    const HostArray table(DType::f32, {4, width});
    tensors.push_back({"token_embd.weight", io::find_gguf_type("F32"), {4, width}, [table] {
                         return SharedBytes(
                             table.owner(),
                             {static_cast<const std::byte*>(table.data()), table.bytes()});
                       }});
    const io::TemporaryFolder folder;
    io::write_gguf(folder / "x.gguf", to_gguf_metadata(c), tensors).value();
    return *parse_gguf_config(io::GgufFile::open(folder / "x.gguf").value()).value().rotary;
  };
  Rotary rotary{.theta = 500000, .scaling = RotaryScaling::llama3, .factor = 8, .context = 8192};
  EXPECT_EQ(through_gguf(rotary, 128), rotary);  // 3.1 8B
  rotary.factor = 32;
  EXPECT_EQ(through_gguf(rotary, 64), rotary);  // 3.2 1B
  rotary.high = 6.5;
  rotary.context = 1000;
  EXPECT_EQ(through_gguf(rotary, 64), rotary);
  // The same numbers but for their size.
  rotary.low = 2;
  rotary.high = 8;
  rotary.context = 16384;
  const Rotary halved = through_gguf(rotary, 64);
  EXPECT_EQ(halved.context, 8192);
  EXPECT_EQ(halved.high, 4);
  Rotary factors{.theta = 10000, .scaling = RotaryScaling::longrope, .context = 131072};
  factors.attention_factor = 1;
  for (int i = 0; i < 32; ++i) factors.short_factors.push_back(1 + i % 7 * 0.5);
  factors.long_factors = factors.short_factors;
  EXPECT_EQ(through_gguf(factors, 64), factors);
}

// A folder with a tokenizer, several ends of a text and a template: they come back.
TEST(ConvertedText, ComesBack) {
  const io::TemporaryFolder from, to;
  for (const char* name : {"config.json", "model.safetensors"})
    fs::copy_file(test::golden_path(std::string("families/llama3/") + name), from / name);
  const auto config = nlohmann::json::parse(read_file(from / "config.json").value());
  const int64_t vocabulary = config["vocab_size"];
  // Some bytes and special tokens; the model has room for one more.
  text::BpeDescription description;
  for (int id = 0; id < vocabulary - 4; ++id) {
    const char byte = id == 0 ? '!' : static_cast<char>('a' + id - 1);
    description.vocabulary.tokens.emplace_back(1, byte);
    description.byte_ids[static_cast<uint8_t>(byte)] = id;
  }
  for (const char* name : {"<s>", "</s>", "<|eot|>"}) {
    description.vocabulary.added.push_back(
        {.id = static_cast<int32_t>(description.vocabulary.tokens.size()), .content = name});
    description.vocabulary.tokens.emplace_back(name);
  }
  const auto bos = static_cast<int32_t>(vocabulary - 4);
  description.vocabulary.bos = bos;
  description.vocabulary.eos = bos + 1;
  description.vocabulary.prefix = {bos};
  const auto tokenizer = text::make_bpe_tokenizer(std::move(description));
  ASSERT_TRUE(text::save_tokenizer(*tokenizer, from / "", "{{ messages }}").ok());
  const nlohmann::json generation = {{"eos_token_id", {bos + 2, bos + 1}}};
  ASSERT_TRUE(write_file_atomically(from / "generation_config.json", generation.dump()).ok());

  write(read_gguf_content(from / "").value(), to / "model.gguf");
  const LanguageModel model = load_language_model(to / "model.gguf").value();
  ASSERT_TRUE(model.tokenizer);
  EXPECT_EQ(model.bos, bos);
  EXPECT_EQ(model.ends, (std::vector<int>{bos + 1, bos + 2}));
  EXPECT_EQ(model.tokenizer->vocabulary_size(), vocabulary);  // the last one is unused
  EXPECT_EQ(load_model_template(to / "model.gguf", false).value().source, "{{ messages }}");
  EXPECT_EQ(model.tokenizer->encode("abc!"), tokenizer->encode("abc!"));
  const text::EncodeOptions all{.add_special = true, .parse_special = true};
  EXPECT_EQ(model.tokenizer->encode("abc<s>!", all), tokenizer->encode("abc<s>!", all));

  const io::GgufFile file = io::GgufFile::open(to / "model.gguf").value();
  fs::create_directories(to / "again");
  ASSERT_TRUE(write_hf_folder(file, to / "again", {}).ok());
  const LanguageModel again = load_language_model(to / "again").value();
  EXPECT_EQ(again.ends, model.ends);
  EXPECT_EQ(again.bos, bos);
  EXPECT_EQ(again.tokenizer->encode("abc<s>!", all), tokenizer->encode("abc<s>!", all));
  EXPECT_EQ(load_model_template(to / "again", false).value().source, "{{ messages }}");
}

TEST(ConvertedText, WhatDoesNotBelongTogetherIsAnError) {
  const io::TemporaryFolder from;
  for (const char* name : {"config.json", "model.safetensors"})
    fs::copy_file(test::golden_path(std::string("families/llama3/") + name), from / name);
  ASSERT_TRUE(text::save_tokenizer(*text::make_byte_tokenizer(), from / "").ok());
  EXPECT_THAT(read_gguf_content(from / "").error().what(),
              HasSubstr("the tokenizer has 256 tokens and the model"));
  EXPECT_THAT(read_gguf_content(from / "absent").error().what(), HasSubstr("absent"));
  EXPECT_THAT(read_gguf_content(from / "model.safetensors").error().what(),
              HasSubstr("is safetensors; expected a Hugging Face folder"));
  fs::remove(from / "config.json");
  EXPECT_THAT(read_gguf_content(from / "").error().what(), HasSubstr("has no config.json"));
  EXPECT_THAT(read_gguf_content(test::golden_path("families/llama-dynamic")).error().what(),
              HasSubstr("'dynamic'"));
}

}  // namespace
}  // namespace cairn
