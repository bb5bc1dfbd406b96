// Checkpoint folders: what is kept, what counts, what foreign bytes do.
#include "cairn/train/checkpoint.h"

#include <gmock/gmock.h>

#include "tests/train/run_fixture.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class CheckpointTest : public test::RunTest {
 protected:
  CheckpointTest() { fs::create_directories(root / "checkpoints"); }

  void write(int64_t step, std::optional<double> validation_loss, int64_t keep) {
    Tensor tensor = runtime.upload(HostArray::from<float>(std::vector<float>{1, 2, 3}, {3}));
    const NamedTensor state[] = {{"model.w", &tensor}};
    CheckpointInfo info;
    info.step = step;
    info.validation_loss = validation_loss;
    ASSERT_TRUE(write_checkpoint(root, info, state, keep).ok());
  }
  std::vector<std::string> kept() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(root / "checkpoints"))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  Runtime runtime{{.threads = 1}};
};

TEST_F(CheckpointTest, TheNewestAndTheBestAreKept) {
  const double losses[] = {3, 1, 2, 2.5, 2.7, 2.6};
  for (int64_t i = 0; i < 6; ++i) write(i + 1, losses[i], 2);
  EXPECT_THAT(kept(), testing::ElementsAre("step-00000002", "step-00000005", "step-00000006"));
  write(7, 0.5, 2);  // a better one
  EXPECT_THAT(kept(), testing::ElementsAre("step-00000006", "step-00000007"));
  write(8, std::nullopt, 1);
  write(9, std::nullopt, 1);
  EXPECT_THAT(kept(), testing::ElementsAre("step-00000007", "step-00000009"));
}

TEST_F(CheckpointTest, WhatACrashLeftIsRemovedAndNeverRead) {
  fs::create_directories(root / "checkpoints" / "writing.1");
  fs::create_directories(root / "checkpoints" / "step-99999999999999999999");
  fs::create_directories(root / "checkpoints" / "step-12x");
  EXPECT_FALSE(latest_checkpoint(root).value());
  write(3, std::nullopt, 2);
  EXPECT_EQ(latest_checkpoint(root).value()->step, 3);
  EXPECT_FALSE(fs::exists(root / "checkpoints" / "writing.1"));
  // A folder without run.json is no checkpoint; writing that step again repairs it.
  write(4, std::nullopt, 2);
  fs::remove(root / "checkpoints" / "step-00000004" / "run.json");
  EXPECT_EQ(latest_checkpoint(root).value()->step, 3);
  write(4, std::nullopt, 2);
  EXPECT_EQ(latest_checkpoint(root).value()->step, 4);
}

TEST_F(CheckpointTest, AByteThatChangedIsSeen) {
  write(3, std::nullopt, 2);
  write(4, std::nullopt, 2);
  const fs::path state = root / "checkpoints" / "step-00000004" / "state.safetensors";
  std::string changed = bytes(state);
  changed.back() ^= 1;
  std::ofstream(state, std::ios::binary) << changed;
  EXPECT_EQ(latest_checkpoint(root).value()->step, 3);
}

TEST_F(CheckpointTest, TheScheduleOfAPlateauIsReadBack) {
  Tensor tensor = runtime.upload(HostArray::from<float>(std::vector<float>{1}, {1}));
  const NamedTensor state[] = {{"model.w", &tensor}};
  for (const double best : {0.1 + 0.2, std::numeric_limits<double>::infinity()}) {
    CheckpointInfo info;
    info.step = 1;
    info.plateau = Plateau::State{1e-3 / 3, best, 4, 2};
    ASSERT_TRUE(write_checkpoint(root, info, state, 1).ok());
    const Plateau::State read = latest_checkpoint(root).value()->plateau.value();
    EXPECT_EQ(read.rate, 1e-3 / 3);
    EXPECT_EQ(read.best, best);
    EXPECT_EQ(read.bad, 4);
    EXPECT_EQ(read.cooling, 2);
    fs::remove_all(root / "checkpoints" / "step-00000001");
  }
}

TEST_F(CheckpointTest, RunJsonOfOtherTypesIsAnError) {
  const auto error = [](const std::string& text) -> std::string {
    const auto parsed = parse_run_json(text);
    return parsed ? "" : parsed.error().what();
  };
  const std::string good =
      R"({"step": 3, "checksum": "00", "metrics_bytes": 5, "config": "[train]\nbatch = 2"})";
  EXPECT_EQ(error(good), "");
  EXPECT_EQ(parse_run_json(good).value().first.config.train.batch, 2);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return error(text.replace(text.find(from), from.size(), to));
  };
  EXPECT_THAT(with("3,", "-3,"), HasSubstr("'step'"));
  EXPECT_THAT(with("3,", "18446744073709551615,"), HasSubstr("'step'"));
  EXPECT_THAT(with("\"00\"", "0"), HasSubstr("'checksum'"));
  EXPECT_THAT(with("5,", "\"5\","), HasSubstr("'metrics_bytes'"));
  EXPECT_THAT(with("batch", "bacth"), HasSubstr("train.batch"));
  EXPECT_THAT(error("[1]"), HasSubstr("JSON object"));
  EXPECT_THAT(error(""), HasSubstr("JSON object"));
}

// What JSON cannot say (NaN) is null in a line, and lines that were cut or changed are passed over.
TEST(MetricsLine, IsReadBackWhateverItHolds) {
  Metrics m;
  m.step = 7;
  m.loss = 0.1 + 0.2;
  m.validation_loss = std::nan("");
  m.learning_rate = 1e-3;
  m.item_name = "tokens";
  m.items = 70;
  m.items_per_second = 12.5;
  const auto read = parse_metrics(to_json(m));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->step, 7);
  EXPECT_EQ(read->loss, m.loss);
  EXPECT_FALSE(read->validation_loss);
  EXPECT_EQ(read->item_name, "tokens");
  EXPECT_EQ(read->items_per_second, 12.5);
  EXPECT_EQ(parse_metrics(R"({"step": 3, "loss": "high", "lr": [], "tokens": {}})")->loss, 0);
  for (const char* line : {"", "{", "[3]", "{\"loss\": 1}", "{\"step\": \"3\"}"})
    EXPECT_FALSE(parse_metrics(line)) << line;
}

}  // namespace
}  // namespace cairn
