// Image classifiers: `mlp` and `convnet`.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cairn/nn/layers.h"

namespace cairn {

struct ClassifierConfig {
  std::string family = "mlp";  // mlp | convnet
  Shape image = {1, 28, 28};   // [C, H, W]
  int64_t classes = 10;
  std::vector<int64_t> hidden = {256};  // widths of the dense layers before the last
  std::vector<int64_t> channels = {
      32, 64};  // of the 3x3 convolutions; each second one is followed by pooling
  double dropout = 0;
  double mean = 0, deviation = 1;  // of the training pixels / 255, for inputs at inference
};

// Dense layers with ReLU between them; for `convnet` after 3x3 convolutions (padding 1, ReLU) with
// 2x2 max pooling after each.
class Classifier : public Module {
 public:
  explicit Classifier(const ClassifierConfig& config);
  void visit(Visitor& v) override;
  // x (N, C, H, W) normalised → logits (N, classes).
  Tensor forward(Context& ctx, const Tensor& x);
  // The output of a layer by its field path ("convolutions.0", "dense.1"), after its activation;
  // throws Error naming the layers that there are.
  Tensor activations(Context& ctx, const Tensor& x, const std::string& layer);
  const ClassifierConfig& config() const { return config_; }

 private:
  // Calls `visit(name, value)` after each layer.
  Tensor run(Context& ctx, const Tensor& x,
             const std::function<void(const std::string&, const Tensor&)>& visit);
  ClassifierConfig config_;
  std::vector<Conv2d> convolutions_;
  std::vector<Linear> dense_;
};

}  // namespace cairn
