// cairn data.
#include <filesystem>

#include "cairn/io/npy.h"
#include "tests/cli/program.h"

namespace cairn::test {
namespace {

class DataTest : public CliTest {
 protected:
  nlohmann::json preview(std::vector<std::string> more) const {
    more.insert(more.begin(), {"data", "preview"});
    more.push_back("--json");
    return run(more).json();
  }
};

TEST_F(DataTest, ListsKinds) {
  const auto kinds = run({"data", "list", "--json"}).json()["kinds"];
  EXPECT_GE(kinds.size(), 10u);
  const Ran text = run({"data", "list"});
  for (const auto& kind : kinds)
    EXPECT_NE(text.out.find(kind["kind"].get<std::string>()), std::string::npos);
}

TEST_F(DataTest, ListsAFolder) {
  const auto files = run({"data", "list", ".", "--json"}).json()["files"];
  const auto kind_of = [&](const std::string& end) {
    for (const auto& file : files)
      if (file["path"].get<std::string>().ends_with("/" + end))
        return file["kind"].get<std::string>();
    return std::string("missing");
  };
  EXPECT_EQ(kind_of("x.npy"), "npy");
  EXPECT_EQ(kind_of("story.txt"), "text");
  EXPECT_EQ(kind_of("lines.jsonl"), "jsonl");
  EXPECT_EQ(kind_of("table.csv"), "csv");
  EXPECT_EQ(kind_of("train-images-idx3-ubyte.gz"), "idx");
  EXPECT_EQ(kind_of("classifier/model.safetensors"), "safetensors");
  EXPECT_EQ(kind_of("tokenizer.json"), "tokenizer");
  EXPECT_EQ(run({"data", "list", "."}).status, 0);
  EXPECT_TRUE(fails(run({"data", "list", "nothing"}), 1, "no folder"));
  EXPECT_TRUE(fails(run({"data", "list", "x.npy"}), 1, "no folder"));
}

TEST_F(DataTest, ManyFilesAreOneRow) {
  std::filesystem::create_directory(path("many"));
  for (int i = 0; i < 20; ++i) write("many/" + std::to_string(i) + ".txt", "text");
  const Ran ran = run({"data", "list", "many"});
  EXPECT_NE(ran.out.find("(20 files)"), std::string::npos) << ran.out;
}

TEST_F(DataTest, Documents) {
  const auto lines = preview({"lines.jsonl"});
  EXPECT_EQ(lines["documents"], 2);
  EXPECT_EQ(lines["bytes"], 10);
  EXPECT_EQ(lines["preview"], nlohmann::json({"one", "two two"}));
  EXPECT_EQ(preview({"lines.jsonl", "--start", "1", "--rows", "1"})["preview"],
            nlohmann::json({"two two"}));
  EXPECT_EQ(preview({"story.txt", "--separator", "\n"})["documents"], 2);
  EXPECT_NE(run({"data", "preview", "story.txt"}).out.find("Once upon a time"), std::string::npos);
  write("other.jsonl", "{\"n\": 1, \"question\": \"why\"}\n");
  EXPECT_EQ(preview({"other.jsonl"})["preview"], nlohmann::json({"why"}));
  EXPECT_TRUE(fails(run({"data", "preview", "other.jsonl", "--field", "answer"}), 1, "answer"));
  write("latin1.txt", "caf\xe9 and more\n");
  EXPECT_TRUE(fails(run({"data", "preview", "latin1.txt"}), 1, "latin1.txt"));
  write("empty.txt", "");
  EXPECT_EQ(preview({"empty.txt"})["documents"], 0);
}

TEST_F(DataTest, Tables) {
  const auto json = preview({"table.csv"});
  EXPECT_EQ(json["rows"], 3);
  EXPECT_EQ(json["columns"], nlohmann::json({"length", "kind"}));
  EXPECT_EQ(json["preview"][1], nlohmann::json({"2.5", "b"}));
  const Ran text = run({"data", "preview", "table.csv"});
  EXPECT_NE(text.out.find("1.5 to 4.5, mean 2.833"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("2 values: a (2), b (1)"), std::string::npos) << text.out;
  write("ragged.csv", "a,b\n1,2\n3\n");
  EXPECT_TRUE(fails(run({"data", "preview", "ragged.csv"}), 1, "ragged.csv"));
}

TEST_F(DataTest, Arrays) {
  const auto json = preview({"w.npy"});
  EXPECT_EQ(json["dtype"], "f32");
  EXPECT_EQ(json["shape"], nlohmann::json({2, 8}));
  EXPECT_EQ(json["min"], 0);
  EXPECT_EQ(json["max"], 15);
  EXPECT_EQ(json["mean"], 7.5);
  EXPECT_NE(run({"data", "preview", "w.npy"}).out.find("f32[2,8]"), std::string::npos);
  const std::vector<io::NamedArray> arrays = {
      {"a", HostArray::from<int32_t>(std::vector<int32_t>{1, 2}, {2})}};
  io::write_npz(path("a.npz"), arrays).value();
  EXPECT_EQ(preview({"a.npz"})["arrays"]["a"]["dtype"], "i32");
  EXPECT_EQ(run({"data", "preview", "a.npz"}).status, 0);
}

TEST_F(DataTest, Pictures) {
  EXPECT_EQ(preview({"train-images-idx3-ubyte.gz"})["shape"], nlohmann::json({6, 1, 3}));
  const Ran text = run({"data", "preview", "train-images-idx3-ubyte.gz"});
  EXPECT_NE(text.out.find("6 pictures of 3 x 1"), std::string::npos) << text.out;
  EXPECT_EQ(preview({"picture.png"})["shape"], nlohmann::json({8, 12, 3}));
  EXPECT_NE(run({"data", "preview", "picture.png"}).out.find("12 x 8"), std::string::npos);
}

TEST_F(DataTest, WhatIsNoData) {
  EXPECT_TRUE(fails(run({"data", "preview", "weights.safetensors"}), 1, "cairn inspect"));
  EXPECT_TRUE(fails(run({"data", "preview", "llama"}), 1, "is a folder"));
  EXPECT_TRUE(fails(run({"data", "preview", "nothing"}), 1, "nothing"));
  EXPECT_TRUE(fails(run({"data", "preview"}), 2, "FILE is required"));
  EXPECT_TRUE(fails(run({"data", "preview", "x.npy", "--rows", "0"}), 2, "--rows"));
}

}  // namespace
}  // namespace cairn::test
