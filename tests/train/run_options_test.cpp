// What a configuration asks of a run, seen in what the run writes: averages, plateau, groups,
// samples, logs; and that all of it goes on after a stop as if there had been none.
#include <gmock/gmock.h>

#include <map>
#include <nlohmann/json.hpp>

#include "cairn/base/probe.h"
#include "cairn/io/safetensors.h"
#include "cairn/train/checkpoint.h"
#include "cairn/train/run_setup.h"
#include "cairn/train/task.h"
#include "tests/support/checked_runtime.h"
#include "tests/train/run_fixture.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using test::RunTest;
using testing::HasSubstr;

// Averages of weights are what is evaluated and saved; training goes on with the weights.
TEST_F(RunTest, AveragesOfWeightsAreEvaluatedAndSaved) {
  TrainConfig c = config(20);
  c.train.ema = 0.9;
  const RunResult averaged = train(c, "averaged");
  const auto checkpoint = latest_checkpoint(root / "averaged").value();
  const auto state =
      io::SafetensorsFile::open((checkpoint->folder / "state.safetensors").string()).value();

  // The validation loss of the averages, evaluated by themselves; and that of the weights.
  const auto evaluate = [&](const std::string& kind) {
    auto task = make_task(c, root / "averaged").value();
    Runtime runtime(test::checked({.threads = 1}));
    for (const Field& f : fields(task->module(), FieldKind::parameter))
      *f.tensor = runtime.upload(state.read(kind + "." + f.path).value());
    EXPECT_TRUE(task->save(root / "averaged" / "checkpoints").ok());
    return task->evaluate(runtime)->loss;
  };
  EXPECT_NE(evaluate("model"), averaged.history.back().validation_loss);
  EXPECT_EQ(evaluate("ema"), averaged.history.back().validation_loss);
  EXPECT_EQ(bytes(root / "averaged/checkpoints/model.safetensors"),
            bytes(root / "averaged/model.safetensors"));

  // The weights themselves went the way that they go without averages.
  c.train.ema = 0;
  const RunResult plain = train(c, "plain");
  EXPECT_EQ(plain.history.back().loss, averaged.history.back().loss);
  EXPECT_NE(plain.history.back().validation_loss, averaged.history.back().validation_loss);
  EXPECT_NE(bytes(root / "plain/model.safetensors"), bytes(root / "averaged/model.safetensors"));
}

TEST_F(RunTest, EverythingGoesOnBitForBit) {
  TrainConfig c = config(24);
  c.train.ema = 0.8;
  c.train.accumulate = 2;
  c.train.clip_value = 0.1;
  c.train.schedule = "plateau";
  c.train.patience = 0;
  c.train.evaluate_every = 3;
  c.train.group = {{{"*norm*"}, 0.5, 0.1}, {{"*.bias"}, 2, std::nullopt}};
  const RunResult straight = train(c, "straight");
  for (const int stop : {1, 7, 16, 23}) {
    int steps = 0;
    EXPECT_FALSE(train(c, "parts", 1, [&] { return ++steps == stop; }).finished);
    const RunResult whole = train(c, "parts");
    EXPECT_TRUE(whole.finished);
    EXPECT_EQ(bytes(root / "straight/model.safetensors"), bytes(root / "parts/model.safetensors"))
        << stop;
    ASSERT_EQ(whole.history.size(), straight.history.size());
    for (size_t i = 0; i < whole.history.size(); ++i) {
      EXPECT_EQ(whole.history[i].step, straight.history[i].step);
      EXPECT_EQ(whole.history[i].loss, straight.history[i].loss);
      EXPECT_EQ(whole.history[i].validation_loss, straight.history[i].validation_loss);
      EXPECT_EQ(whole.history[i].learning_rate, straight.history[i].learning_rate);
    }
    fs::remove_all(root / "parts");
  }
  // The rate did fall, or this would not test the plateau's part of a checkpoint.
  EXPECT_LT(straight.history.back().learning_rate, c.train.learning_rate);
}

