// The residual network for CIFAR-10 of He et al. 2015 (section 4.2), shortcut option A.
#pragma once

#include <vector>

#include "cairn/nn/convolution.h"
#include "cairn/nn/layers.h"
#include "cairn/nn/norms.h"

namespace cairn {

// conv3x3-BN-ReLU-conv3x3-BN, plus the input: where the stage widens, every second row and column
// of it, with zeros for the new channels on both sides.
struct ResidualBlock : Module {
  Conv2d conv1, conv2;
  BatchNorm bn1, bn2;
  int64_t stride, widening;
  ResidualBlock(int64_t in, int64_t out, int64_t stride);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x);
};

struct ResNetConfig {
  int64_t layers = 20;  // 6n + 2: three stages of n blocks of two convolutions
  int64_t image_channels = 3;
  std::vector<int64_t> channels = {16, 32, 64};  // of the stages, none below the one before it
  int64_t classes = 10;
};

// Field names are those of the usual PyTorch code ("layer1.0.conv1.weight"), so its checkpoints
// load as they are.
struct ResNet : Module {
  Conv2d conv1;
  BatchNorm bn1;
  std::vector<ResidualBlock> layer1, layer2, layer3;
  Linear linear;
  // Throws Error for a number of layers or channels that makes no such network.
  explicit ResNet(const ResNetConfig& config = {});
  void visit(Visitor& v) override;
  // x (N, image channels, H, W) normalised → logits (N, classes). Observed layers: "conv1",
  // "layer1.0", ..., "linear".
  Tensor forward(Context& ctx, const Tensor& x);
};

}  // namespace cairn
