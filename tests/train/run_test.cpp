// Whole runs: resuming bit for bit, crashes at any moment, full disks, thread counts, values that
// are not finite. The model is tiny, so that a run takes a fraction of a second.
#include "cairn/train/run.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cairn/train/checkpoint.h"
#include "cairn/train/task.h"
#include "tests/support/checked_runtime.h"
#include "tests/train/run_fixture.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using test::RunTest;

TEST_F(RunTest, WritesAFolderThatIsAModel) {
  const RunResult result = train(config(20), "a");
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.step, 20);
  for (const char* file :
       {"config.json", "model.safetensors", "tokenizer.json", "metrics.jsonl", "report.html"})
    EXPECT_TRUE(fs::exists(root / "a" / file)) << file;
  EXPECT_LT(result.history.back().loss, result.history.front().loss);
  EXPECT_TRUE(result.history.back().validation_loss);
  const RunResult again = train(config(20), "a");
  EXPECT_TRUE(again.already_done);
}

TEST_F(RunTest, TheSameBitsWithAnyNumberOfThreads) {
  train(config(12), "one", 1);
  for (const int threads : {2, 3, 8}) {
    train(config(12), "many", threads);
    EXPECT_EQ(bytes(root / "one/model.safetensors"), bytes(root / "many/model.safetensors"))
        << threads;
    fs::remove_all(root / "many");
  }
}

TEST_F(RunTest, AnInterruptedRunGoesOnBitForBit) {
  train(config(20), "straight");
  for (const int stop : {1, 9}) {
    int steps = 0;
    const RunResult part = train(config(20), "parts", 1, [&] { return ++steps == stop; });
    EXPECT_FALSE(part.finished);
    EXPECT_EQ(part.step, stop);
    const RunResult whole = train(config(20), "parts");
    EXPECT_TRUE(whole.finished);
    EXPECT_EQ(bytes(root / "straight/model.safetensors"), bytes(root / "parts/model.safetensors"));
    fs::remove_all(root / "parts");
  }
}

TEST_F(RunTest, MoreStepsGoOnFromAFinishedRun) {
  TrainConfig c = config(10);
  c.train.schedule = "constant";
  train(c, "a");
  c.train.steps = 20;
  EXPECT_EQ(train(c, "a").step, 20);
  train(c, "b");
  EXPECT_EQ(bytes(root / "a/model.safetensors"), bytes(root / "b/model.safetensors"));
}

TEST_F(RunTest, AFullDiskIsANamedErrorAndKeepsTheLastCheckpoint) {
  train(config(7), "full");
  const auto before = latest_checkpoint(root / "full").value();
  ASSERT_TRUE(before);
  const std::string saved = bytes(before->folder / "state.safetensors");
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{saved.size() / 2, saved.size() / 2};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string text = failure(config(30), "full");
    [[maybe_unused]] const auto written = write(pipe_ends[1], text.data(), text.size());
    _exit(0);
  }
  close(pipe_ends[1]);
  waitpid(child, nullptr, 0);
  char buffer[2000] = {};
  ASSERT_GT(read(pipe_ends[0], buffer, sizeof buffer - 1), 0);
  close(pipe_ends[0]);
  EXPECT_NE(std::string(buffer).find("state.safetensors"), std::string::npos) << buffer;
  EXPECT_NE(std::string(buffer).find("File too large"), std::string::npos) << buffer;
  const auto after = latest_checkpoint(root / "full").value();
  ASSERT_TRUE(after);
  EXPECT_EQ(bytes(after->folder / "state.safetensors"), saved);
}

TEST_F(RunTest, ABrokenCheckpointIsPassedOver) {
  train(config(20), "a");
  const auto newest = latest_checkpoint(root / "a").value();
  ASSERT_TRUE(newest);
  fs::resize_file(newest->folder / "state.safetensors", 100);
  const auto next = latest_checkpoint(root / "a").value();
  ASSERT_TRUE(next);
  EXPECT_LT(next->step, newest->step);
}

TEST_F(RunTest, OtherSettingsOnResumeNameTheKeys) {
  train(config(7), "a");
  TrainConfig c = config(14);
  c.train.batch = 8;
  c.model.width = 32;
  const std::string text = failure(c, "a");
  EXPECT_NE(text.find("train.batch (4, now 8)"), std::string::npos) << text;
  EXPECT_NE(text.find("model.width (16, now 32)"), std::string::npos) << text;
}

