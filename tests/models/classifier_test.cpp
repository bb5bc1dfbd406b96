// Image classifiers: layers by name, folders written and read back, mistakes.
#include "cairn/models/classifier.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cairn/base/file.h"
#include "cairn/models/classifier_files.h"
#include "cairn/ops/random.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

ClassifierConfig config(const std::string& family) {
  ClassifierConfig c;
  c.family = family;
  c.image = {2, 9, 8};
  c.classes = 5;
  c.hidden = {7};
  c.channels = {3, 4};
  c.mean = 0.25;
  c.deviation = 0.5;
  if (family == "resnet") {
    c.hidden = {};
    c.channels = {2, 4, 6};
    c.layers = 14;
  }
  return c;
}

class ClassifierTest : public testing::TestWithParam<const char*> {
 protected:
  ClassifierTest() : model(config(GetParam())) {
    folder = fs::temp_directory_path() /
             ("cairn-classifier-" + std::to_string(getpid()) + "-" + GetParam());
    fs::create_directories(folder);
    initialize(runtime, model, 3);
    x = eval(runtime, normal(random_key(4), {3, 2, 9, 8}));
  }
  void TearDown() override { fs::remove_all(folder); }
  std::vector<float> logits(Classifier& m) {
    Context ctx;
    return eval(runtime, m.forward(ctx, x)).to_vector<float>();
  }
  std::string load_error() const {
    const auto loaded = load_classifier(folder);
    return loaded ? "" : loaded.error().what();
  }
  void change_config(const std::string& key, const nlohmann::json& value) const {
    auto json = nlohmann::json::parse(read_file((folder / "config.json").string()).value());
    json[key] = value;
    std::ofstream(folder / "config.json") << json;
  }
  Runtime runtime{{.threads = 1}};
  Classifier model;
  fs::path folder;
  Tensor x;
};

TEST_P(ClassifierTest, AFolderGivesTheSameModelBack) {
  ASSERT_TRUE(save_classifier(folder, model).ok());
  const auto again = load_classifier(folder).value();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->config().family, GetParam());
  EXPECT_EQ(again->config().mean, 0.25);
  EXPECT_EQ(again->config().deviation, 0.5);
  EXPECT_EQ(again->config().layers, model.config().layers);
  EXPECT_EQ(logits(*again), logits(model));
}

TEST_P(ClassifierTest, ActivationsAreWhatForwardPassesOn) {
  const std::string family = GetParam();
  const std::string last = family == "resnet" ? "linear" : "dense.1";
  Context ctx;
  EXPECT_EQ(eval(runtime, model.activations(ctx, x, last)).to_vector<float>(), logits(model));
  const std::map<std::string, std::pair<std::string, Shape>> inner = {
      {"mlp", {"dense.0", {3, 7}}},
      {"convnet", {"convolutions.1", {3, 4, 4, 4}}},
      {"resnet", {"layer2.1", {3, 4, 5, 4}}}};
  const auto& [layer, shape] = inner.at(family);
  EXPECT_EQ(model.activations(ctx, x, layer).shape(), shape);
  for (const float v : eval(runtime, model.activations(ctx, x, layer)).to_vector<float>())
    ASSERT_GE(v, 0) << "after the ReLU";
  try {
    model.activations(ctx, x, "nothing");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(layer), std::string::npos) << e.what();
  }
}

TEST_P(ClassifierTest, DamagedFoldersAreErrors) {
  EXPECT_EQ(load_classifier(folder).value(), nullptr);  // no config.json
  std::ofstream(folder / "config.json") << R"({"model_type": "llama"})";
  EXPECT_EQ(load_classifier(folder).value(), nullptr);
  ASSERT_TRUE(save_classifier(folder, model).ok());
  change_config("classes", 6);
  EXPECT_NE(load_error().find("model.safetensors"), std::string::npos) << load_error();
  change_config("classes", -1);
  EXPECT_NE(load_error().find("config.json"), std::string::npos) << load_error();
  change_config("classes", "five");
  EXPECT_NE(load_error().find("config.json"), std::string::npos) << load_error();
  change_config("classes", 5);
  EXPECT_EQ(load_error(), "");
  change_config("model_type", "cairn_forest");
  EXPECT_NE(load_error().find("'forest' does not classify images"), std::string::npos)
      << load_error();
  change_config("model_type", std::string("cairn_") + GetParam());
  change_config("channels", std::vector<int64_t>{int64_t{1} << 60});
  EXPECT_NE(load_error().find("config.json"), std::string::npos) << load_error();
  change_config("channels", model.config().channels);
  fs::resize_file(folder / "model.safetensors", 100);
  EXPECT_NE(load_error().find("model.safetensors"), std::string::npos) << load_error();
}

INSTANTIATE_TEST_SUITE_P(Families, ClassifierTest, testing::Values("mlp", "convnet", "resnet"),
                         [](const auto& info) { return std::string(info.param); });

TEST(ResNetFamily, LayersAndChannelsMakeANetworkOrAnError) {
  const auto parameters = [](int64_t layers) {
    ResNet model({.layers = layers});
    return parameter_count(model);
  };
  // He et al. 2015, table 6: 0.27, 0.46, 0.66, 0.85 and 1.7 million.
  EXPECT_EQ(parameters(20), 269722);
  EXPECT_EQ(parameters(32), 464154);
  EXPECT_EQ(parameters(44), 658586);
  EXPECT_EQ(parameters(56), 853018);
  EXPECT_EQ(parameters(110), 1727962);
  const auto message = [](const ResNetConfig& c) -> std::string {
    try {
      const ResNet model(c);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(message({.layers = 18}).find("6n + 2"), std::string::npos);
  EXPECT_NE(message({.layers = 2}).find("6n + 2"), std::string::npos);
  EXPECT_NE(message({.channels = {16, 32}}).find("three stages"), std::string::npos);
  EXPECT_NE(message({.channels = {16, 8, 64}}).find("three stages"), std::string::npos);
}

}  // namespace
}  // namespace cairn
