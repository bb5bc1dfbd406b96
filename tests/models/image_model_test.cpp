// Image models with weights that others trained: a small MNIST CNN and ResNet-20 for CIFAR-10.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cairn/io/idx.h"
#include "cairn/io/image.h"
#include "cairn/io/tar.h"
#include "cairn/models/name_map.h"
#include "cairn/models/resnet.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

const NameMap kSameNames = [](const std::string& path) { return FilePlace{path}; };

// Calls a module's forward pass on batches, its fields as arguments: one plan for all batches.
class Runner {
 public:
  Runner(Module& module, std::function<Tensor(Context&, const Tensor&)> forward)
      : fields_(fields(module)),
        function_([this, forward = std::move(forward)](std::span<const Tensor> args) {
          const Bound bound(fields_, args.first(fields_.size()));
          Context ctx;
          return std::vector<Tensor>{forward(ctx, args.back())};
        }) {}
  std::vector<float> operator()(Runtime& runtime, const HostArray& x) {
    std::vector<Tensor> args;
    for (const Field& f : fields_) args.push_back(*f.tensor);
    args.emplace_back(x);
    return function_(runtime, std::move(args))[0].to_vector<float>();
  }

 private:
  std::vector<Field> fields_;
  Function function_;
};

int64_t argmax_of(const float* logits) { return std::max_element(logits, logits + 10) - logits; }

// The architecture is described in the data folder's README.
struct MnistCnn : Module {
  Conv2d conv1{1, 8, 3}, conv2{8, 16, 3}, conv3{16, 24, 3};
  BatchNorm norm1{24}, norm2{10};
  Linear fc1{11616, 32}, fc2{32, 10};
  void visit(Visitor& v) override {
    v.module("conv1", conv1);
    v.module("conv2", conv2);
    v.module("conv3", conv3);
    v.module("norm1", norm1);
    v.module("fc1", fc1);
    v.module("fc2", fc2);
    v.module("norm2", norm2);
  }
  Tensor forward(Context& ctx, const Tensor& x) {
    Tensor h = relu(conv1.forward(ctx, x));
    h = relu(conv2.forward(ctx, h));
    h = norm1.forward(ctx, relu(conv3.forward(ctx, h)));
    h = relu(fc1.forward(ctx, reshape(h, {h.size(0), -1})));
    return norm2.forward(ctx, fc2.forward(ctx, h));
  }
};

TEST(MnistBurn, LogitsAndAccuracyOnTheRealTestSet) {
  CAIRN_REQUIRE_DATA("checkpoints/mnist-burn/mnist.safetensors");
  CAIRN_REQUIRE_DATA("vision/mnist/t10k-images-idx3-ubyte.gz");
  MnistCnn model;
  const auto file = io::SafetensorsFile::open(
                        test::data_path("checkpoints/mnist-burn/mnist.safetensors").string())
                        .value();
  ASSERT_TRUE(load_fields(model, file, kSameNames).ok());
  const HostArray images =
      io::read_idx(test::data_path("vision/mnist/t10k-images-idx3-ubyte.gz").string()).value();
  const HostArray labels =
      io::read_idx(test::data_path("vision/mnist/t10k-labels-idx1-ubyte.gz").string()).value();
  Runtime runtime(test::checked());
  Runner run(model, [&](Context& ctx, const Tensor& x) { return model.forward(ctx, x); });
  constexpr int64_t kBatch = 250;
  int64_t correct = 0;
  std::vector<float> first;
  for (int64_t at = 0; at < 10000; at += kBatch) {
    HostArray x(DType::f32, {kBatch, 1, 28, 28});
    for (int64_t i = 0; i < x.elements(); ++i)
      x.mutable_span<float>()[static_cast<size_t>(i)] =
          (static_cast<float>(images.span<uint8_t>()[static_cast<size_t>(at * 784 + i)]) / 255.0f -
           0.1307f) /
          0.3081f;
    const std::vector<float> logits = run(runtime, x);
    if (at == 0) first.assign(logits.begin(), logits.begin() + 40);
    for (int64_t row = 0; row < kBatch; ++row)
      correct += argmax_of(logits.data() + row * 10) ==
                 labels.span<uint8_t>()[static_cast<size_t>(at + row)];
  }
  EXPECT_EQ(correct, 9917);
  const HostArray expected =
      io::SafetensorsFile::open(test::golden_path("models/mnist-burn.safetensors").string())
          .value()
          .read("logits")
          .value();
  // Six layers; the input is normalised in f32, with errors of 2 epsilons of values up to 3.
  for (int64_t i = 0; i < 40; ++i)
    EXPECT_NEAR(first[static_cast<size_t>(i)], expected.at(i), 1e-4) << i;
}

