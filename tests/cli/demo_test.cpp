// cairn demo, with a few steps.
#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include "tests/cli/program.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

class DemoTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    std::string text = "\n  It was a stone that sang.\n";
    for (int i = 0; i < 60; ++i) text += "Song " + std::to_string(i) + " of the stone.\n";
    write("song.txt", text);
  }
  Ran demo(std::vector<std::string> more) const {
    more.insert(more.begin(), "demo");
    return run(more);
  }
};

nlohmann::json last_line(const std::string& text) {
  std::istringstream stream(text);
  std::string line, last;
  while (std::getline(stream, line)) last = line;
  return nlohmann::json::parse(last);
}

TEST_F(DemoTest, TrainsSavesLoadsAndWrites) {
  const Ran ran = demo({"song.txt", "--steps", "4"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.err.find("4 steps"), std::string::npos) << ran.err;
  EXPECT_NE(ran.out.find("The model is in cairn-demo"), std::string::npos) << ran.out;
  // It begins with the text's own words, and says how to go on.
  EXPECT_NE(ran.out.find("\nIt was a"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("cairn generate --model cairn-demo --prompt 'It was a'"),
            std::string::npos)
      << ran.out;
  EXPECT_EQ(run({"generate", "--model", "cairn-demo", "--prompt", "It was a", "--max-tokens", "2"})
                .status,
            0);

  // A finished one stays as it is.
  const std::string model = read("cairn-demo/model.safetensors");
  const auto time = fs::last_write_time(path("cairn-demo/model.safetensors"));
  const Ran again = demo({"song.txt", "--steps", "4", "--json"});
  ASSERT_EQ(again.status, 0) << again.err;
  const auto json = again.json();
  EXPECT_EQ(json["done"], true);
  EXPECT_EQ(json["step"], 4);
  EXPECT_GT(json["loss"], 0);
  EXPECT_EQ(json["prompt"], "It was a");
  EXPECT_TRUE(json["text"].get<std::string>().starts_with("It was a"));
  EXPECT_FALSE(json["ids"].empty());
  EXPECT_EQ(json["folder"], "cairn-demo");
  EXPECT_EQ(read("cairn-demo/model.safetensors"), model);
  EXPECT_EQ(fs::last_write_time(path("cairn-demo/model.safetensors")), time);

  // Another wish is an error that names it.
  EXPECT_TRUE(fails(demo({"song.txt", "--steps", "5"}), 1, "steps (4, now 5)"));
  EXPECT_TRUE(fails(demo({"song.txt", "--minutes", "1"}), 1, "minutes (0, now 1)"));
  EXPECT_TRUE(fails(demo({"song.txt", "--seed", "5"}), 1, "seed (1337, now 5)"));
  write("other.txt", std::string(400, 'x'));
  EXPECT_TRUE(fails(demo({"other.txt"}), 1, "the text"));
  EXPECT_EQ(read("cairn-demo/model.safetensors"), model);

  // --fresh starts over, and streams its lines.
  const Ran fresh =
      demo({"song.txt", "--steps", "2", "--seed", "5", "--fresh", "--json", "--quiet"});
  ASSERT_EQ(fresh.status, 0) << fresh.err;
  EXPECT_EQ(fresh.err, "");
  EXPECT_EQ(std::count(fresh.out.begin(), fresh.out.end(), '\n'), 3) << fresh.out;
  EXPECT_EQ(last_line(fresh.out)["step"], 2);
  EXPECT_NE(read("cairn-demo/model.safetensors"), model);
}

// Timed first, it then trains as a demo of so many steps does, on one reading of the text.
TEST_F(DemoTest, TimedStepsLeaveNoTrace) {
  const Ran timed = demo({"song.txt", "--minutes", "0.0001", "--out", "timed"});
  ASSERT_EQ(timed.status, 0) << timed.err;
  EXPECT_NE(timed.err.find("as many steps as fit into 6"), std::string::npos) << timed.err;
  EXPECT_NE(timed.err.find("a step takes "), std::string::npos) << timed.err;
  const auto record = nlohmann::json::parse(read("timed/demo.json"));
  const int64_t steps = record["steps"];
  EXPECT_GE(steps, 1);
  const Ran given =
      demo({"song.txt", "--steps", std::to_string(steps), "--out", "given", "--quiet"});
  ASSERT_EQ(given.status, 0) << given.err;
  EXPECT_EQ(read("timed/model.safetensors"), read("given/model.safetensors"));
  // What is finished says the number that was fixed.
  EXPECT_NE(demo({"song.txt", "--out", "timed", "--minutes", "0.0001"})
                .err.find(std::to_string(steps) + " steps, about"),
            std::string::npos);
}

TEST_F(DemoTest, OwnText) {
  const Ran ran = demo({"--steps", "1", "--out", "own", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.err.find("cairn's own text"), std::string::npos) << ran.err;
  const auto json = last_line(ran.out);
  EXPECT_EQ(json["step"], 1);
  EXPECT_FALSE(json["prompt"].get<std::string>().empty());
}

TEST_F(DemoTest, InterruptedItGoesOn) {
  const std::vector<std::string> command = {"demo",  "song.txt", "--steps", "8",
                                            "--out", "half",     "--json"};
  const Ran stopped = cairn(command, {.folder = path(""), .interrupt_on = "\"step\":"});
  ASSERT_EQ(stopped.status, 130) << stopped.err;
  EXPECT_NE(stopped.err.find("run the same command to go on"), std::string::npos) << stopped.err;
  EXPECT_FALSE(fs::exists(path("half/model.safetensors")));
  const Ran rest = run(command);
  ASSERT_EQ(rest.status, 0) << rest.err;
  EXPECT_NE(rest.err.find("going on from the checkpoint"), std::string::npos) << rest.err;
  EXPECT_EQ(last_line(rest.out)["step"], 8);
  // What was done once is not done again.
  EXPECT_EQ(rest.out.find("\"step\":1,"), std::string::npos) << rest.out;
}

TEST_F(DemoTest, LeavesAloneWhatIsNotItsOwn) {
  ASSERT_EQ(run({"train", "shakespeare.toml", "--out", "run"}).status, 0);
  for (const char* folder : {"run", "llama", "classifier", "."}) {
    SCOPED_TRACE(folder);
    const auto files = [&] {
      std::map<std::string, fs::file_time_type> all;
      for (const auto& entry : fs::recursive_directory_iterator(path(folder)))
        all[entry.path().string()] = fs::last_write_time(entry.path());
      return all;
    };
    const auto before = files();
    for (const char* fresh : {"", " --fresh"}) {
      const Ran ran = shell(std::string("cairn demo song.txt --steps 1 --out ") + folder + fresh,
                            {.folder = path("")});
      EXPECT_TRUE(fails(ran, 1, "holds files that cairn demo did not write"));
    }
    EXPECT_EQ(files(), before);
  }
  EXPECT_TRUE(fails(demo({"song.txt", "--out", "story.txt"}), 1, "is a file"));
  fs::create_directory(path("odd"));
  write("odd/demo.json", "{}");
  EXPECT_TRUE(fails(demo({"song.txt", "--out", "odd"}), 1, "demo.json' is damaged"));
}

TEST_F(DemoTest, WrongDemos) {
  for (const char* minutes : {"nan", "inf", "1e300", "0", "-1", "x"})
    EXPECT_TRUE(fails(demo({"song.txt", "--minutes", minutes}), 2, "--minutes")) << minutes;
  EXPECT_TRUE(fails(demo({"song.txt", "--minutes", "1", "--steps", "2"}), 2, "take one"));
  EXPECT_TRUE(fails(demo({"song.txt", "--steps", "0"}), 2, "--steps"));
  write("one.txt", "x");
  EXPECT_TRUE(fails(demo({"one.txt"}), 1, "the text is too short: 1 byte in one.txt"));
  EXPECT_TRUE(fails(demo({"nothing.txt"}), 1, "nothing.txt"));
  EXPECT_FALSE(fs::exists(path("cairn-demo")));
  const std::string help = demo({"--help"}).out;
  EXPECT_NE(help.find("(default: 5)"), std::string::npos);
  EXPECT_NE(help.find("(default: cairn-demo)"), std::string::npos);
}

}  // namespace
}  // namespace cairn::test
