// Packed weights in a file: the same scores, nothing packed at the second load, and nothing
// believed.
#include "cairn/models/packed_weights.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "cairn/llm/generate.h"
#include "cairn/models/families.h"
#include "cairn/models/language_model.h"
#include "tests/io/temporary_folder.h"
#include "tests/llm/config_with_panels.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

using Scores = std::vector<float>;

struct Loaded {
  Scores scores;
  size_t mapped = 0, made = 0;
  std::vector<std::string> warnings, notes;
};

Scores scores_of(Runtime& runtime, const LanguageModel& model) {
  Generator generator(runtime, *model.transformer, 64);
  const std::vector<int32_t> ids = {1, 5, 7, 3, 2};
  generator.feed(ids);
  return generator.logits().to_vector<float>();
}

class PackedWeightsTest : public testing::Test {
 protected:
  PackedWeightsTest() {
    TransformerConfig c = test::config_with_panels();
    c.tied = true;
    Transformer model(c);
    initialize(runtime, model, 3);
    fs::create_directories(folder / "m");
    const std::vector<Field> all = fields(model);
    std::vector<Tensor> values;
    for (const Field& field : all) values.push_back(*field.tensor);
    auto tensors = file_tensors(all, values, hf_names(c));
    for (io::SafetensorsSource& tensor : tensors) {
      if (tensor.shape.rank() != 2) continue;
      tensor.dtype = DType::bf16;
      tensor.load = [load = tensor.load] { return rounded(load(), DType::bf16); };
    }
    EXPECT_TRUE(io::write_safetensors(folder / "m/model.safetensors", tensors).ok());
    std::ofstream(folder / "m/config.json") << to_hf_config(c, 1, 2);
  }

  Loaded load(const fs::path& model, const std::string& type, const std::string& file,
              const PackedIdentity& identity) {
    Loaded out;
    PackedWeights kept(runtime, file, identity,
                       Log(LogLevel::info, [&out](LogLevel level, std::string_view text) {
                         (level == LogLevel::warning ? out.warnings : out.notes).emplace_back(text);
                       }));
    const LanguageModel loaded =
        load_language_model(model, {.runtime = &runtime, .quantize = type, .kept = &kept}).value();
    out.scores = scores_of(runtime, loaded);
    out.mapped = kept.mapped();
    out.made = kept.made();
    return out;
  }
  Loaded load(const std::string& type = "Q8_0") {
    return load(folder / "m", type, file, packed_identity(folder / "m", type, runtime));
  }

  io::TemporaryFolder folder;
  Runtime runtime{test::checked()};
  const std::string file = folder / "m.packed";
};

TEST_F(PackedWeightsTest, TheSecondLoadMapsWhatTheFirstOneMade) {
  // Heads of the GGUF file stand in pairs, and its table is not the head.
  const fs::path gguf = test::golden_path("families/llama3") / "model.gguf";
  for (const fs::path& model : {fs::path(folder / "m"), gguf})
    for (const std::string type : {"", "Q8_0", "Q4_0", "int8"}) {
      SCOPED_TRACE(model.string() + " " + type);
      const PackedIdentity identity = packed_identity(model, type, runtime);
      const std::string name =
          packed_weights_path(folder / model.filename().string(), type, PackedPlace::beside, "");
      const Scores plain = scores_of(
          runtime, load_language_model(model, {.runtime = &runtime, .quantize = type}).value());
      const Loaded first = load(model, type, name, identity);
      EXPECT_EQ(first.mapped, 0u);
      EXPECT_TRUE(type.empty() || first.made > 0);
      EXPECT_EQ(first.scores, plain);
      EXPECT_TRUE(first.warnings.empty());
      EXPECT_EQ(first.notes.size(), first.made > 0);
      const Loaded second = load(model, type, name, identity);
      EXPECT_EQ(second.made, 0u);
      EXPECT_EQ(second.mapped, first.made);
      EXPECT_EQ(second.scores, plain);
      EXPECT_TRUE(second.warnings.empty() && second.notes.empty());
    }
}