TEST_F(RunTest, ALossThatIsNotFiniteNamesTheFirstBadNode) {
  TrainConfig c = config(40);
  c.train.checkpoint_every = 1;
  c.train.clip = 0;
  c.train.warmup_steps = 0;
  c.train.schedule = "constant";
  c.train.optimizer = "sgd";
  c.train.learning_rate = 1e30;
  const std::string text = failure(c, "a");
  EXPECT_NE(text.find("the first value that is not finite"), std::string::npos) << text;
  EXPECT_NE(text.find("train.learning_rate"), std::string::npos) << text;
}

TEST_F(RunTest, OnePlanForAThousandStepsUnderASchedule) {
  TrainConfig c = config(1000);
  c.train.evaluate_every = c.train.checkpoint_every = 0;
  fs::create_directories(root / "a");
  auto task = make_task(c, root / "a").value();
  Runtime runtime(test::checked({.threads = 1}));
  initialize(runtime, task->module(), 1);
  TrainStep step(
      runtime, task->module(),
      [&](Context& ctx, std::span<const Tensor> b) { return task->loss(ctx, b); },
      make_optimizer({.name = "adamw"}));
  const int64_t before = runtime.stats().plans_made;
  for (int i = 0; i < 1000; ++i) {
    std::vector<Tensor> batch;
    for (const HostArray& a : task->batch(i)) batch.push_back(runtime.upload(a));
    step.step(batch, 1e-3 / (i + 1), i + 1);
  }
  EXPECT_EQ(runtime.stats().plans_made - before, 1);
}

TEST_F(RunTest, ThePlannedPeakIsWhatTheAllocatorSaw) {
  for (const int accumulate : {1, 3}) {
    TrainConfig c = config(1);
    c.train.accumulate = accumulate;
    fs::create_directories(root / "a");
    auto task = make_task(c, root / "a").value();
    Runtime runtime(test::checked({.threads = 1}));
    initialize(runtime, task->module(), 1);
    TrainStepOptions options;
    options.accumulate = accumulate;
    TrainStep step(
        runtime, task->module(),
        [&](Context& ctx, std::span<const Tensor> b) { return task->loss(ctx, b); },
        make_optimizer({.name = "adamw"}), options);
    for (int i = 0; i < 3; ++i) {
      std::vector<Tensor> batch;
      for (const HostArray& a : task->batch(i)) batch.push_back(runtime.upload(a));
      runtime.allocator().reset_peak();
      step.step(batch, 1e-3, i + 1);
      // Learning rate and step come from the caller's memory; all else is the allocator's.
      const size_t outside = 2 * kBufferAlignment;
      EXPECT_EQ(runtime.allocator().peak_bytes(), step.plan()->peak_bytes() - outside)
          << accumulate << " " << i;
    }
    EXPECT_GT(step.plan()->arena_bytes, 10000u);
  }
}

TEST_F(RunTest, GradientsOfMicroBatchesAreThoseOfOneBatch) {
  TrainConfig whole = config(8);
  whole.model.dropout = 0;
  TrainConfig parts = whole;
  parts.train.batch = 2;
  parts.train.accumulate = 2;
  const RunResult a = train(whole, "whole");
  const RunResult b = train(parts, "parts");
  // The same items in another grouping of sums: f32 rounding, growing over eight steps.
  EXPECT_NEAR(a.history.back().loss, b.history.back().loss, 1e-4);
}

TEST_F(RunTest, BadInputNamesTheKey) {
  TrainConfig c = config(1);
  c.train.optimizer = "adamm";
  EXPECT_NE(failure(c, "a").find("did you mean 'adam'"), std::string::npos);
  c = config(1);
  c.train.schedule = "cosin";
  EXPECT_NE(failure(c, "a").find("did you mean 'cosine'"), std::string::npos);
  c = config(1);
  c.data.text = {"/nonexistent.txt"};
  EXPECT_NE(failure(c, "a").find("/nonexistent.txt"), std::string::npos);
  std::ofstream(root / "empty.txt");
  c.data.text = {(root / "empty.txt").string()};
  EXPECT_NE(failure(c, "b").find("empty"), std::string::npos) << failure(c, "b");
  std::ofstream(root / "bad.txt") << "ab\xff\xfe cd";
  c.data.text = {(root / "bad.txt").string()};
  EXPECT_NE(failure(c, "b").find("bad.txt"), std::string::npos);
}

}  // namespace
}  // namespace cairn
