// `cairn train` of a small residual network: it learns, an interrupted run goes on bit for bit,
// running statistics are state that checkpoints and the model's folder hold.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "cairn/base/file.h"
#include "cairn/io/safetensors.h"
#include "cairn/models/classifier_files.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/train/checkpoint.h"
#include "cairn/train/data.h"
#include "cairn/train/run.h"
#include "cairn/train/train_step.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

void write_idx(const fs::path& path, const std::vector<uint32_t>& shape,
               const std::vector<uint8_t>& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.put(0).put(0).put(8).put(static_cast<char>(shape.size()));
  for (const uint32_t n : shape)
    for (int shift = 24; shift >= 0; shift -= 8) out.put(static_cast<char>(n >> shift & 255));
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

class ResNetTraining : public testing::Test {
 protected:
  ResNetTraining() {
    root =
        fs::temp_directory_path() / ("cairn-resnet-" + std::to_string(getpid()) + "-" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root);
    fs::create_directories(root);
    write_pictures("train", 96, 1);
    write_pictures("validation", 50, 2);
  }
  void TearDown() override { fs::remove_all(root); }

  // 3 x 8 x 8 noise with stripes: of class 0 along the rows, of 1 along the columns, of 2 neither.
  void write_pictures(const std::string& name, uint32_t count, uint32_t seed) const {
    std::mt19937 random(seed);
    std::vector<uint8_t> pixels, labels;
    for (uint32_t i = 0; i < count; ++i) {
      labels.push_back(static_cast<uint8_t>(i % 3));
      for (int j = 0; j < 192; ++j) {
        const bool bright = labels.back() == 0 ? j / 8 % 2 : labels.back() == 1 && j % 2;
        pixels.push_back(static_cast<uint8_t>(random() % 100 + (bright ? 120 : 0)));
      }
    }
    write_idx(root / (name + "-images"), {count, 3, 8, 8}, pixels);
    write_idx(root / (name + "-labels"), {count}, labels);
  }

  TrainConfig config() const {
    TrainConfig c = parse_config(R"(
[model]
family = "resnet"
layers = 8
channels = [4, 4, 8]
[train]
steps = 30
batch = 16
optimizer = "sgd"
momentum = 0.9
learning_rate = 0.05
weight_decay = 1e-4
checkpoint_every = 9
evaluate_every = 10
log_every = 5
)")
                        .value();
    c.data.images = (root / "train-images").string();
    c.data.labels = (root / "train-labels").string();
    c.data.validation_images = (root / "validation-images").string();
    c.data.validation_labels = (root / "validation-labels").string();
    return c;
  }
  RunResult train(const TrainConfig& c, const std::string& folder,
                  std::function<bool()> interrupted = nullptr) {
    RunOptions options;
    options.folder = root / folder;
    options.interrupted = std::move(interrupted);
    return run_training(runtime, c, options).value();
  }
  std::string failure(const TrainConfig& c) {
    RunOptions options;
    options.folder = root / "failed";
    const auto result = run_training(runtime, c, options);
    return result ? "" : result.error().what();
  }
  std::string weights(const std::string& folder) const {
    return read_file((root / folder / "model.safetensors").string()).value();
  }

  Runtime runtime{{.threads = 1}};
  fs::path root;
};

TEST_F(ResNetTraining, LearnsAndItsFolderGivesTheAccuracyThatTheRunSaw) {
  const RunResult result = train(config(), "a");
  EXPECT_TRUE(result.finished);
  EXPECT_LT(result.history.back().loss, std::log(3.0) / 2);  // half of what guessing costs
  const double accuracy = result.history.back().validation_accuracy.value();
  EXPECT_GT(accuracy, 0.8);  // one in three by chance

  const auto model = load_classifier(root / "a").value();
  ASSERT_TRUE(model);
  EXPECT_EQ(model->config().layers, 8);
  ImageBatches data = ImageBatches::open((root / "validation-images").string(),
                                         (root / "validation-labels").string())
                          .value();
  data.mean = model->config().mean;
  data.deviation = model->config().deviation;
  const std::vector<HostArray> batch = data.evaluation_batch(0, 50);
  Context ctx;
  const Tensor x(batch[0]);
  const Tensor logits = eval(runtime, model->forward(ctx, x));
  const Tensor right = sum(cast(equal(argmax(logits), Tensor(batch[1])), DType::f32));
  EXPECT_NEAR(eval(runtime, right).item<double>() / 50, accuracy, 1e-6);
  EXPECT_TRUE(ctx.updates.empty());
  // Running statistics make a picture's result independent of its company.
  const Tensor alone = eval(runtime, model->forward(ctx, slice_axis(x, 0, 7, 8)));
  EXPECT_EQ(alone.to_vector<float>(),
            eval(runtime, slice_axis(logits, 0, 7, 8)).to_vector<float>());
}

TEST_F(ResNetTraining, AnInterruptedRunGoesOnBitForBit) {
  train(config(), "straight");
  for (const int stop : {9, 13}) {
    int steps = 0;
    EXPECT_EQ(train(config(), "parts", [&] { return ++steps == stop; }).step, stop);
    EXPECT_TRUE(train(config(), "parts").finished);
    EXPECT_EQ(weights("straight"), weights("parts")) << stop;
    fs::remove_all(root / "parts");
  }
}

TEST_F(ResNetTraining, RunningStatisticsAreInCheckpointsAndInTheModel) {
  TrainConfig c = config();
  c.train.steps = 10;
  train(c, "a");
  const auto checkpoint = latest_checkpoint(root / "a").value();
  ASSERT_TRUE(checkpoint);
  const auto state =
      io::SafetensorsFile::open((checkpoint->folder / "state.safetensors").string()).value();
  const auto model = io::SafetensorsFile::open((root / "a" / "model.safetensors").string()).value();
  for (const std::string name : {"bn1.running_mean", "layer2.0.bn2.running_var"}) {
    const HostArray kept = state.read("model." + name).value();
    const HostArray written = model.read(name).value();
    for (int64_t i = 0; i < written.elements(); ++i) {
      EXPECT_EQ(kept.at(i), written.at(i)) << name;
      EXPECT_NE(written.at(i), name.ends_with("mean") ? 0 : 1) << name << ": as it began";
    }
  }
}

TEST_F(ResNetTraining, AveragedWeightsAndMicroBatches) {
  TrainConfig c = config();
  c.train.steps = 6;
  c.train.ema = 0.5;
  c.train.batch = 4;
  c.train.accumulate = 4;
  EXPECT_TRUE(train(c, "a").finished);
  EXPECT_TRUE(load_classifier(root / "a").value());
}

TEST_F(ResNetTraining, GrayPicturesAndTheDefaultSize) {
  write_idx(root / "gray-images", {2, 5, 7}, std::vector<uint8_t>(70, 9));
  write_idx(root / "gray-labels", {2}, {0, 1});
  TrainConfig c = config();
  c.data.images = (root / "gray-images").string();
  c.data.labels = (root / "gray-labels").string();
  c.data.validation_images = c.data.validation_labels = "";
  c.model.layers = 0;
  c.model.channels = {};
  c.train.steps = 1;
  c.train.batch = 2;
  train(c, "a");
  const ClassifierConfig made = load_classifier(root / "a").value()->config();
  EXPECT_EQ(made.layers, 20);
  EXPECT_EQ(made.channels, (std::vector<int64_t>{16, 32, 64}));
  EXPECT_EQ(made.image, (Shape{1, 5, 7}));
}

TEST_F(ResNetTraining, MistakesNameTheKey) {
  TrainConfig c = config();
  c.model.layers = 9;
  EXPECT_NE(failure(c).find("model.layers is 9"), std::string::npos) << failure(c);
  c = config();
  c.model.channels = {16, 32};
  EXPECT_NE(failure(c).find("model.channels"), std::string::npos) << failure(c);
  c = config();
  c.model.family = "resnett";
  EXPECT_NE(failure(c).find("did you mean 'resnet'"), std::string::npos) << failure(c);
  c = config();
  c.data.labels = "";
  EXPECT_NE(failure(c).find("data.labels"), std::string::npos) << failure(c);
}

// Micro-batches pass through the running statistics one after the other.
TEST(BatchNormInTraining, EachMicroBatchMovesTheRunningStatistics) {
  Runtime runtime(test::checked({.threads = 1}));
  BatchNorm norm(1);
  initialize(runtime, norm, 1);
  TrainStepOptions options;
  options.accumulate = 2;
  TrainStep step(runtime, norm, mean_loss([&](Context& ctx, std::span<const Tensor> batch) {
                   return mean(square(norm.forward(ctx, batch[0])));
                 }),
                 make_optimizer({.name = "sgd"}), options);
  // Two micro-batches: means 2 and 5, unbiased variances 4 and 1.
  const Tensor batch[] = {Tensor::from<float>({0, 2, 4, 4, 5, 6}, {2, 3, 1})};
  step.step(batch, 0, 1);
  // Four roundings to f32 of numbers around 1.
  constexpr double kBound = 4 * 0x1p-23;
  EXPECT_NEAR(norm.running_mean.to_vector<float>()[0], 0.9 * (0.1 * 2) + 0.1 * 5, kBound);
  EXPECT_NEAR(norm.running_var.to_vector<float>()[0], 0.9 * (0.9 + 0.1 * 4) + 0.1 * 1, kBound);
}

}  // namespace
}  // namespace cairn
