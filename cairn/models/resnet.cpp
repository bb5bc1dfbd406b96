#include "cairn/models/resnet.h"

#include <fmt/format.h>

#include "cairn/nn/init.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"

namespace cairn {
namespace {

Conv2d conv3x3(int64_t in, int64_t out, int64_t stride) {
  Conv2d conv(in, out, 3, {.stride = {stride}, .padding = {1}}, false);
  conv.weight = init::kaiming_normal({out, in, 3, 3});
  return conv;
}

std::vector<ResidualBlock> stage(const ResNetConfig& c, size_t index) {
  const int64_t in = c.channels[index ? index - 1 : 0], out = c.channels[index];
  std::vector<ResidualBlock> blocks;
  for (int64_t i = 0; i < (c.layers - 2) / 6; ++i)
    blocks.emplace_back(i ? out : in, out, i || !index ? 1 : 2);
  return blocks;
}

void check(const ResNetConfig& c) {
  if (c.layers < 8 || c.layers > 6002 || (c.layers - 2) % 6)
    throw_error(fmt::format(
        "model.layers is {}; a resnet has 6n + 2 layers: 8, 14, 20, 32, 44, 56, 110", c.layers));
  if (c.channels.size() != 3 || c.channels[0] < 1 || c.channels[1] < c.channels[0] ||
      c.channels[2] < c.channels[1])
    throw_error(
        fmt::format("model.channels is [{}]; a resnet has three stages, each at least as wide as "
                    "the one before it, for example [16, 32, 64]",
                    fmt::join(c.channels, ", ")));
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

ResNet::ResNet(const ResNetConfig& config)
    : conv1((check(config), conv3x3(config.image_channels, config.channels[0], 1))),
      bn1(config.channels[0]),
      layer1(stage(config, 0)),
      layer2(stage(config, 1)),
      layer3(stage(config, 2)),
      linear(config.channels[2], config.classes) {}

void ResNet::visit(Visitor& v) {
  v.module("conv1", conv1);
  v.module("bn1", bn1);
  v.modules("layer1", layer1);
  v.modules("layer2", layer2);
  v.modules("layer3", layer3);
  v.module("linear", linear);
}

Tensor ResNet::forward(Context& ctx, const Tensor& x_in) {
  Tensor x = relu(bn1.forward(ctx, conv1.forward(ctx, x_in)));
  ctx.observe("conv1", x);
  const std::pair<const char*, std::vector<ResidualBlock>*> stages[] = {
      {"layer1", &layer1}, {"layer2", &layer2}, {"layer3", &layer3}};
  for (const auto& [name, blocks] : stages)
    for (size_t i = 0; i < blocks->size(); ++i) {
      const std::string path = fmt::format("{}.{}", name, i);
      const Scope scope(path);
      x = (*blocks)[i].forward(ctx, x);
      ctx.observe(path, x);
    }
  x = linear.forward(ctx, mean(x, {2, 3}));
  ctx.observe("linear", x);
  return x;
}

}  // namespace cairn
