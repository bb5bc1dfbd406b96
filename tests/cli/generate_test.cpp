// cairn generate: how the next token is chosen, several prompts, contexts; models_test.cpp has
// more.
#include "tests/cli/program.h"

namespace cairn::test {
namespace {

class GenerateTest : public CliTest {
 protected:
  Ran generate(std::vector<std::string> more) const {
    more.insert(more.begin(), {"generate", "--model", "llama"});
    return run(more);
  }
  std::vector<int> ids(std::vector<std::string> more) const {
    more.insert(more.end(), {"--ids", "5", "--max-tokens", "12", "--ignore-eos", "--json"});
    return generate(more).json()["ids"].get<std::vector<int>>();
  }
};

TEST_F(GenerateTest, OptionsOfSampling) {
  const auto greedy = ids({"--temperature", "0"});
  ASSERT_EQ(greedy.size(), 12u);
  EXPECT_EQ(ids({"--top-k", "1"}), greedy);
  EXPECT_EQ(ids({"--top-k", "0", "--min-p", "1"}), greedy);
  EXPECT_EQ(ids({"--top-k", "0", "--top-p", "1e-9"}), greedy);
  EXPECT_NE(ids({"--top-k", "0", "--temperature", "3", "--typical-p", "0.9"}), greedy);
  // A token that is forbidden, and one that has to be.
  const std::string first = std::to_string(greedy[0]);
  EXPECT_NE(ids({"--temperature", "0", "--logit-bias", first + "=-inf"})[0], greedy[0]);
  EXPECT_EQ(ids({"--temperature", "0", "--logit-bias", "7=1000", "--logit-bias", "8=1"}),
            std::vector<int>(12, 7));
  // Nothing comes twice where it costs that much; with nothing to look back at, all is as before.
  auto distinct = ids({"--temperature", "0", "--presence-penalty", "1000"});
  std::sort(distinct.begin(), distinct.end());
  EXPECT_EQ(std::unique(distinct.begin(), distinct.end()), distinct.end());
  EXPECT_EQ(std::count(distinct.begin(), distinct.end(), 5), 0);
  EXPECT_EQ(ids({"--temperature", "0", "--presence-penalty", "1000", "--repeat-last-n", "0"}),
            greedy);
  EXPECT_EQ(ids({"--temperature", "0", "--frequency-penalty", "-1000"}), std::vector<int>(12, 5));
  EXPECT_NE(ids({"--temperature", "0", "--repeat-penalty", "1e6", "--repeat-last-n", "-1"}),
            greedy);
}

TEST_F(GenerateTest, WrongOptionsOfSampling) {
  for (const auto& [option, value] :
       std::vector<std::pair<std::string, std::string>>{{"--typical-p", "0"},
                                                        {"--repeat-penalty", "0"},
                                                        {"--repeat-last-n", "-2"},
                                                        {"--logit-bias", "5"},
                                                        {"--logit-bias", "x=1"},
                                                        {"--logit-bias", "5=1x"},
                                                        {"--logit-bias", "5=inf"},
                                                        {"--logit-bias", "100000=1"},
                                                        {"--kv", "f8"},
                                                        {"--context", "0"}})
    EXPECT_TRUE(fails(generate({"--ids", "5", option, value}), 2, option)) << option << value;
}

// Wrong values are told before the model is looked for.
TEST_F(GenerateTest, OptionsAreCheckedFirst) {
  for (const auto& [option, value] :
       std::vector<std::pair<std::string, std::string>>{{"--kv", "q9"},
                                                        {"--top-p", "2"},
                                                        {"--quantize", "q9"},
                                                        {"--packed-weights", "here"},
                                                        {"--logit-bias", "x"}})
    EXPECT_TRUE(
        fails(run({"generate", "--model", "nowhere", "--ids", "5", option, value}), 2, option))
        << option;
}

// Said once, when the file is written; where it cannot be, a warning.
TEST_F(GenerateTest, PackedWeightsAreKept) {
  const std::vector<std::string> options = {"--ids", "5",          "--temperature",
                                            "0",     "--quantize", "q8_0"};
  const Ran plain = generate(options);
  ASSERT_EQ(plain.status, 0) << plain.err;
  auto keeping = options;
  keeping.insert(keeping.end(), {"--packed-weights", "beside"});
  const Ran first = generate(keeping), second = generate(keeping);
  EXPECT_EQ(first.out, plain.out);
  EXPECT_NE(first.err.find("the next start maps them"), std::string::npos) << first.err;
  EXPECT_EQ(second.out, plain.out);
  EXPECT_EQ(second.err.find("packed"), std::string::npos) << second.err;
  write("llama/weights.q8_0.packed", "something else");
  const Ran third = generate(keeping);
  EXPECT_EQ(third.out, plain.out);
  EXPECT_NE(third.err.find("it is made again"), std::string::npos) << third.err;
}

// What the model's files say is the default; options win.
TEST_F(GenerateTest, DefaultsOfTheModel) {
  const auto greedy = ids({"--temperature", "0"});
  const auto free = ids({"--seed", "4", "--top-k", "0", "--temperature", "5"});
  EXPECT_NE(free, greedy);
  write("llama/generation_config.json", R"({"do_sample": false, "eos_token_id": [1, 2]})");
  EXPECT_EQ(ids({"--seed", "4"}), greedy);
  EXPECT_EQ(ids({"--seed", "4", "--top-k", "0", "--temperature", "5"}), free);
  write("llama/generation_config.json", R"({"temperature": 5, "top_k": 0})");
  EXPECT_EQ(ids({"--seed", "4"}), free);
  EXPECT_EQ(ids({"--temperature", "0"}), greedy);
  EXPECT_EQ(ids({"--seed", "4", "--top-k", "1"}), greedy);
  // Into GGUF and back they are the same.
  EXPECT_EQ(run({"convert", "llama", "llama.gguf"}).status, 0);
  const auto of_gguf = run({"generate", "--model", "llama.gguf", "--ids", "5", "--max-tokens", "12",
                            "--ignore-eos", "--seed", "4", "--json"});
  EXPECT_EQ(of_gguf.json()["ids"].get<std::vector<int>>(), free);
  write("llama/generation_config.json", R"({"temperature": 0, "top_p": 7})");
  const Ran odd = generate({"--ids", "5", "--max-tokens", "4"});
  EXPECT_EQ(odd.status, 0) << odd.err;
  EXPECT_NE(odd.err.find("top-p takes a probability"), std::string::npos) << odd.err;
}

// Each text is what it is alone, on a line of its own, in the order of the prompts.
TEST_F(GenerateTest, SeveralPromptsAtOnce) {
  const std::vector<std::string> prompts{"Once", "The big red ball", "x"};
  std::vector<std::string> all{"--max-tokens", "8", "--seed", "3", "--json"};
  std::string lines, objects;
  for (const std::string& prompt : prompts) {
    all.insert(all.end(), {"--prompt", prompt});
    lines += prompt + "\n\n";
    objects += nlohmann::json{{"prompt", prompt}}.dump() + "\n";
  }
  const Ran together = generate(all);
  EXPECT_EQ(together.status, 0) << together.err;
  std::istringstream out(together.out);
  std::string line;
  size_t i = 0;
  for (; std::getline(out, line); ++i) {
    const auto json = nlohmann::json::parse(line);
    const auto alone =
        generate({"--prompt", prompts[i], "--max-tokens", "8", "--seed", "3", "--json"}).json();
    EXPECT_EQ(json["ids"], alone["ids"]);
    EXPECT_EQ(json["text"], alone["text"]);
    EXPECT_EQ(json["prompt_ids"], alone["prompt_ids"]);
  }
  EXPECT_EQ(i, prompts.size());
  write("prompts.txt", lines);
  write("prompts.jsonl", objects);
  for (const char* file : {"prompts.txt", "prompts.jsonl"}) {
    const Ran again =
        generate({"--prompts", file, "--max-tokens", "8", "--seed", "3", "--temperature", "0"});
    EXPECT_EQ(again.status, 0) << again.err;
    for (const std::string& prompt : prompts)
      EXPECT_NE(again.out.find(prompt), std::string::npos) << file;
  }
  write("empty.txt", "\n");
  EXPECT_TRUE(fails(generate({"--prompts", "empty.txt"}), 1, "no prompt in 'empty.txt'"));
  EXPECT_TRUE(fails(generate({"--prompts", "prompts.txt", "--prompt", "x"}), 2, "one of"));
}

TEST_F(GenerateTest, CachesOfAnyKind) {
  for (const char* kv : {"f32", "f16"})
    EXPECT_EQ(ids({"--temperature", "0", "--kv", kv}), ids({"--temperature", "0"})) << kv;
}

TEST_F(GenerateTest, ContextsAreFullOrShift) {
  const auto full = generate({"--ids", "1,2,3", "--context", "8", "--ignore-eos", "--json"}).json();
  EXPECT_EQ(full["stop_reason"], "context");
  EXPECT_EQ(full["ids"].size(), 6u);
  const auto shifted = generate({"--ids", "1,2,3", "--context", "8", "--ignore-eos",
                                 "--context-shift", "--max-tokens", "30", "--json"})
                           .json();
  EXPECT_EQ(shifted["stop_reason"], "length");
  EXPECT_EQ(shifted["ids"].size(), 30u);
  EXPECT_TRUE(fails(generate({"--ids", "1,2,3,4,5", "--context", "4"}), 1,
                    "the prompt has 5 tokens and the context 4"));
  EXPECT_EQ(
      generate({"--ids", "1,2,3,4,5", "--context", "4", "--context-shift", "--max-tokens", "1"})
          .status,
      0);
  const Ran noted = generate({"--ids", "1,2,3", "--context", "8", "--ignore-eos"});
  EXPECT_NE(noted.err.find("the context of 8 tokens is full"), std::string::npos) << noted.err;
}

}  // namespace
}  // namespace cairn::test
