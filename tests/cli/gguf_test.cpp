// Commands that take a model, on GGUF files.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cairn/io/gguf.h"
#include "cairn/io/npy.h"
#include "tests/cli/program.h"
#include "tests/support/same_values.h"
#include "tests/support/test_data.h"

namespace cairn::test {
namespace {

// A golden model of 29 tokens with a vocabulary of letters, and bytes behind them.
class GgufModelTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    const auto from = io::GgufFile::open(golden_path("families/qwen2/model.gguf").string()).value();
    io::GgufMetadata metadata = from.metadata();
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    for (char c = 'a'; tokens.size() < 29; ++c) tokens.emplace_back(1, c);
    std::vector<int32_t> types(29, 1);
    types[0] = 2, types[1] = types[2] = 3;
    for (int byte = 0; byte < 256; ++byte) {
      tokens.push_back(fmt::format("<0x{:02X}>", byte));
      types.push_back(6);
    }
    const std::vector<float> scores(tokens.size(), 0);
    using io::GgufValue;
    metadata.emplace_back("tokenizer.ggml.model", GgufValue::from_text("llama"));
    metadata.emplace_back("tokenizer.ggml.tokens", GgufValue::from_texts(tokens));
    metadata.emplace_back("tokenizer.ggml.scores", GgufValue::from_numbers<float>(scores));
    metadata.emplace_back("tokenizer.ggml.token_type", GgufValue::from_numbers<int32_t>(types));
    metadata.emplace_back("tokenizer.ggml.bos_token_id", GgufValue::from_number(uint32_t{1}));
    metadata.emplace_back("tokenizer.ggml.eos_token_id", GgufValue::from_number(uint32_t{2}));
    metadata.emplace_back("tokenizer.ggml.add_space_prefix", GgufValue::from_bool(false));
    metadata.emplace_back("tokenizer.chat_template",
                          GgufValue::from_text("{{ bos_token }}{% for m in messages %}"
                                               "{{ m.content }}{{ eos_token }}{% endfor %}"));
    std::vector<io::GgufSource> tensors;
    for (const io::GgufEntry& entry : from.entries())
      tensors.push_back({entry.name, entry.type, entry.shape, [&from, &entry] {
                           const HostArray array = from.read(entry).value();
                           return SharedBytes(
                               array.owner(),
                               {static_cast<const std::byte*>(array.data()), array.bytes()});
                         }});
    ASSERT_TRUE(io::write_gguf(path("m.gguf"), metadata, tensors).ok());
  }
};

TEST_F(GgufModelTest, TokenizerAndTemplateOfTheMetadata) {
  EXPECT_EQ(run({"tokenize", "--model", "m.gguf", "--text", "abc", "--add-special"}).out,
            "1,3,4,5\n");
  write("messages.json", R"([{"role": "user", "content": "hi"}])");
  EXPECT_EQ(run({"template", "render", "--model", "m.gguf", "--messages", "messages.json"}).out,
            "<s>hi</s>");
}

TEST_F(GgufModelTest, GeneratesAndEvaluatesAsItsFolder) {
  const auto json = run({"generate", "--model", "m.gguf", "--prompt", "abc", "--max-tokens", "6",
                         "--temperature", "0", "--ignore-eos", "--json"})
                        .json();
  EXPECT_EQ(json["prompt_ids"], nlohmann::json({1, 3, 4, 5}));
  EXPECT_EQ(json["ids"].size(), 6u);
  const std::string folder = golden_path("families/qwen2").string();
  EXPECT_EQ(run({"generate", "--model", folder, "--ids", "1,3,4,5", "--max-tokens", "6",
                 "--temperature", "0", "--ignore-eos", "--json"})
                .json()["ids"],
            json["ids"]);
  write("t.txt", "abcabcabcabcaabbccabc");
  const auto against = run({"eval", "perplexity", "--model", "m.gguf", "--file", "t.txt",
                            "--context", "8", "--against", folder, "--json"})
                           .json();
  EXPECT_EQ(against["top1_agreement"], 1.0);
  EXPECT_NEAR(against["kl"].get<double>(), 0, 1e-6);
}

