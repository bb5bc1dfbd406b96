// cairn generate and cairn eval, on a random Llama and a classifier that is made by hand.
#include <cmath>
#include <filesystem>
#include <fstream>

#include "cairn/io/npy.h"
#include "tests/cli/program.h"
#include "tests/support/test_data.h"

namespace cairn::test {
namespace {

class ModelsTest : public CliTest {
 protected:
  Ran generate(std::vector<std::string> more) const {
    more.insert(more.begin(), {"generate", "--model", "llama"});
    return run(more);
  }
};

TEST_F(ModelsTest, GreedyIsTheMostLikelyToken) {
  const auto json =
      generate({"--ids", "1,2,3", "--max-tokens", "1", "--temperature", "0", "--json"}).json();
  ASSERT_EQ(run({"eval", "logits", "--model", "llama", "--ids", "1,2,3", "--out", "l.npy"}).status,
            0);
  const HostArray logits = io::read_npy(path("l.npy")).value();
  ASSERT_EQ(logits.shape(), Shape({3, 257}));
  int best = 0;
  for (int i = 1; i < 257; ++i)
    if (logits.at(2 * 257 + i) > logits.at(2 * 257 + best)) best = i;
  EXPECT_EQ(json["ids"], nlohmann::json({best}));
  EXPECT_EQ(json["prompt_ids"], nlohmann::json({1, 2, 3}));
  EXPECT_EQ(json["stop_reason"], "length");
  EXPECT_GT(json["prompt_tokens_per_s"], 0);
}

TEST_F(ModelsTest, TextOfIds) {
  const auto json =
      generate({"--prompt", "Once", "--max-tokens", "8", "--temperature", "0", "--json"}).json();
  const std::string ids = json["ids"].dump();
  EXPECT_EQ(json["ids"].size(), 8u);
  EXPECT_EQ(run({"tokenize", "--model", "llama", "--ids", ids.substr(1, ids.size() - 2), "--json"})
                .json()["text"],
            json["text"]);
  // The plain form writes the bytes as they come, and nothing else.
  const Ran plain = generate({"--prompt", "Once", "--max-tokens", "8", "--temperature", "0"});
  EXPECT_EQ(plain.out,
            run({"tokenize", "--model", "llama", "--ids", ids.substr(1, ids.size() - 2)}).out);
}

// Planning a model of one layer takes as long as hundreds of its tokens, the first step of a
// process as long as eight. The best of a few runs, as
// other load only makes a speed lower.
TEST_F(ModelsTest, SpeedsLeavePlanningOut) {
  double prompt = 0, decode = 0;
  for (int i = 0; i < 5; ++i) {
    const auto json = generate({"--ids", "5", "--max-tokens", "24", "--temperature", "0",
                                "--ignore-eos", "--json"})
                          .json();
    prompt = std::max(prompt, json["prompt_tokens_per_s"].get<double>());
    decode = std::max(decode, json["tokens_per_s"].get<double>());
  }
  EXPECT_GT(prompt, decode / 50);
}

TEST_F(ModelsTest, OneSeedOneText) {
  const auto ids = [&](const char* seed, const char* threads) {
    return generate({"--ids", "5", "--max-tokens", "12", "--temperature", "1.5", "--top-k", "0",
                     "--seed", seed, "--threads", threads, "--json"})
        .json()["ids"];
  };
  EXPECT_EQ(ids("1", "1"), ids("1", "2"));
  EXPECT_NE(ids("1", "1"), ids("2", "1"));
}

TEST_F(ModelsTest, StopTextsEndIt) {
  const auto all =
      generate({"--ids", "5", "--max-tokens", "16", "--temperature", "0", "--ignore-eos", "--json"})
          .json();
  const std::string text = all["text"];
  const size_t middle = text.size() / 2;
  // A letter from the middle; the text ends before it first comes.
  std::string stop;
  for (size_t i = middle; i < text.size(); ++i)
    if (static_cast<unsigned char>(text[i]) < 128 && text[i] != '\0') {
      stop = text.substr(i, 1);
      break;
    }
  ASSERT_FALSE(stop.empty()) << "the model wrote no plain letter: " << text;
  const auto cut = generate({"--ids", "5", "--max-tokens", "16", "--temperature", "0",
                             "--ignore-eos", "--json", "--stop", "never comes", "--stop", stop})
                       .json();
  EXPECT_EQ(cut["stop_reason"], "stop");
  EXPECT_EQ(cut["text"], text.substr(0, text.find(stop)));
  const Ran plain = generate(
      {"--ids", "5", "--max-tokens", "16", "--temperature", "0", "--ignore-eos", "--stop", stop});
  EXPECT_EQ(plain.out.find(stop), std::string::npos);
}

TEST_F(ModelsTest, TheContextEndsIt) {
  const auto json = generate({"--ids", "5", "--max-tokens", "1000", "--temperature", "0",
                              "--ignore-eos", "--json"})
                        .json();
  EXPECT_EQ(json["stop_reason"], "context");
  EXPECT_EQ(json["ids"].size(), 48u);
  const auto most = generate({"--ids", "5", "--max-tokens", "9223372036854775807", "--temperature",
                              "0", "--ignore-eos", "--json"})
                        .json();
  EXPECT_EQ(most["ids"], json["ids"]);
}

// Products of narrow numbers: other logits, and not by much. Each product rounds its operands and
// its result, by 2^-9 in bf16 and 2^-12 in f16; the random model has half a dozen in a row.
TEST_F(ModelsTest, Precision) {
  const auto logits = [&](const std::string& type) {
    const std::string file = type + ".npy";
    EXPECT_EQ(run({"eval", "logits", "--model", "llama", "--ids", "1,2,3,4,5", "--precision", type,
                   "--out", file})
                  .status,
              0);
    return io::read_npy(path(file)).value();
  };
  const HostArray exact = logits("f32");
  double largest = 0;
  for (int64_t i = 0; i < exact.elements(); ++i) largest = std::max(largest, std::abs(exact.at(i)));
  for (const char* type : {"bf16", "f16"}) {
    SCOPED_TRACE(type);
    const HostArray narrow = logits(type);
    ASSERT_EQ(narrow.dtype(), DType::f32);
    double difference = 0;
    for (int64_t i = 0; i < exact.elements(); ++i)
      difference = std::max(difference, std::abs(narrow.at(i) - exact.at(i)));
    EXPECT_GT(difference, 0);
    EXPECT_LT(difference, 0.02 * largest);
    // The cache's path goes through the same products: greedy is the largest of these logits.
    const auto json = generate({"--ids", "1,2,3,4,5", "--max-tokens", "1", "--temperature", "0",
                                "--ignore-eos", "--precision", type, "--json"})
                          .json();
    const int64_t chosen = json["ids"][0];
    for (int64_t i = 0; i < 257; ++i)
      EXPECT_GE(narrow.at(4 * 257 + chosen), narrow.at(4 * 257 + i) - 0.005 * largest);
    const auto perplexity = run({"eval", "perplexity", "--model", "llama", "--file", "story.txt",
                                 "--precision", type, "--json"})
                                .json();
    const auto plain =
        run({"eval", "perplexity", "--model", "llama", "--file", "story.txt", "--json"}).json();
    EXPECT_NE(perplexity["loss"], plain["loss"]);
    EXPECT_NEAR(perplexity["loss"].get<double>(), plain["loss"].get<double>(), 0.04 * largest);
  }
  // The brightest pixel is so by far.
  EXPECT_EQ(
      run({"eval", "accuracy", "--model", "classifier", "--images", "t10k-images-idx3-ubyte.gz",
           "--labels", "t10k-labels-idx1-ubyte.gz", "--precision", "bf16", "--json"})
          .json()["correct"],
      5);
}

// The file with one number replaced by NaN.
TEST_F(ModelsTest, ScoresThatAreNotNumbersAreAnError) {
  for (const char* folder : {"llama", "classifier"}) {
    std::string bytes = read(std::string(folder) + "/model.safetensors");
    for (int i = 1; i <= 4; ++i) bytes[bytes.size() - static_cast<size_t>(i)] = '\x7f';
    for (int i = 5; i <= 48; ++i) bytes[bytes.size() - static_cast<size_t>(i)] = '\x7f';
    write(std::string(folder) + "/model.safetensors", bytes);
  }
  for (const char* temperature : {"0", "0.8"})
    EXPECT_TRUE(fails(generate({"--ids", "1,2,3", "--temperature", temperature, "--json"}), 1,
                      "NaN or infinite"));
  EXPECT_TRUE(
      fails(run({"eval", "perplexity", "--model", "llama", "--file", "story.txt", "--json"}), 1,
            "not finite"));
  EXPECT_TRUE(fails(run({"eval", "accuracy", "--model", "classifier", "--images",
                         "t10k-images-idx3-ubyte.gz", "--labels", "t10k-labels-idx1-ubyte.gz"}),
                    1, "not finite"));
  // Logits are written as they are, and it is said how many are no numbers.
  const Ran logits = run({"eval", "logits", "--model", "llama", "--ids", "1,2,3", "--out", "l.npy",
                          "--quiet", "--json"});
  const auto bad = logits.json()["not_finite"];
  EXPECT_EQ(bad, 3 * 257);
  EXPECT_NE(
      logits.err.find("cairn: warning: 771 of the 771 numbers in 'l.npy' are NaN or infinite"),
      std::string::npos)
      << logits.err;
  for (int i = 0; i < 3 * 257; ++i)
    EXPECT_FALSE(std::isfinite(io::read_npy(path("l.npy")).value().at(i)));
}

// A context that the positions allow and the memory does not: refused before anything is computed.
TEST_F(ModelsTest, SizesBeyondMemoryAreRefused) {
  auto json = nlohmann::ordered_json::parse(read("llama/config.json"));
  json["max_position_embeddings"] = 2000000000;
  write("llama/config.json", json.dump());
  const auto refused = [](const Ran& ran, const std::string& what) {
    EXPECT_TRUE(fails(ran, 1, what));
    EXPECT_NE(ran.err.find(" GiB are available; "), std::string::npos) << ran.err;
  };
  refused(generate({"--ids", "1", "--max-tokens", "1999999998"}), "tokens 119.2 GiB");
  refused(run({"eval", "perplexity", "--model", "llama", "--file", "story.txt", "--context",
               "500000000"}),
          "one pass over a window of 500000000 tokens takes");
  // Without a kernel for attention the scores are in memory.
  refused(run({"eval", "perplexity", "--model", "llama", "--file", "story.txt", "--context",
               "1000000", "--device", "ref"}),
          "one pass over a window of 1000000 tokens takes");
  std::string ids = "[1";
  for (int i = 1; i < 300000; ++i) ids += ",1";
  write("ids.json", ids + "]");
  refused(run({"eval", "logits", "--model", "llama", "--ids", "@ids.json", "--out", "l.npy",
               "--device", "ref"}),
          "one pass over 300000 tokens takes");
  EXPECT_FALSE(std::filesystem::exists(path("l.npy")));
  EXPECT_EQ(generate({"--ids", "1", "--max-tokens", "2"}).status, 0);
}

// Sizes that no file holds end before anything of that size is built.
TEST_F(ModelsTest, SizesThatLie) {
  const std::string config = read("llama/config.json");
  const auto with = [&](const std::string& key, const std::string& value) {
    auto json = nlohmann::ordered_json::parse(config);
    json[key] = nlohmann::json::parse(value);
    write("llama/config.json", json.dump());
    return generate({"--ids", "1"});
  };
  EXPECT_TRUE(fails(with("num_hidden_layers", "1000000000"), 1, "at most 10000"));
  EXPECT_TRUE(fails(with("num_hidden_layers", "9999"), 1, "model.layers.9998."));
  EXPECT_TRUE(fails(with("num_hidden_layers", "2"), 1, "there are 2 layers"));
  EXPECT_TRUE(fails(with("hidden_size", "1000000000000"), 1, "at most 16777216"));
  EXPECT_TRUE(fails(with("hidden_size", "9223372036854775807"), 1, "at most 16777216"));
  EXPECT_TRUE(fails(with("vocab_size", "0"), 1, "at least 1"));
  write(
      "llama/config.json",
      R"({"model_type": "gpt2", "vocab_size": 5, "n_layer": 1, "n_head": 1, "n_embd": 9223372036854775807})");
  EXPECT_TRUE(fails(generate({"--ids", "1"}), 1, "at most 16777216"));
}

TEST_F(ModelsTest, WithoutATokenizerTextIsNull) {
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    std::filesystem::remove(path(std::string("llama/") + file));
  const auto json =
      generate({"--ids", "5", "--max-tokens", "3", "--temperature", "0", "--ignore-eos", "--json"})
          .json();
  EXPECT_TRUE(json["text"].is_null());
  EXPECT_EQ(json["ids"].size(), 3u);
  EXPECT_TRUE(fails(generate({"--prompt", "a"}), 1, "no tokenizer"));
  EXPECT_EQ(
      generate({"--prompt", "a", "--tokenizer", "tokenizer.json", "--max-tokens", "3"}).status, 0);
}

TEST_F(ModelsTest, WrongGenerations) {
  EXPECT_TRUE(fails(generate({}), 2, "one of --prompt and --ids"));
  EXPECT_TRUE(fails(generate({"--prompt", "a", "--ids", "1"}), 2, "one of --prompt and --ids"));
  EXPECT_TRUE(fails(generate({"--ids", "1", "--temperature", "-1"}), 2, "--temperature"));
  EXPECT_TRUE(fails(generate({"--ids", "1", "--top-p", "0"}), 2, "--top-p"));
  EXPECT_TRUE(fails(generate({"--ids", "1", "--min-p", "2"}), 2, "--min-p"));
  for (const char* option : {"--temperature", "--top-p", "--min-p"})
    for (const char* value : {"nan", "inf", "-inf", "1e999", "-0.5"})
      EXPECT_TRUE(fails(generate({"--ids", "1", option, value}), 2, option)) << value;
  EXPECT_TRUE(fails(generate({"--ids", "300"}), 1, "300"));
  EXPECT_TRUE(fails(generate({"--ids", ""}), 1, "no tokens"));
  EXPECT_TRUE(fails(run({"generate", "--model", "nothing", "--ids", "1"}), 1, "nothing"));
  EXPECT_TRUE(fails(run({"generate", "--model", "x.npy", "--ids", "1"}), 1, "x.npy"));
  EXPECT_TRUE(fails(generate({"--prompt", std::string(60, 'a')}), 1, "context"));
}

TEST_F(ModelsTest, HiddenStates) {
  const auto json = run({"eval", "logits", "--model", "llama", "--ids", "1,2,3", "--out", "h.npy",
                         "--hidden", "--json"})
                        .json();
  EXPECT_EQ(json["shape"], nlohmann::json({3, 16}));
  EXPECT_EQ(io::read_npy(path("h.npy")).value().shape(), Shape({3, 16}));
  EXPECT_TRUE(fails(run({"eval", "logits", "--model", "llama", "--ids", "999", "--out", "h.npy"}),
                    1, "999"));
  EXPECT_TRUE(
      fails(run({"eval", "logits", "--model", "llama", "--ids", "1"}), 2, "--out is required"));
}

// The loss is the mean of -log softmax over the logits that `eval logits` gives for each window, of
// the targets that no window before has counted.
TEST_F(ModelsTest, PerplexityFromLogits) {
  constexpr int kContext = 16;
  const auto ids =
      run({"tokenize", "--model", "llama", "--file", "story.txt", "--add-special", "--json"})
          .json()["ids"]
          .get<std::vector<int>>();
  const auto count = static_cast<int>(ids.size());
  for (const int stride : {16, 6}) {
    SCOPED_TRACE(stride);
    const auto json = run({"eval", "perplexity", "--model", "llama", "--file", "story.txt",
                           "--context", "16", "--stride", std::to_string(stride), "--json"})
                          .json();
    EXPECT_EQ(json["tokens"], count - 1);
    double total = 0;
    int counted = 0;
    for (int begin = 0; counted < count - 1; begin += stride) {
      const int end = std::min(begin + kContext, count - 1);
      const std::vector<int> window(ids.begin() + begin, ids.begin() + end);
      write("window.json", nlohmann::json(window).dump());
      ASSERT_EQ(
          run({"eval", "logits", "--model", "llama", "--ids", "@window.json", "--out", "l.npy"})
              .status,
          0);
      const HostArray logits = io::read_npy(path("l.npy")).value();
      for (int t = counted - begin; t < end - begin; ++t, ++counted) {
        double sum = 0;
        for (int v = 0; v < 257; ++v) sum += std::exp(logits.at(257 * t + v));
        const auto target = static_cast<size_t>(begin) + static_cast<size_t>(t) + 1;
        total += std::log(sum) - logits.at(257 * t + ids[target]);
      }
    }
    const double expected = total / (count - 1);
    // Losses are rounded to f32 a few times on the way (logits below 1 in size, losses near log
    // 257).
    const double bound = 8 * std::exp2(-24) * std::log(257.0);
    EXPECT_NEAR(json["loss"].get<double>(), expected, bound);
    EXPECT_NEAR(json["perplexity"].get<double>(), std::exp(expected),
                2 * bound * std::exp(expected));
  }
}

// A token at a time behind a cache: the same bits where the cache keeps f32, and close to them
// where it rounds keys and values by 2^-11 (scores are below 1 in size, and sums of them).
TEST_F(ModelsTest, PerplexityBehindACache) {
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"eval",   "perplexity", "--model", "llama",
                                          "--file", "story.txt",  "--json",  "--context",
                                          "16",     "--stride",   "6"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  const auto whole = with({}).json();
  EXPECT_EQ(with({"--kv", "f32"}).json(), whole);
  const auto narrow = with({"--kv", "f16", "--against", "llama"}).json();
  EXPECT_NE(narrow["loss"], whole["loss"]);
  EXPECT_NEAR(narrow["loss"].get<double>(), whole["loss"].get<double>(), std::exp2(-9));
  EXPECT_NEAR(narrow["kl"].get<double>(), 0, std::exp2(-18));  // about the square
  EXPECT_TRUE(fails(with({"--kv", "q8"}), 2, "q8_0"));
}

TEST_F(ModelsTest, AStrideGivesMoreContext) {
  const auto with = [&](const char* stride) {
    return run({"eval", "perplexity", "--model", "llama", "--file", "story.txt", "--context", "16",
                "--stride", stride, "--json"})
        .json();
  };
  const auto whole = with("16"), half = with("5"), one = with("1");
  EXPECT_EQ(whole["tokens"], half["tokens"]);
  EXPECT_EQ(whole["tokens"], one["tokens"]);
  EXPECT_NE(whole["loss"], one["loss"]);
  EXPECT_TRUE(fails(run({"eval", "perplexity", "--model", "llama", "--file", "story.txt",
                         "--context", "16", "--stride", "17"}),
                    1, "--stride 17"));
  EXPECT_TRUE(fails(
      run({"eval", "perplexity", "--model", "llama", "--file", "story.txt", "--context", "1000"}),
      1, "--context 1000"));
  write("one.txt", "");
  EXPECT_TRUE(
      fails(run({"eval", "perplexity", "--model", "llama", "--file", "one.txt"}), 1, "one.txt"));
}

TEST_F(ModelsTest, AModelAgainstItself) {
  const auto json = run({"eval", "perplexity", "--model", "llama", "--file", "story.txt",
                         "--against", "llama", "--json"})
                        .json();
  EXPECT_EQ(json["kl"], 0);
  EXPECT_EQ(json["top1_agreement"], 1);
  EXPECT_NE(
      run({"eval", "perplexity", "--model", "llama", "--file", "story.txt", "--against", "llama"})
          .out.find("100.00 %"),
      std::string::npos);
}

TEST_F(ModelsTest, Accuracy) {
  const std::vector<std::string> command = {"eval",     "accuracy",
                                            "--model",  "classifier",
                                            "--images", "t10k-images-idx3-ubyte.gz",
                                            "--labels", "t10k-labels-idx1-ubyte.gz"};
  std::vector<std::string> with_json = command;
  with_json.push_back("--json");
  const auto json = run(with_json).json();
  EXPECT_EQ(json["correct"], 5);
  EXPECT_EQ(json["total"], 6);
  EXPECT_EQ(json["accuracy"], 5.0 / 6.0);
  EXPECT_EQ(run(command).out, "5 of 6 right: 83.33 %\n");
  EXPECT_TRUE(fails(run({"eval", "accuracy", "--model", "llama", "--images", "a", "--labels", "b"}),
                    1, "no image classifier"));
  EXPECT_TRUE(fails(
      run({"eval", "accuracy", "--model", "classifier", "--images", "x.npy", "--labels", "b"}), 1,
      "x.npy"));
  EXPECT_TRUE(fails(run({"eval", "accuracy", "--model", "classifier"}), 2, "is required"));
  std::string config = read("classifier/config.json");
  config.replace(config.find("[1, 1, 3]"), 9, "[1, 1, 4]");
  write("classifier/config.json", config);
  EXPECT_TRUE(fails(run(command), 1, "dense.0.weight"));
}

TEST_F(ModelsTest, Stories260K) {
  CAIRN_REQUIRE_DATA("checkpoints/stories260K/stories260K.reference.json");
  std::ifstream file(data_path("checkpoints/stories260K/stories260K.reference.json"));
  const auto reference = nlohmann::json::parse(file);
  const auto json =
      run({"generate", "--model", data_path("checkpoints/stories260K/stories260K.bin"), "--ids",
           "1", "--max-tokens", "32", "--temperature", "0", "--json"})
          .json();
  const auto& ids = reference["greedy_ids"];
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(json["ids"][i], ids[i + 1]) << i;
}

}  // namespace
}  // namespace cairn::test
