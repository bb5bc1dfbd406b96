#include "cairn/models/resnet.h"

#include "cairn/nn/init.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"

namespace cairn {
namespace {

Conv2d conv3x3(int64_t in, int64_t out, int64_t stride) {
  Conv2d conv(in, out, 3, stride, 1, false);
  conv.weight = init::kaiming_normal({out, in, 3, 3});
  return conv;
}

std::vector<ResidualBlock> stage(int blocks, int64_t in, int64_t out, int64_t stride) {
  std::vector<ResidualBlock> all;
  for (int i = 0; i < blocks; ++i) all.emplace_back(i ? out : in, out, i ? 1 : stride);
  return all;
}

}  // namespace

ResidualBlock::ResidualBlock(int64_t in, int64_t out, int64_t stride_)
    : conv1(conv3x3(in, out, stride_)),
      conv2(conv3x3(out, out, 1)),
      bn1(out),
      bn2(out),
      stride(stride_),
      widening(out - in) {}

void ResidualBlock::visit(Visitor& v) {
  v.module("conv1", conv1);
  v.module("bn1", bn1);
  v.module("conv2", conv2);
  v.module("bn2", bn2);
}

Tensor ResidualBlock::forward(Context& ctx, const Tensor& x) {
  const Tensor y =
      bn2.forward(ctx, conv2.forward(ctx, relu(bn1.forward(ctx, conv1.forward(ctx, x)))));
  Tensor shortcut = x;
  if (stride > 1)
    for (const int axis : {2, 3})
      shortcut = slice_axis(shortcut, axis, 0, shortcut.size(axis), stride);
  if (widening)
    shortcut = pad(shortcut, {0, widening / 2, 0, 0}, {0, widening - widening / 2, 0, 0});
  return relu(y + shortcut);
}

CifarResNet::CifarResNet(int blocks, int64_t classes)
    : conv1(conv3x3(3, 16, 1)),
      bn1(16),
      layer1(stage(blocks, 16, 16, 1)),
      layer2(stage(blocks, 16, 32, 2)),
      layer3(stage(blocks, 32, 64, 2)),
      linear(64, classes) {}

void CifarResNet::visit(Visitor& v) {
  v.module("conv1", conv1);
  v.module("bn1", bn1);
  v.modules("layer1", layer1);
  v.modules("layer2", layer2);
  v.modules("layer3", layer3);
  v.module("linear", linear);
}

Tensor CifarResNet::forward(Context& ctx, const Tensor& x_in) {
  Tensor x = relu(bn1.forward(ctx, conv1.forward(ctx, x_in)));
  for (std::vector<ResidualBlock>* blocks : {&layer1, &layer2, &layer3})
    for (ResidualBlock& block : *blocks) x = block.forward(ctx, x);
  return linear.forward(ctx, mean(x, {2, 3}));
}

}  // namespace cairn