TEST(ResNet20, LogitsAndCountOfCorrectAnswers) {
  CAIRN_REQUIRE_DATA("checkpoints/resnet-cifar10/resnet20-12fca82f.safetensors");
  CAIRN_REQUIRE_DATA("vision/cifar10-jpg-test1000.tar");
  ResNet model;
  const auto file =
      io::SafetensorsFile::open(
          test::data_path("checkpoints/resnet-cifar10/resnet20-12fca82f.safetensors").string())
          .value();
  const Status loaded = load_fields(model, file, kSameNames);
  ASSERT_TRUE(loaded.ok()) << loaded.error().what();
  std::ifstream in(test::data_path("checkpoints/resnet-cifar10/resnet20-12fca82f.reference.json"));
  const auto reference = nlohmann::json::parse(in);
  const auto tar =
      io::TarFile::open(test::data_path("vision/cifar10-jpg-test1000.tar").string()).value();
  const std::vector<std::string> classes = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};
  const auto read = [&](const io::TarEntry& entry, float* out) {
    const HostArray image = io::decode_image(tar.bytes(entry).bytes(), entry.name).value();
    const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
    for (int64_t i = 0; i < 1024; ++i)
      for (int64_t c = 0; c < 3; ++c)
        out[c * 1024 + i] = static_cast<float>(
            (image.span<uint8_t>()[static_cast<size_t>(i * 3 + c)] / 255.0 - mean[c]) /
            deviation[c]);
  };
  Runtime runtime(test::checked());
  Runner run(model, [&](Context& ctx, const Tensor& x) { return model.forward(ctx, x); });

  const auto names = reference["files"].get<std::vector<std::string>>();
  HostArray first(DType::f32, {static_cast<int64_t>(names.size()), 3, 32, 32});
  for (size_t i = 0; i < names.size(); ++i) {
    const io::TarEntry* entry = tar.find(names[i]);
    ASSERT_TRUE(entry) << names[i];
    read(*entry, first.mutable_span<float>().data() + i * 3072);
  }
  const std::vector<float> logits = run(runtime, first);
  // 20 layers in f32; logits up to 15 are given to 6 decimals.
  for (size_t i = 0; i < names.size(); ++i)
    for (size_t c = 0; c < 10; ++c)
      EXPECT_NEAR(logits[i * 10 + c], reference["logits"][i][c].get<double>(), 2e-4)
          << names[i] << " " << c;

  int correct = 0;
  std::vector<int64_t> labels;
  HostArray batch(DType::f32, {100, 3, 32, 32});
  for (const io::TarEntry& entry : tar.entries()) {
    if (!entry.name.ends_with(".jpg")) continue;
    int64_t label = -1;
    for (size_t c = 0; c < classes.size(); ++c)
      if (entry.name.find("/" + classes[c] + "/") != std::string::npos)
        label = static_cast<int64_t>(c);
    ASSERT_GE(label, 0) << entry.name;
    read(entry, batch.mutable_span<float>().data() + labels.size() * 3072);
    labels.push_back(label);
    if (labels.size() < 100) continue;
    const std::vector<float> scores = run(runtime, batch);
    for (size_t i = 0; i < labels.size(); ++i)
      correct += argmax_of(scores.data() + i * 10) == labels[i];
    labels.clear();
  }
  EXPECT_TRUE(labels.empty());
  EXPECT_EQ(correct, reference["correct_test1000"].get<int>());
}

}  // namespace
}  // namespace cairn