TEST_F(GgufModelTest, InspectSaysWhetherItRuns) {
  EXPECT_EQ(run({"inspect", "m.gguf", "--json"}).json()["metadata"]["runs"], true);
  const auto other =
      run({"inspect", golden_path("files/every_kind.gguf").string(), "--json"}).json();
  EXPECT_EQ(other["metadata"]["runs"], false);
  EXPECT_NE(other["metadata"]["why_not"].get<std::string>().find("'test' cannot be run"),
            std::string::npos);
}

// Every block type computes what its numbers say: a quantized file beside the same numbers in f32.
TEST_F(GgufModelTest, BlocksAreTheirNumbers) {
  for (const std::string type : {"Q8_0", "Q4_0", "F16"}) {
    ASSERT_EQ(run({"quantize", "m.gguf", "q.gguf", "--type", type}).status, 0);
    ASSERT_EQ(run({"convert", "q.gguf", "f.gguf", "--dtype", "f32"}).status, 0);
    for (const std::string file : {"q", "f"})
      ASSERT_EQ(run({"eval", "logits", "--model", file + ".gguf", "--activations", "f32", "--ids",
                     "1,3,4,5,9", "--out", file + ".npy"})
                    .status,
                0);
    const HostArray q = io::read_npy(path("q.npy")).value();
    const HostArray f = io::read_npy(path("f.npy")).value();
    double most = 0;
    for (int64_t i = 0; i < q.elements(); ++i) most = std::max(most, std::fabs(f.at(i)));
    for (int64_t i = 0; i < q.elements(); ++i) ASSERT_NEAR(q.at(i), f.at(i), 1e-4 * most) << type;
  }
}

// Quantized while loading: the numbers of a file that `cairn quantize` wrote.
TEST_F(GgufModelTest, QuantizedWhileLoadingAsByTheCommand) {
  for (const std::string type : {"Q8_0", "Q4_0"}) {
    ASSERT_EQ(run({"quantize", "m.gguf", "q.gguf", "--type", type}).status, 0);
    const auto logits = [&](std::vector<std::string> model, const std::string& out) {
      std::vector<std::string> line = {"eval", "logits", "--ids", "1,3,4,5,9", "--out", out};
      line.insert(line.end(), model.begin(), model.end());
      EXPECT_EQ(run(line).status, 0);
      return io::read_npy(path(out)).value();
    };
    const std::string folder = golden_path("families/qwen2").string();
    for (const std::string activations : {"f32", "q8_0"}) {
      const HostArray file = logits({"--model", "q.gguf", "--activations", activations}, "a.npy");
      const HostArray loaded =
          logits({"--model", "m.gguf", "--quantize", type, "--activations", activations}, "b.npy");
      const HostArray of_folder =
          logits({"--model", folder, "--quantize", type, "--activations", activations}, "c.npy");
      // Rows that no block divides become f16 in both.
      for (int64_t i = 0; i < file.elements(); ++i) {
        ASSERT_EQ(loaded.at(i), file.at(i)) << type;
        ASSERT_EQ(loaded.at(i), of_folder.at(i)) << type;
      }
    }
  }
  EXPECT_TRUE(fails(run({"generate", "--model", "m.gguf", "--ids", "1", "--quantize", "Q9"}), 2,
                    "weights cannot become 'Q9'"));
}

