// The residual network for CIFAR-10 of He et al. 2015 (section 4.2), shortcut option A.
#pragma once

#include "cairn/nn/layers.h"

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

// 6 * blocks_per_stage + 2 layers: ResNet-20 has 3. Field names are those of the usual PyTorch code
// ("layer1.0.conv1.weight"), so its checkpoints load as they are.
struct CifarResNet : Module {
  Conv2d conv1;
  BatchNorm bn1;
  std::vector<ResidualBlock> layer1, layer2, layer3;
  Linear linear;
  explicit CifarResNet(int blocks_per_stage = 3, int64_t classes = 10);
  void visit(Visitor& v) override;
  // x (N, 3, 32, 32) normalised → logits (N, classes).
  Tensor forward(Context& ctx, const Tensor& x);
};

}  // namespace cairn
