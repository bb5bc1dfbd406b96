// Image classifiers: `mlp`, `convnet` and `resnet`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cairn/models/resnet.h"

namespace cairn {

struct ClassifierConfig {
  std::string family = "mlp";  // mlp | convnet | resnet
  Shape image = {1, 28, 28};   // [C, H, W]
  int64_t classes = 10;
  // Of an mlp or convnet: widths of the dense layers but the last, and dropout after each of them.
  std::vector<int64_t> hidden = {256};
  double dropout = 0;
  std::vector<int64_t> channels = {};  // of a convnet's convolutions or a resnet's three stages
  int64_t layers = 0;                  // of a resnet: 6n + 2
  double mean = 0, deviation = 1;      // of the training pixels / 255, for inputs at inference
};

// An mlp is dense layers with ReLU between them; a convnet has 3x3 convolutions (padding 1, ReLU)
// before them, with 2x2 max pooling after each; resnet.h has the third.
class Classifier : public Module {
 public:
  // Throws Error naming the key when the sizes do not fit each other.
  explicit Classifier(const ClassifierConfig& config);
  void visit(Visitor& v) override;
  // x (N, C, H, W) normalised → logits (N, classes). Layers are observed by their field paths
  // ("convolutions.0", "dense.1"), after their activations.
  Tensor forward(Context& ctx, const Tensor& x);
  // The output of a layer that forward() observes; throws Error naming the layers that there are.
  Tensor activations(const Context& ctx, const Tensor& x, const std::string& layer);
  const ClassifierConfig& config() const { return config_; }

 private:
  ClassifierConfig config_;
  std::vector<Conv2d> convolutions_;
  std::vector<Linear> dense_;
  std::optional<ResNet> resnet_;
};

}  // namespace cairn