// Every optimizer by its name: it learns, and goes on bit for bit.
TEST_F(RunTest, EveryOptimizerTrainsAModelAndGoesOn) {
  std::vector<std::string> names = optimizer_names();
  names.emplace_back("lbfgs");
  for (const std::string& name : names) {
    TrainConfig c = config(8);
    c.train.optimizer = name;
    c.train.schedule = "constant";
    c.train.warmup_steps = 0;
    c.train.clip = 0;
    c.train.learning_rate = name == "lbfgs" || name == "lars" || name == "adadelta" ? 1 : 3e-3;
    const RunResult straight = train(c, "straight");
    EXPECT_LT(*straight.history.back().validation_loss, straight.history.front().loss + 0.05)
        << name;
    int steps = 0;
    train(c, "parts", 1, [&] { return ++steps == 5; });
    EXPECT_TRUE(train(c, "parts").finished) << name;
    EXPECT_EQ(bytes(root / "straight/model.safetensors"), bytes(root / "parts/model.safetensors"))
        << name;
    fs::remove_all(root / "straight");
    fs::remove_all(root / "parts");
  }
}

TEST_F(RunTest, LbfgsLearnsAndSaysWhatItDoesNotTake) {
  TrainConfig c = config(60);
  c.model.dropout = 0;
  c.train.optimizer = "lbfgs";
  // Steps on other batches each time jump about, and a rounding decides how far the last one goes:
  // after four steps the losses of two devices differ in the third digit. The mean of the last ones
  // says what was learned.
  c.train.learning_rate = 0.3;
  c.train.schedule = "constant";
  c.train.warmup_steps = 0;
  c.train.batch = 32;
  c.train.log_every = 1;
  const RunResult result = train(c, "a");
  constexpr size_t kLast = 20;
  ASSERT_EQ(result.history.size(), 60u);
  double mean = 0;
  for (const auto& entry : std::span(result.history).last(kLast)) mean += entry.loss / kLast;
  EXPECT_LT(mean, 0.78 * result.history.front().loss);
  c.train.accumulate = 2;
  EXPECT_THAT(failure(c, "b"), HasSubstr("train.accumulate "));
}

// One launch per node in the order of building gives the bits of the planned and fused step.
TEST_F(RunTest, EagerAndCompiledStepsGiveTheSameBits) {
  TrainConfig c = config(3);
  c.train.accumulate = 2;
  c.train.ema = 0.5;
  const auto state_after = [&](bool eager) {
    auto task = make_task(c, root).value();
    Runtime runtime(test::checked({.threads = 2}));
    initialize(runtime, task->module(), 1);
    TrainStep step(
        runtime, task->module(),
        [&](Context& ctx, std::span<const Tensor> b) { return task->loss(ctx, b); },
        make_optimizer({.name = "adamw"}), step_options(c));
    std::map<std::string, std::vector<float>> state;
    for (int64_t i = 0; i < 3; ++i) {
      std::vector<Tensor> batch;
      for (const HostArray& a : task->batch(i)) batch.push_back(runtime.upload(a));
      state["loss"].push_back(
          static_cast<float>(step.step(batch, 1e-2, i + 1, {.eager = eager}).loss));
    }
    for (const NamedTensor& t : step.state()) state[t.name] = t.tensor->to_vector<float>();
    return state;
  };
  EXPECT_EQ(state_after(true), state_after(false));
}

TEST_F(RunTest, AFullDeviceIsANamedErrorAndKeepsTheCheckpoint) {
  fs::create_directories(root / "a");
  fs::create_symlink("/dev/full", root / "a/model.safetensors");
  const std::string text = failure(config(9), "a");
  EXPECT_THAT(text, HasSubstr("model.safetensors"));
  EXPECT_THAT(text, HasSubstr("No space left on device"));
  EXPECT_EQ(latest_checkpoint(root / "a").value()->step, 7);
  // With room again, the same command ends the run.
  fs::remove(root / "a/model.safetensors");
  EXPECT_TRUE(train(config(9), "a").finished);
  train(config(9), "b");
  EXPECT_EQ(bytes(root / "a/model.safetensors"), bytes(root / "b/model.safetensors"));
}

// The lines are what the command line's contract names.
TEST_F(RunTest, LinesOfMetricsHaveTheirKeys) {
  train(config(20), "a");
  std::ifstream lines(root / "a/metrics.jsonl");
  std::vector<int64_t> evaluated;
  int64_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto json = nlohmann::json::parse(line);
    for (const char* key :
         {"step", "loss", "lr", "grad_norm", "tokens", "tokens_per_s", "seconds", "memory_bytes"})
      EXPECT_TRUE(json.contains(key) && json[key].is_number()) << key << " in " << line;
    EXPECT_EQ(json["tokens"], json["step"].get<int64_t>() * 4 * 16);
    EXPECT_GT(json["grad_norm"], 0);
    EXPECT_EQ(json.contains("compile_seconds"), count == 0);
    if (json.contains("val_loss")) evaluated.push_back(json["step"]);
  }
  EXPECT_EQ(evaluated, (std::vector<int64_t>{10, 20}));
  EXPECT_EQ(count, 8);  // steps 3, 6, 9, 10, 12, 15, 18, 20
}