TEST_F(PackedWeightsTest, WhatDoesNotFitIsMadeAgain) {
  const Loaded first = load();
  const std::string whole = io::read_bytes(file);
  const auto check = [&](const std::string& bytes, size_t made) {
    io::write_bytes(file, bytes);
    const Loaded again = load();
    EXPECT_EQ(again.scores, first.scores);
    EXPECT_EQ(again.made, made);
    EXPECT_EQ(again.mapped, first.made - made);
    EXPECT_EQ(again.warnings.size(), 1u);
    EXPECT_EQ(io::read_bytes(file), whole);
    const Loaded mapped = load();
    EXPECT_EQ(mapped.made, 0u);
    EXPECT_TRUE(mapped.warnings.empty());
  };
  for (const size_t size : {size_t{0}, size_t{7}, size_t{23}, size_t{100}, size_t{4095},
                            size_t{5000}, whole.size() - 1})
    check(whole.substr(0, size), first.made);
  check(whole + '\0', first.made);
  for (const size_t at : {size_t{0}, size_t{9}, size_t{17}, size_t{30}}) {
    std::string bytes = whole;
    bytes[at] ^= 1;
    check(bytes, first.made);
  }
  std::string bytes = whole;
  bytes.back() ^= 1;
  check(bytes, 1);  // the tensor in which it is
}

TEST_F(PackedWeightsTest, OtherSourcesAndLayoutsAreNotTaken) {
  const Loaded first = load();
  PackedIdentity other = packed_identity(folder / "m", "Q8_0", runtime);
  other.made += " of another processor";
  const Loaded changed = load(folder / "m", "Q8_0", file, other);
  EXPECT_EQ(changed.mapped, 0u);
  EXPECT_EQ(changed.warnings.size(), 1u);
  EXPECT_EQ(changed.scores, first.scores);
  EXPECT_EQ(load("Q4_0").mapped, 0u);
  EXPECT_EQ(load("Q4_0").made, 0u);
  // The model is written again: other times, and then other numbers at the same time.
  const fs::path source = folder / "m/model.safetensors";
  const auto time = fs::last_write_time(source);
  fs::last_write_time(source, time + std::chrono::seconds(1));
  const Loaded touched = load("Q4_0");
  EXPECT_EQ(touched.mapped, 0u);
  EXPECT_EQ(touched.warnings.size(), 1u);
  std::string bytes = io::read_bytes(source);
  bytes.back() ^= 64;
  io::write_bytes(source, bytes);
  fs::last_write_time(source, time + std::chrono::seconds(1));
  EXPECT_EQ(load("Q4_0").mapped, 0u);
}

TEST_F(PackedWeightsTest, AFileThatCannotBeWrittenIsAWarning) {
  const Loaded first = load();
  const PackedIdentity identity = packed_identity(folder / "m", "Q8_0", runtime);
  const Loaded nowhere = load(folder / "m", "Q8_0", file + "/no/folder.packed", identity);
  EXPECT_EQ(nowhere.scores, first.scores);
  ASSERT_EQ(nowhere.warnings.size(), 1u);
  EXPECT_NE(nowhere.warnings[0].find("packed weights are not kept"), std::string::npos);
  const Loaded full = load(folder / "m", "Q8_0", "/dev/full", identity);
  EXPECT_EQ(full.scores, first.scores);
  ASSERT_EQ(full.warnings.size(), 2u);  // it is no such file, and the disk is full
  EXPECT_NE(full.warnings[1].find("free some space"), std::string::npos);
}

TEST_F(PackedWeightsTest, FilesHaveNamesOfTheirOwn) {
  const std::string gguf = folder / "a.gguf", m = folder / "m";
  EXPECT_EQ(packed_weights_path(gguf, "", PackedPlace::beside, "c"), gguf + ".packed");
  EXPECT_EQ(packed_weights_path(gguf, "Q4_K_M", PackedPlace::beside, "c"), gguf + ".Q4_K_M.packed");
  EXPECT_EQ(packed_weights_path(m, "int8", PackedPlace::beside, "c"), m + "/weights.int8.packed");
  const std::string cached = packed_weights_path(gguf, "Q8_0", PackedPlace::cache, "c");
  EXPECT_TRUE(cached.starts_with("c/weights/a.gguf-") && cached.ends_with(".Q8_0.packed"));
  EXPECT_NE(cached, packed_weights_path(m + "/a.gguf", "Q8_0", PackedPlace::cache, "c"));
}

// Parts of a model count all.
TEST_F(PackedWeightsTest, EveryPartIsTheSource) {
  const std::string one = folder / "x-00001-of-00002.gguf", two = folder / "x-00002-of-00002.gguf";
  io::write_bytes(one, "first");
  io::write_bytes(two, "second");
  const PackedIdentity before = packed_identity(one, "", runtime);
  EXPECT_EQ(packed_identity(two, "", runtime), before);
  io::write_bytes(two, "other");
  EXPECT_NE(packed_identity(one, "", runtime), before);
}

}  // namespace
}  // namespace cairn