// With a scale for each row: near the numbers themselves, from a file as from a folder. One of the
// models has a head that shares the table.
TEST_F(GgufModelTest, EightBitsWithAScaleForEachRow) {
  const auto logits = [&](const std::string& model, const std::string& options) {
    const Ran ran =
        shell("cairn eval logits --model " + model + " --ids 1,3,4,5,9 --out a.npy " + options,
              {.folder = path("")});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return io::read_npy(path("a.npy")).value();
  };
  for (const std::string name : {"twins/llama-tied", "families/qwen2"}) {
    SCOPED_TRACE(name);
    const std::string folder = golden_path(name).string();
    const HostArray plain = logits(folder, "");
    const HostArray rows = logits(folder, "--quantize int8");
    const HostArray weights_alone = logits(folder, "--quantize int8 --activations f32");
    // The reference computes what the graph says, from rows in their order.
    const HostArray reference = logits(folder, "--quantize int8 --device ref");
    double most = 0, difference = 0;
    for (int64_t i = 0; i < plain.elements(); ++i) {
      most = std::max(most, std::fabs(plain.at(i)));
      difference = std::max(difference, std::fabs(plain.at(i) - rows.at(i)));
    }
    // Weights and activations lose up to a 254th of the extreme of a row; q8_0 makes as much of it.
    EXPECT_LT(difference, 0.06 * most);
    EXPECT_GT(difference, 0);
    for (int64_t i = 0; i < plain.elements(); ++i) {
      EXPECT_NEAR(weights_alone.at(i), plain.at(i), 0.06 * most);
      // A code of an activation may fall to the other side of a half.
      EXPECT_NEAR(reference.at(i), rows.at(i), 0.01 * most);
    }
  }
  EXPECT_TRUE(same_values(logits("m.gguf", "--quantize int8"),
                          logits(golden_path("families/qwen2").string(), "--quantize int8")));
}

// What it costs a trained model: the loss of the numbers themselves within a hundredth.
TEST_F(GgufModelTest, EightBitsOfATrainedModel) {
  CAIRN_REQUIRE_DATA("checkpoints/stories260K/tinyllamas-stories-260k-f32.gguf");
  CAIRN_REQUIRE_DATA("text/tinystories_sample.txt");
  std::string text(3000, ' ');
  std::ifstream(data_path("text/tinystories_sample.txt")).read(text.data(), 3000);
  write("t.txt", text);
  const std::string model =
      data_path("checkpoints/stories260K/tinyllamas-stories-260k-f32.gguf").string();
  const auto loss = [&](const std::string& options) {
    return shell(
               "cairn eval perplexity --file t.txt --context 256 --json --model " + model + options,
               {.folder = path("")})
        .json()["loss"]
        .get<double>();
  };
  EXPECT_NEAR(loss(" --quantize int8"), loss(""), 0.01);
}