TEST_F(RunTest, APlateauLowersTheRate) {
  TrainConfig c = config(10);
  c.train.optimizer = "sgd";
  c.train.learning_rate = 1e-6;  // so small that nothing improves by the threshold of 1e-4
  c.train.warmup_steps = 0;
  c.train.schedule = "plateau";
  c.train.patience = 1;
  c.train.gamma = 0.25;
  c.train.evaluate_every = 2;
  c.train.log_every = 1;
  // Evaluations: 2 is the best, 4 the first that is no better, 6 the second.
  const RunResult result = train(c, "a");
  for (const Metrics& m : result.history)
    EXPECT_DOUBLE_EQ(m.learning_rate, m.step <= 6 ? 1e-6 : m.step <= 10 ? 0.25e-6 : 0) << m.step;
  c.train.evaluate_every = 0;
  EXPECT_THAT(failure(c, "b"), HasSubstr("train.evaluate_every"));
  c.train.evaluate_every = 2;
  c.data.validation = 0;
  EXPECT_THAT(failure(c, "c"), HasSubstr("data.validation"));
}

TEST_F(RunTest, GroupsStandInTheRecordOfTheRun) {
  TrainConfig c = config(7);
  c.train.group = {{{"*.bias"}, 0.5, 0.0}};
  train(c, "a");
  EXPECT_EQ(latest_checkpoint(root / "a").value()->config.train.group, c.train.group);
  EXPECT_THAT(bytes(root / "a/report.html"), HasSubstr("learning_rate_scale = 0.5"));
  c.train.steps = 14;
  c.train.group[0].weight_decay = 0.1;
  EXPECT_THAT(failure(c, "a"), HasSubstr("train.group"));
  c.train.group[0].match = {"*.bais"};
  EXPECT_THAT(failure(c, "b"), HasSubstr("'*.bais' matches no parameter"));
  train(config(7), "plain");
  EXPECT_NE(bytes(root / "plain/model.safetensors"), bytes(root / "a/model.safetensors"));
}

TEST_F(RunTest, MetricsAreCutBackToTheCheckpoint) {
  const RunResult straight = train(config(20), "straight");
  int steps = 0;
  train(config(20), "a", 1, [&] { return ++steps == 9; });
  // What a crash after the checkpoint would have left.
  std::ofstream(root / "a/metrics.jsonl", std::ios::app) << "{\"step\": 12, \"loss\": 9}\n{\"st";
  train(config(20), "a");
  const auto history = read_metrics(root / "a/metrics.jsonl");
  ASSERT_EQ(history.size(), straight.history.size());
  for (size_t i = 0; i < history.size(); ++i) {
    EXPECT_EQ(history[i].step, straight.history[i].step);
    EXPECT_EQ(history[i].loss, straight.history[i].loss);
  }
}

TEST_F(RunTest, FreshStartsOver) {
  train(config(7), "a");
  TrainConfig c = config(7);
  c.train.seed = 4;
  EXPECT_THAT(failure(c, "a"), HasSubstr("train.seed (1337, now 4)"));
  std::ofstream(root / "a/mine.txt") << "not the run's";
  Runtime runtime(test::checked({.threads = 1}));
  RunOptions options;
  options.folder = root / "a";
  options.fresh = true;
  EXPECT_TRUE(run_training(runtime, c, options).value().finished);
  train(c, "b");
  EXPECT_EQ(bytes(root / "a/model.safetensors"), bytes(root / "b/model.safetensors"));
  EXPECT_TRUE(fs::exists(root / "a/mine.txt"));
}

// The report is written last: without it a run is taken up again and ends the same.
TEST_F(RunTest, AKillBeforeTheReportIsMadeGood) {
  train(config(8), "a");
  const std::string model = bytes(root / "a/model.safetensors");
  fs::remove(root / "a/report.html");
  fs::resize_file(root / "a/model.safetensors", 10);
  const RunResult again = train(config(8), "a");
  EXPECT_TRUE(again.finished);
  EXPECT_FALSE(again.already_done);
  EXPECT_EQ(bytes(root / "a/model.safetensors"), model);
  EXPECT_TRUE(fs::exists(root / "a/report.html"));
}

