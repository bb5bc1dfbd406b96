// cairn train: its lines, its folder, and what happens to a run that ends early.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include "tests/cli/program.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

class TrainTest : public CliTest {
 protected:
  std::vector<std::string> command(const std::vector<std::string>& more) const {
    std::vector<std::string> all = {"train", "shakespeare.toml", "--out", "out"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Ran train(const std::vector<std::string>& more = {}) const { return run(command(more)); }
  static std::vector<std::string> steps(int64_t n) {
    return {"--set", "train.steps=" + std::to_string(n), "--set", "train.log_every=1"};
  }
  std::vector<int64_t> steps_of_metrics() const {
    std::vector<int64_t> steps;
    for (const auto& line : lines_of(read("out/metrics.jsonl"))) steps.push_back(line["step"]);
    return steps;
  }
  bool has_checkpoint() const {
    std::error_code none;
    return fs::exists(path("out/checkpoints"), none) && !fs::is_empty(path("out/checkpoints"));
  }
  // A long run that ends as soon as it has said something; its last step.
  int64_t stopped_run(int signal, int status) const {
    const Ran ran =
        cairn(command({"--json", "--set", "train.steps=1000000", "--set", "train.log_every=1"}),
              {.folder = path(""), .interrupt_on = "\"step\":", .signal = signal});
    EXPECT_EQ(ran.status, status) << ran.err;
    EXPECT_TRUE(has_checkpoint());
    EXPECT_FALSE(fs::exists(path("out/model.safetensors")));
    const auto last = lines_of(ran.out).back();
    EXPECT_EQ(last["done"], false);
    return last["step"];
  }
};

std::vector<int64_t> count_to(int64_t n) {
  std::vector<int64_t> numbers;
  for (int64_t i = 1; i <= n; ++i) numbers.push_back(i);
  return numbers;
}

TEST_F(TrainTest, JsonLines) {
  const Ran ran = train({"--json", "--set", "train.steps=6", "--set", "train.log_every=2", "--set",
                         "train.evaluate_every=3", "--set", "data.validation=0.3", "--set",
                         "train.learning_rate=0.25", "--set", "train.schedule=constant"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto lines = lines_of(ran.out);
  // Steps 2, 4 and 6 are logged, 3 and 6 evaluated.
  ASSERT_EQ(lines.size(), 5u) << ran.out;
  const int64_t steps[] = {2, 3, 4, 6};
  for (size_t i = 0; i < 4; ++i) {
    const auto& line = lines[i];
    SCOPED_TRACE(line.dump());
    EXPECT_EQ(line["step"], steps[i]);
    EXPECT_GT(line["loss"], 0);
    EXPECT_EQ(line["lr"], 0.25);
    EXPECT_GT(line["grad_norm"], 0);
    EXPECT_EQ(line["tokens"], steps[i] * 2 * 8);  // batch x context
    EXPECT_GT(line["tokens_per_s"], 0);
    EXPECT_GT(line["seconds"], 0);
    EXPECT_TRUE(line["memory_bytes"].is_number_unsigned());
    EXPECT_EQ(line.contains("val_loss"), steps[i] % 3 == 0);
    EXPECT_EQ(line.contains("compile_seconds"), i == 0);
    EXPECT_FALSE(line.contains("done"));
  }
  EXPECT_EQ(lines[4]["done"], true);
  EXPECT_EQ(lines[4]["step"], 6);
  EXPECT_EQ(lines[4]["loss"], lines[3]["loss"]);
  EXPECT_EQ(lines[4]["val_loss"], lines[3]["val_loss"]);
  // The folder has the same lines, and everything that CLI.md names.
  EXPECT_EQ(read("out/metrics.jsonl"), ran.out.substr(0, ran.out.find("{\"done\"")));
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json", "report.html"})
    EXPECT_TRUE(fs::exists(path(std::string("out/") + file))) << file;
  EXPECT_EQ(run({"generate", "--model", "out", "--prompt", "Once", "--max-tokens", "2"}).status, 0);
}

TEST_F(TrainTest, ImagesAreSamples) {
  write("images.toml",
        "[model]\nfamily = \"mlp\"\nhidden = [4]\n[data]\nimages = \"train-images-idx3-ubyte.gz\"\n"
        "labels = \"train-labels-idx1-ubyte.gz\"\nvalidation_images = "
        "\"t10k-images-idx3-ubyte.gz\"\nvalidation_labels = \"t10k-labels-idx1-ubyte.gz\"\n"
        "[train]\nsteps = 2\nbatch = 3\nlog_every = 1\n");
  const Ran ran = run({"train", "images.toml", "--out", "out", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1]["samples"], 6);
  EXPECT_TRUE(lines[1].contains("samples_per_s"));
  EXPECT_FALSE(lines[1].contains("tokens"));
  EXPECT_EQ(lines[2]["done"], true);
  EXPECT_EQ(run({"inspect", "out", "--json"}).json()["metadata"]["runs"], true);
}

TEST_F(TrainTest, AFinishedRunStaysAsItIs) {
  ASSERT_EQ(train(steps(3)).status, 0);
  const auto state = [&] {
    std::map<std::string, std::pair<std::string, fs::file_time_type>> files;
    for (const char* name : {"model.safetensors", "config.json", "tokenizer.json", "metrics.jsonl",
                             "report.html", "events.out.tfevents.cairn"})
      files[name] = {read(std::string("out/") + name),
                     fs::last_write_time(path(std::string("out/") + name))};
    return files;
  };
  const auto before = state();
  const Ran again = train(steps(3));
  EXPECT_EQ(again.status, 0);
  EXPECT_EQ(again.out, "");
  EXPECT_NE(again.err.find("nothing to do"), std::string::npos) << again.err;
  EXPECT_EQ(state(), before);
  std::vector<std::string> json = steps(3);
  json.push_back("--json");
  const auto lines = lines_of(train(json).out);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["done"], true);
  EXPECT_EQ(lines[0]["step"], 3);
  EXPECT_EQ(state(), before);
}

TEST_F(TrainTest, InterruptedItSavesAndGoesOn) {
  for (const auto& [signal, status] : {std::pair(SIGINT, 130), {SIGTERM, 143}, {SIGHUP, 129}}) {
    SCOPED_TRACE(status);
    fs::remove_all(path("out"));
    const int64_t step = stopped_run(signal, status);
    // As a crash after the checkpoint leaves it: lines of steps that the checkpoint does not have.
    const std::string metrics = read("out/metrics.jsonl");
    write("out/metrics.jsonl", metrics + "{\"step\":" + std::to_string(step + 1) +
                                   ",\"loss\":77}\n{\"step\":" + std::to_string(step + 2));
    const Ran ran = train(steps(step + 3));
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_NE(ran.err.find("going on from the checkpoint at step " + std::to_string(step)),
              std::string::npos)
        << ran.err;
    EXPECT_EQ(steps_of_metrics(), count_to(step + 3));
    EXPECT_TRUE(read("out/metrics.jsonl").starts_with(metrics));
    EXPECT_EQ(read("out/metrics.jsonl").find("\"loss\":77"), std::string::npos);
    EXPECT_TRUE(fs::exists(path("out/model.safetensors")));
  }
}

TEST_F(TrainTest, FreshStartsOver) {
  ASSERT_EQ(train(steps(3)).status, 0);
  const std::string model = read("out/model.safetensors");
  write("out/mine.txt", "not of cairn");
  std::vector<std::string> other = steps(2);
  other.insert(other.end(), {"--set", "model.width=16"});
  const Ran refused = train(other);
  EXPECT_TRUE(fails(refused, 1, "model.width (8, now 16)"));
  EXPECT_NE(refused.err.find("--fresh"), std::string::npos);
  EXPECT_EQ(read("out/model.safetensors"), model);
  other.push_back("--fresh");
  EXPECT_EQ(train(other).status, 0);
  EXPECT_EQ(steps_of_metrics(), count_to(2));
  EXPECT_EQ(read("out/mine.txt"), "not of cairn");
  EXPECT_NE(read("out/model.safetensors"), model);
}

TEST_F(TrainTest, AResumeNamesTheKeysThatDiffer) {
  ASSERT_EQ(train(steps(2)).status, 0);
  const Ran ran = train({"--set", "train.batch=3", "--set", "train.weight_decay=0.5", "--seed", "9",
                         "--set", "train.log_every=7"});
  EXPECT_TRUE(fails(ran, 1, "train.batch (2, now 3)"));
  EXPECT_NE(ran.err.find("train.weight_decay"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("train.seed (1337, now 9)"), std::string::npos) << ran.err;
  EXPECT_EQ(ran.err.find("log_every"), std::string::npos) << ran.err;
}

// Nobody reads on, or nothing more fits: the work is saved first.
TEST_F(TrainTest, ResultsThatCannotBeWrittenLoseNoWork) {
  const std::string line =
      "cairn train shakespeare.toml --out out --json --set train.steps=1000000 --set "
      "train.log_every=1";
  const Ran closed =
      shell("{ " + line + "; echo status $? >&2; } | head -n 1", {.folder = path("")});
  EXPECT_EQ(lines_of(closed.out).size(), 1u);
  EXPECT_NE(closed.err.find("status 1\n"), std::string::npos) << closed.err;
  EXPECT_TRUE(has_checkpoint());
  const auto seen = static_cast<int64_t>(steps_of_metrics().size());
  EXPECT_EQ(train(steps(seen + 2)).status, 0);
  EXPECT_EQ(steps_of_metrics(), count_to(seen + 2));

  fs::remove_all(path("out"));
  const Ran full =
      cairn(command({"--json", "--set", "train.steps=1000000", "--set", "train.log_every=1"}),
            {.folder = path(""), .stdout_path = "/dev/full"});
  EXPECT_TRUE(fails(full, 1, "cannot write the results to stdout: No space left on device"));
  EXPECT_TRUE(has_checkpoint());
}

TEST_F(TrainTest, SizesAreBounded) {
  for (const char* key : {"layers", "width", "context", "heads"}) {
    const Ran ran = train({"--set", std::string("model.") + key + "=999999999"});
    EXPECT_TRUE(fails(ran, 1, key)) << key;
  }
  EXPECT_TRUE(fails(train({"--set", "model.layers=99999999"}), 1, "at most 10000"));
  EXPECT_TRUE(fails(train({"--set", "model.width=1000000000000"}), 1, "at most"));
}

TEST_F(TrainTest, BatchesBeyondMemoryAreRefused) {
  for (const char* batch : {"100000000", "1000000000"}) {
    const Ran ran = train({"--set", std::string("train.batch=") + batch});
    EXPECT_TRUE(fails(ran, 1, std::string("train.batch = ") + batch));
    EXPECT_NE(ran.err.find(" GiB are available; lower train.batch"), std::string::npos) << ran.err;
    EXPECT_LT(ran.max_resident_bytes, int64_t{1} << 30);
  }
}

// A run that fails before its first step leaves no folder, and nothing in one that was there.
TEST_F(TrainTest, AFailureLeavesNothing) {
  const std::vector<std::vector<std::string>> failures = {
      {"--set", "data.text=nothing.txt"},    {"--set", "data.tokenizer=nothing.json"},
      {"--set", "model.family=gtp"},         {"--set", "train.optimizer=adamm"},
      {"--set", "train.schedule=never"},     {"--set", "model.heads=3"},
      {"--set", "train.schedule=plateau"},   {"--set", "train.batch=1000000000"},
      {"--set", "data.validation_text=none"}};
  fs::create_directory(path("there"));
  write("there/mine.txt", "not of cairn");
  for (const auto& failure : failures) {
    for (const char* out : {"new/of/a/run/", "there"}) {
      std::vector<std::string> all = {"train", "shakespeare.toml", "--out", out};
      all.insert(all.end(), failure.begin(), failure.end());
      EXPECT_TRUE(fails(run(all), 1, "")) << failure[1];
    }
    EXPECT_FALSE(fs::exists(path("new"))) << failure[1];
    EXPECT_EQ(std::distance(fs::directory_iterator(path("there")), fs::directory_iterator()), 1)
        << failure[1];
  }
  EXPECT_EQ(run({"train", "shakespeare.toml", "--out", "new/of/a/run/"}).status, 0);
  EXPECT_TRUE(fs::exists(path("new/of/a/run/model.safetensors")));
  // Nor does one take anything from a run that is there.
  const auto count = [&] {
    return std::distance(fs::recursive_directory_iterator(path("new/of/a/run")),
                         fs::recursive_directory_iterator());
  };
  const auto before = count();
  EXPECT_TRUE(
      fails(run({"train", "shakespeare.toml", "--out", "new/of/a/run", "--set", "model.width=16"}),
            1, "model.width (8, now 16)"));
  EXPECT_EQ(count(), before);
}

TEST_F(TrainTest, TooLittleText) {
  write("story.txt", "");
  EXPECT_TRUE(fails(train(), 1, "is empty"));
  write("story.txt", "x");
  EXPECT_TRUE(fails(train(), 1, "too short"));
}

TEST_F(TrainTest, Precision) {
  for (const char* type : {"f32", "bf16", "f16"}) {
    const Ran ran = run({"train", "shakespeare.toml", "--out", type, "--precision", type});
    EXPECT_EQ(ran.status, 0) << ran.err;
  }
  EXPECT_NE(read("f32/model.safetensors"), read("bf16/model.safetensors"));
}

// The configuration of CLI.md, which examples/ ships, on another text.
TEST_F(TrainTest, TheExampleOfShakespeare) {
  const std::string file = CAIRN_SOURCE_DIR "/examples/shakespeare.toml";
  EXPECT_TRUE(fails(run({"train", file, "--out", "out"}), 1, "examples/tinyshakespeare.txt"));
  std::string text;
  for (int i = 0; i < 40; ++i) text += read("story.txt");
  write("text.txt", text);
  const Ran ran = run({"train", file, "--out", "out", "--set", "data.text=" + path("text.txt"),
                       "--set", "train.steps=1", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(lines_of(ran.out)[0]["tokens"], 12 * 64);
  EXPECT_TRUE(lines_of(ran.out)[0].contains("val_loss"));
}

// With a step that says nothing for long, and before the first, something still does.
TEST_F(TrainTest, AProgressLineEveryFewSeconds) {
  const Ran ran = cairn({"train", "shakespeare.toml", "--out", "out", "--set",
                         "train.steps=1000000", "--set", "train.log_every=1000000"},
                        {.folder = path(""), .interrupt_after = 12});
  EXPECT_EQ(ran.status, 130);
  EXPECT_GE(std::count(ran.err.begin(), ran.err.end(), '\n'), 2) << ran.err;
  EXPECT_NE(ran.err.find("/1000000"), std::string::npos) << ran.err;
  const Ran quiet = cairn(
      {"train", "shakespeare.toml", "--out", "other", "--quiet", "--set", "train.steps=1000000"},
      {.folder = path(""), .interrupt_after = 6});
  EXPECT_EQ(quiet.status, 130);
  EXPECT_EQ(quiet.err, "");
}

}  // namespace
}  // namespace cairn::test