TEST_F(GgufModelTest, SpeedsOfAModel) {
  const Ran ran =
      run({"bench",    "llm",     "--model",   "m.gguf",  "--prompt", "8",    "--generate",
           "4",        "--depth", "3",         "--batch", "1,2",      "--kv", "f32",
           "--repeat", "2",       "--threads", "1",       "--peers",  "none", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  std::istringstream lines(ran.out);
  std::vector<nlohmann::json> tests;
  for (std::string line; std::getline(lines, line);) tests.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(tests.size(), 3u);
  EXPECT_EQ(tests[0]["test"], "prefill");
  EXPECT_EQ(tests[0]["tokens"], 8);
  EXPECT_EQ(tests[2]["test"], "decode");
  EXPECT_EQ(tests[2]["batch"], 2);
  for (const auto& test : tests) {
    EXPECT_GT(test["tokens_per_s"]["median"], 0);
    EXPECT_GE(test["tokens_per_s"]["max"], test["tokens_per_s"]["min"]);
    EXPECT_TRUE(test["peers"]["llama.cpp"].is_null());
    EXPECT_EQ(test["threads"], 1);
    EXPECT_EQ(test["depth"], 3);
    EXPECT_GT(test["resident_bytes"], 1 << 20);
  }
  EXPECT_TRUE(tests[0].contains("percent_of_peak"));
  EXPECT_TRUE(tests[1].contains("percent_of_bandwidth"));
  EXPECT_TRUE(fails(run({"bench", "llm", "--model", "m.gguf", "--batch", "0"}), 2, "--batch 0"));
}

// One copy of the weights is in memory: panels, or the file's pages, of which the packed ones are
// given back.
TEST_F(GgufModelTest, OneCopyOfTheWeightsInMemory) {
  constexpr int64_t kWidth = 1024, kHidden = 16384;
  io::GgufMetadata metadata = {{"general.architecture", io::GgufValue::from_text("llama")}};
  const std::pair<const char*, int64_t> sizes[] = {{"block_count", 1},
                                                   {"context_length", 64},
                                                   {"embedding_length", kWidth},
                                                   {"attention.head_count", 8},
                                                   {"feed_forward_length", kHidden}};
  for (const auto& [key, value] : sizes)
    metadata.emplace_back(std::string("llama.") + key,
                          io::GgufValue::from_number(static_cast<uint32_t>(value)));
  metadata.emplace_back("llama.attention.layer_norm_rms_epsilon",
                        io::GgufValue::from_number(1e-5F));
  const auto memory = [&](const std::string& model) {
    const Ran ran = run({"generate", "--model", model, "--ids", "1,3,4", "--max-tokens", "3",
                         "--temperature", "0", "--ignore-eos", "--threads", "1", "--quiet"});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.max_resident_bytes;
  };
  const int64_t small = memory("m.gguf");
  for (const char* type : {"Q8_0", "BF16", "F16"}) {
    SCOPED_TRACE(type);
    std::vector<io::GgufSource> tensors;
    uint64_t bytes = 0;
    const auto add = [&](const char* name, const char* type_of, std::vector<int64_t> shape) {
      const io::GgufType* of = io::find_gguf_type(type_of);
      const uint64_t size = of->bytes(shape).value();
      bytes += size;
      tensors.push_back({fmt::format("{}.weight", name), of, std::move(shape),
                         [size] { return SharedBytes(std::string(size, '\0')); }});
    };
    add("token_embd", type, {29, kWidth});
    for (const char* norm : {"output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"})
      add(norm, "F32", {kWidth});
    for (const char* square : {"attn_q", "attn_k", "attn_v", "attn_output"})
      add(fmt::format("blk.0.{}", square).c_str(), type, {kWidth, kWidth});
    for (const char* wide : {"ffn_gate", "ffn_up"})
      add(fmt::format("blk.0.{}", wide).c_str(), type, {kHidden, kWidth});
    add("blk.0.ffn_down", type, {kWidth, kHidden});
    ASSERT_TRUE(io::write_gguf(path("large.gguf"), metadata, tensors).ok());
    const int64_t large = memory("large.gguf");
    // Activations of a chunk of 64 tokens take 20 MB, kernels some.
    EXPECT_LT(large - small, static_cast<int64_t>(bytes) * 11 / 10 + (32 << 20));
    EXPECT_GT(large - small, static_cast<int64_t>(bytes) / 2);
  }
}

TEST_F(GgufModelTest, Stories260K) {
  CAIRN_REQUIRE_DATA("checkpoints/stories260K/tinyllamas-stories-260k-f32.gguf");
  std::ifstream in(data_path("checkpoints/stories260K/stories260K.reference.json"));
  const auto reference = nlohmann::json::parse(in);
  const auto ids = reference["greedy_ids"].get<std::vector<int>>();
  const auto json =
      run({"generate", "--model",
           data_path("checkpoints/stories260K/tinyllamas-stories-260k-f32.gguf").string(), "--ids",
           std::to_string(ids[0]), "--max-tokens", std::to_string(ids.size() - 1), "--temperature",
           "0", "--json"})
          .json();
  EXPECT_EQ(json["ids"], nlohmann::json(std::vector<int>(ids.begin() + 1, ids.end())));
  EXPECT_EQ(json["text"], reference["greedy_text"]);
}

}  // namespace
}  // namespace cairn::test