TEST_F(RunTest, WithoutACheckpointTheReplayBeginsAtTheStart) {
  TrainConfig c = config(40);
  c.train.checkpoint_every = 0;
  c.train.clip = 0;
  c.train.warmup_steps = 0;
  c.train.schedule = "constant";
  c.train.optimizer = "sgd";
  c.train.learning_rate = 1e20;
  EXPECT_THAT(failure(c, "a"), HasSubstr("the first value that is not finite"));
}

TEST_F(RunTest, SamplesAndEpochs) {
  TrainConfig c = config(0);
  c.train.epochs = 0.2;
  c.train.sample_every = 4;
  auto task = make_task(c, root).value();
  const auto steps =
      static_cast<int64_t>(std::llround(0.2 * static_cast<double>(task->steps_per_epoch())));
  ASSERT_GT(steps, 8);
  Runtime runtime(test::checked({.threads = 1}));
  RunOptions options;
  options.folder = root / "a";
  int64_t samples = 0;
  options.on_note = [&](const std::string& text) { samples += text.starts_with("step "); };
  EXPECT_EQ(run_training(runtime, c, options).value().step, steps);
  EXPECT_EQ(samples, (steps - 1) / 4);
  c.train.epochs = 0;
  EXPECT_THAT(failure(c, "b"), HasSubstr("train.epochs"));
}

TEST_F(RunTest, TheConfigurationIsCheckedHoweverItWasMade) {
  TrainConfig c = config(7);
  c.train.seed = ~uint64_t{0};
  EXPECT_THAT(failure(c, "a"), HasSubstr("train.seed"));
}

// A finished run needs its data no more, and stays as it is.
TEST_F(RunTest, AFinishedRunNeedsNoData) {
  const TrainConfig c = config(8);
  train(c, "out");
  const auto when = fs::last_write_time(root / "out/model.safetensors");
  fs::remove(root / "text.txt");
  const RunResult again = train(c, "out");
  EXPECT_TRUE(again.already_done);
  EXPECT_EQ(again.step, 8);
  EXPECT_EQ(fs::last_write_time(root / "out/model.safetensors"), when);
}

// The same path with another text behind it, or letters that make another tokenizer.
TEST_F(RunTest, OtherDataIsNotTheSameRun) {
  train(config(8), "out");
  std::string text = bytes(root / "text.txt");
  for (const auto& change : std::vector<std::function<void(std::string&)>>{
           [](std::string& t) { std::reverse(t.begin(), t.end()); },
           [](std::string& t) { std::replace(t.begin(), t.end(), 'a', 'z'); }}) {
    std::string other = text;
    change(other);
    std::ofstream(root / "text.txt") << other;
    EXPECT_THAT(failure(config(12), "out"), testing::HasSubstr("holds a run on other data"));
  }
  std::ofstream(root / "text.txt") << text;
  EXPECT_EQ(train(config(12), "out").step, 12);
}

// Where every checkpoint is damaged, starting over would overwrite what is left.
TEST_F(RunTest, DamagedCheckpointsAreNoFreshStart) {
  train(config(8), "out");
  for (const auto& entry : fs::directory_iterator(root / "out/checkpoints"))
    fs::resize_file(entry.path() / "state.safetensors", 1000);
  const std::string metrics = bytes(root / "out/metrics.jsonl");
  EXPECT_THAT(failure(config(12), "out"), testing::HasSubstr("no checkpoint in"));
  EXPECT_EQ(bytes(root / "out/metrics.jsonl"), metrics);
}

TEST_F(RunTest, TwoRunsInOneFolderAreRefused) {
  std::string second;
  train(config(4), "out", 1, [&] {
    second = failure(config(4), "out");
    return false;
  });
  EXPECT_THAT(second, testing::HasSubstr("another run is at work"));
}

