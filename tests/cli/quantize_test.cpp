// cairn quantize and convert.
#include <cstring>
#include <filesystem>
#include <map>

#include "cairn/io/gguf.h"
#include "cairn/io/safetensors.h"
#include "tests/cli/program.h"
#include "tests/support/test_data.h"

namespace cairn::test {
namespace {

class QuantizeTest : public CliTest {
 protected:
  // Name → type of what `quantize` says that it wrote, which is checked against the file.
  std::map<std::string, std::string> quantize(const std::vector<std::string>& options) const {
    std::vector<std::string> arguments = {"quantize", "model.gguf", "out.gguf", "--json"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const auto json = run(arguments).json();
    const auto file = io::GgufFile::open(path("out.gguf")).value();
    EXPECT_EQ(json["tensors"].size(), file.entries().size());
    std::map<std::string, std::string> types;
    uint64_t bytes = 0;
    for (size_t i = 0; i < file.entries().size(); ++i) {
      const io::GgufEntry& entry = file.entries()[i];
      const auto& said = json["tensors"][i];
      EXPECT_EQ(said["name"], entry.name);
      EXPECT_EQ(said["type"], entry.type->name);
      EXPECT_EQ(said["bytes"], entry.bytes);
      EXPECT_GE(said["rmse"].get<double>(), 0.0);
      // Of numbers within 1: four bits or more.
      EXPECT_LT(said["rmse"].get<double>(), 0.1) << entry.name;
      types[entry.name] = entry.type->name;
      bytes += entry.bytes;
    }
    EXPECT_EQ(json["bytes"], bytes);
    return types;
  }
};

TEST_F(QuantizeTest, ARecipe) {
  const auto types = quantize({"--type", "q4_k_m"});
  EXPECT_EQ(types.at("token_embd.weight"), "Q4_K");
  EXPECT_EQ(types.at("blk.0.attn_v.weight"), "Q6_K");
  EXPECT_EQ(types.at("blk.1.attn_v.weight"), "Q4_K");
  EXPECT_EQ(types.at("blk.0.ffn_down.weight"), "Q8_0") << "rows of 96: not Q6_K";
  EXPECT_EQ(types.at("blk.0.attn_norm.weight"), "F32");
  EXPECT_EQ(types.at("output.weight"), "Q6_K");
  const auto file = io::GgufFile::open(path("out.gguf")).value();
  EXPECT_EQ(file.find("general.file_type")->integer(), 15);
  EXPECT_EQ(file.find("general.quantization_version")->integer(), 2);
  EXPECT_EQ(file.find("llama.block_count")->integer(), 8);
  const auto verified = run({"inspect", "out.gguf", "--verify", "--json"}).json();
  EXPECT_EQ(verified["not_decoded"].size(), 0u);
}

TEST_F(QuantizeTest, OneTypeForEveryMatrixAndWhatIsKept) {
  const auto types = quantize({"--type", "Q4_K", "--keep", "^output=f16", "--keep", "blk.1=Q8_0"});
  EXPECT_EQ(types.at("token_embd.weight"), "Q4_K");
  EXPECT_EQ(types.at("blk.0.attn_v.weight"), "Q4_K");
  EXPECT_EQ(types.at("blk.0.attn_norm.weight"), "Q4_K") << "a matrix here: no exceptions";
  EXPECT_EQ(types.at("blk.1.attn_v.weight"), "Q8_0");
  EXPECT_EQ(types.at("blk.0.ffn_down.weight"), "Q5_0");
  EXPECT_EQ(types.at("output.weight"), "F16");
  for (const io::GgufType& type : io::gguf_types()) {
    if (!type.block_format() || type.block_elements != 32) continue;
    EXPECT_EQ(quantize({"--type", std::string(type.name)}).at("blk.0.ffn_down.weight"), type.name);
  }
}

TEST_F(QuantizeTest, TheSameBytesForAnyNumberOfThreads) {
  quantize({"--type", "Q4_K_M", "--threads", "1"});
  const std::string one = read("out.gguf");
  quantize({"--type", "Q4_K_M", "--threads", "3"});
  EXPECT_TRUE(read("out.gguf") == one);
}

TEST_F(QuantizeTest, TheImportanceMatrixCounts) {
  quantize({"--type", "Q4_K"});
  const std::string without = read("out.gguf");
  std::string matrix;
  const auto number = [&](int32_t value) { matrix.append(reinterpret_cast<char*>(&value), 4); };
  const std::string name = "token_embd.weight";
  number(1), number(static_cast<int32_t>(name.size()));
  matrix += name;
  number(1), number(256);
  for (int i = 0; i < 256; ++i) {
    const float importance = i % 2 ? 100.0f : 0.01f;
    matrix.append(reinterpret_cast<const char*>(&importance), 4);
  }
  write("i.dat", matrix);
  const Ran ran =
      run({"quantize", "model.gguf", "out.gguf", "--type", "Q4_K", "--imatrix", "i.dat"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_NE(ran.err.find("says nothing of 5 of the tensors"), std::string::npos) << ran.err;
  EXPECT_TRUE(read("out.gguf") != without);

  // A matrix of another model.
  const size_t at = matrix.size() - 4 * 256 - 4;
  const int32_t fewer = 255;
  std::memcpy(matrix.data() + at, &fewer, 4);
  write("i.dat", matrix.substr(0, matrix.size() - 4));
  EXPECT_TRUE(
      fails(run({"quantize", "model.gguf", "o.gguf", "--type", "Q4_K", "--imatrix", "i.dat"}), 1,
            "255 weights for 'token_embd.weight', which has 256 columns"));
  EXPECT_TRUE(fails(run({"inspect", "o.gguf"}), 1, "No such file"));
}

TEST_F(QuantizeTest, WhatIsWrongIsNamed) {
  const auto quantize = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"quantize", "model.gguf", "o.gguf"});
    return run(options);
  };
  EXPECT_TRUE(fails(quantize({"--type", "Q9"}), 2, "known are the recipes Q2_K_S"));
  EXPECT_TRUE(fails(quantize({"--type", "IQ2_XXS"}), 2, "not a type that cairn writes"));
  EXPECT_TRUE(fails(quantize({"--type", "I32"}), 2, "not a type that cairn writes"));
  EXPECT_TRUE(fails(quantize({"--type", "Q4_K", "--keep", "a"}), 2, "expected REGEX=TYPE"));
  EXPECT_TRUE(fails(quantize({"--type", "Q4_K", "--keep", "(=Q4_K"}), 2, "no regular expression"));
  EXPECT_TRUE(fails(quantize({"--type", "Q4_K", "--imatrix", "none"}), 1, "No such file"));
  EXPECT_TRUE(fails(quantize({"--type", "Q4_K", "--imatrix", "a", "--imatrix-text", "story.txt"}),
                    2, "one says how much"));
  EXPECT_TRUE(
      fails(quantize({"--type", "Q4_K", "--imatrix-out", "a"}), 2, "what --imatrix-text measures"));
  EXPECT_TRUE(fails(run({"quantize", "weights.safetensors", "o", "--type", "Q4_K"}), 1,
                    "is safetensors; expected a Hugging Face folder"));
  EXPECT_TRUE(fails(run({"quantize", "none.gguf", "o", "--type", "Q4_K"}), 1, "No such file"));
}

TEST_F(QuantizeTest, Convert) {
  EXPECT_EQ(run({"convert", "model.gguf", "half.gguf", "--dtype", "f16"}).status, 0);
  const auto half = io::GgufFile::open(path("half.gguf")).value();
  EXPECT_EQ(half.find("general.file_type")->integer(), 1);
  const HostArray values = half.read("token_embd.weight").value();
  EXPECT_EQ(values.dtype(), DType::f16);
  const auto whole = io::GgufFile::open(path("model.gguf")).value();
  const HostArray expected = whole.read("token_embd.weight").value();
  for (int64_t i = 0; i < values.elements(); ++i)
    ASSERT_EQ(values.at(i),
              static_cast<double>(static_cast<float>(Float16(static_cast<float>(expected.at(i))))));

  // Blocks become the numbers that they decode to.
  quantize({"--type", "Q6_K"});
  EXPECT_EQ(run({"convert", "out.gguf", "out.safetensors"}).status, 0);
  EXPECT_EQ(run({"inspect", "out.gguf", "--tensor", "output.weight", "--out", "a.npy"}).status, 0);
  EXPECT_EQ(
      run({"inspect", "out.safetensors", "--tensor", "output.weight", "--out", "b.npy"}).status, 0);
  EXPECT_TRUE(read("a.npy") == read("b.npy"));
  // Nothing asked for: the same tensors.
  EXPECT_EQ(run({"convert", "out.gguf", "same.gguf", "--json"}).json()["tensors"], 6);
  EXPECT_TRUE(read("same.gguf") == read("out.gguf"));

  EXPECT_TRUE(fails(run({"convert", "model.gguf", "o", "--to", "onnx"}), 2, "known are gguf"));
  EXPECT_TRUE(fails(run({"convert", "model.gguf", "o", "--dtype", "Q4_K"}), 2, "cairn quantize"));
  EXPECT_TRUE(fails(run({"convert", "weights.safetensors", "o"}), 1, "expected a Hugging Face"));
}

// Importance from a text is what the same model's own sums say, kept and read again.
TEST_F(QuantizeTest, ImportanceOfAText) {
  const auto quantize = [&](std::vector<std::string> options) {
    options.insert(options.begin(), "quantize");
    options.insert(options.end(), {"--type", "Q4_0", "--json"});
    const Ran ran = run(options);
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_EQ(ran.err.find("says nothing of"), std::string::npos) << ran.err;
  };
  quantize({"llama", "a.gguf", "--imatrix-text", "story.txt", "--imatrix-out", "i.gguf"});
  quantize({"llama", "b.gguf", "--imatrix", "i.gguf"});
  EXPECT_TRUE(read("a.gguf") == read("b.gguf"));
  quantize({"llama", "plain.gguf"});
  EXPECT_FALSE(read("a.gguf") == read("plain.gguf"));
  const auto file = io::GgufFile::open(path("i.gguf")).value();
  EXPECT_EQ(file.find("general.type")->text(), "imatrix");
  EXPECT_TRUE(file.tensor("blk.0.ffn_down.weight.in_sum2"));
  // The same from the GGUF file of that model.
  ASSERT_EQ(run({"convert", "llama", "f.gguf"}).status, 0);
  quantize({"llama", "c.gguf", "--imatrix-text", "story.txt"});
  quantize({"f.gguf", "d.gguf", "--imatrix-text", "story.txt"});
  EXPECT_TRUE(read("c.gguf") == read("d.gguf"));
}

// A folder through GGUF and back, and in blocks, by the program.
TEST_F(QuantizeTest, Folders) {
  const std::string golden = golden_path("twins/llama").string();
  const auto written = run({"convert", golden, "m.gguf", "--json"}).json();
  EXPECT_EQ(written["kind"], "gguf");
  const auto file = io::GgufFile::open(path("m.gguf")).value();
  EXPECT_EQ(written["tensors"], file.entries().size());
  EXPECT_EQ(file.find("general.architecture")->text(), "llama");
  EXPECT_EQ(file.find("general.file_type")->integer(), 0);

  EXPECT_EQ(run({"convert", "m.gguf", "back", "--to", "hf"}).status, 0);
  const auto was = io::SafetensorsFile::open(golden + "/model.safetensors").value();
  const auto is = io::SafetensorsFile::open(path("back/model.safetensors")).value();
  for (const auto& entry : is.entries()) {
    const HostArray a = is.read(entry).value(), b = was.read(entry.name).value();
    ASSERT_EQ(a.bytes(), b.bytes());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.bytes()), 0) << entry.name;
  }
  // A folder that holds something is not touched; nothing is left beside it.
  EXPECT_TRUE(fails(run({"convert", "m.gguf", "back", "--to", "hf"}), 1, "exists already"));
  for (const auto& entry : std::filesystem::directory_iterator(path("")))
    EXPECT_EQ(entry.path().filename().string().find(".tmp."), std::string::npos);
  // From folder to folder with other floats.
  EXPECT_EQ(run({"convert", golden, "half", "--to", "hf", "--dtype", "f16"}).status, 0);
  const auto half = io::SafetensorsFile::open(path("half/model.safetensors")).value();
  for (const auto& entry : half.entries()) EXPECT_EQ(entry.dtype, "F16") << entry.name;

  const auto json = run({"quantize", golden, "q.gguf", "--type", "Q8_0", "--json"}).json();
  EXPECT_EQ(json["tensors"].size(), file.entries().size());
  EXPECT_EQ(run({"inspect", "q.gguf", "--verify"}).status, 0);
}

}  // namespace
}  // namespace cairn::test