// A hyper-parameter that only [optimizer] has goes into the step; of another optimizer, it ends the
// run before there is a folder.
TEST_F(RunTest, HyperParametersOfTheOptimizer) {
  TrainConfig c = config(4);
  c.train.optimizer = "sgd";
  c.train.momentum = 0.9;
  train(c, "plain");
  c.optimizer.nesterov = true;
  train(c, "nesterov");
  EXPECT_NE(bytes(root / "plain/model.safetensors"), bytes(root / "nesterov/model.safetensors"));
  // Keys that many have may stand there when the optimizer is changed.
  c.train.betas = {0.9, 0.99};
  train(c, "betas");
  EXPECT_EQ(bytes(root / "betas/model.safetensors"), bytes(root / "nesterov/model.safetensors"));
  EXPECT_THAT(unused_keys(c), testing::ElementsAre("betas"));
  TrainConfig lbfgs = config(4);
  lbfgs.train.optimizer = "lbfgs";
  lbfgs.train.betas = {0.9, 0.99};
  lbfgs.train.clip = lbfgs.train.weight_decay = 1;
  EXPECT_THAT(unused_keys(lbfgs), testing::ElementsAre("weight_decay", "betas", "clip"));
  train(lbfgs, "lbfgs");
  c.optimizer.rho = 0.5;
  EXPECT_THAT(failure(c, "wrong"), HasSubstr("optimizer sgd has no hyper-parameter 'rho', which is "
                                             "one of: adadelta; it has: dampening, "));
  EXPECT_FALSE(fs::exists(root / "wrong"));
}

// Steps that are fixed by timing are fixed on the task that trains then: its data is read once, and
// the run is that of a configuration with this number.
TEST_F(RunTest, StepsByTimeReadTheDataOnce) {
  TrainConfig c = config(0);
  c.train.ema = 0.5;
  int calls = 0;
  fs::file_time_type written;
  RunOptions options;
  options.folder = root / "timed";
  options.fix_steps = [&](TrainConfig& fixed, double seconds) {
    EXPECT_GT(seconds, 0);
    ++calls;
    written = fs::last_write_time(root / "timed/tokens.bin");
    fixed.train.steps = 9;
  };
  Runtime runtime(test::checked({.threads = 1}));
  const RunResult timed = run_training(runtime, c, options).value();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(fs::last_write_time(root / "timed/tokens.bin"), written);
  EXPECT_EQ(timed.step, 9);
  c.train.steps = 9;
  train(c, "given");
  EXPECT_EQ(bytes(root / "timed/model.safetensors"), bytes(root / "given/model.safetensors"));
  // Once fixed, a run goes on with what its configuration says.
  c.train.steps = 12;
  EXPECT_EQ(run_training(runtime, c, options).value().step, 12);
  EXPECT_EQ(calls, 1);
}

// What does not fit into memory is refused, by name and with both figures, before any of it is
// made: the data of a step, weights with the optimizer's state, and the planned peak of a step.
TEST_F(RunTest, WhatDoesNotFitIntoMemoryIsRefused) {
  const auto refused = [&](const TrainConfig& c, const std::string& what) {
    const std::string text = failure(c, "large");
    EXPECT_THAT(text, testing::MatchesRegex(".* takes [0-9.]+ GiB of memory, and [0-9.]+ GiB are "
                                            "available; lower .*"));
    EXPECT_THAT(text, HasSubstr(what));
  };
  TrainConfig c = config(2);
  c.train.batch = c.train.accumulate = 1'000'000'000;
  refused(c,
          "train.batch = 1000000000, train.accumulate = 1000000000, model.context = 16: the data");
  c = config(2);
  c.model.context = 100'000'000;
  c.train.batch = 100'000;
  refused(c, "model.context = 100000000: the data of a step");
  c = config(2);
  c.model.width = 1 << 22;
  refused(c, "weights and optimizer state");
  c.train.optimizer = "lbfgs";
  c.train.clip = 0;
  refused(c, "weights and optimizer state");
  // The data of these steps take 770 MB, what they keep for the backward pass 500 times that; and
  // for L-BFGS as for the others.
  c = config(2);
  c.model.width = 256;
  c.model.context = 1000;
  c.train.batch = 32'000;
  refused(c, "a step of train.batch = 32000, model.context = 1000 takes");
  c.train.accumulate = 2;
  refused(c, "a step of train.batch = 32000, train.accumulate = 2, model.context = 1000 takes");
  c.train.accumulate = 1;
  c.train.optimizer = "lbfgs";
  c.train.clip = 0;
  refused(c, "a step of train.batch = 32000, model.context = 1000 takes");
}

TEST_F(RunTest, TheReportNamesTheMachine) {
  train(config(3), "out");
  const std::string report = bytes(root / "out/report.html");
  EXPECT_NE(report.find(machine_info().cpu_name), std::string::npos);
  for (const char* part : {"processor", "GiB", "threads", "What the model writes", "<svg"})
    EXPECT_NE(report.find(part), std::string::npos) << part;
  for (const char* link : {"src=\"http", "href=\"http", "url(http", "@import"})
    EXPECT_EQ(report.find(link), std::string::npos) << "not self-contained: " << link;
}

}  // namespace
}  // namespace cairn
