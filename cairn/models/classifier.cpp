#include "cairn/models/classifier.h"

#include <fmt/format.h>

#include "cairn/base/names.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"

namespace cairn {

Classifier::Classifier(const ClassifierConfig& config) : config_(config) {
  if (config.family == "resnet") {
    resnet_.emplace(ResNetConfig{config.layers, config.image[0], config.channels, config.classes});
    return;
  }
  if (config.family != "mlp" && config.family != "convnet") {
    const std::string known[] = {"mlp", "convnet", "resnet"};
    throw_error(fmt::format("model.family '{}' does not classify images; {}", config.family,
                            suggest(config.family, known)));
  }
  int64_t channels = config.image[0], height = config.image[1], width = config.image[2];
  if (config.family == "convnet")
    for (const int64_t out : config.channels) {
      if (height < 2 || width < 2)
        throw_error(
            fmt::format("model.channels has {} layers, more than images of {}x{} can be halved",
                        config.channels.size(), config.image[1], config.image[2]));
      convolutions_.emplace_back(channels, out, 3, ConvolutionOptions{.padding = {1}});
      channels = out;
      height /= 2;
      width /= 2;
    }
  int64_t features = channels * height * width;
  for (const int64_t out : config.hidden) {
    dense_.emplace_back(features, out);
    features = out;
  }
  dense_.emplace_back(features, config.classes);
}

void Classifier::visit(Visitor& v) {
  if (resnet_) v.module("", *resnet_);
  v.modules("convolutions", convolutions_);
  v.modules("dense", dense_);
}

Tensor Classifier::forward(Context& ctx, const Tensor& x_in) {
  if (resnet_) return resnet_->forward(ctx, x_in);
  Tensor x = x_in;
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    const std::string path = fmt::format("convolutions.{}", i);
    const Scope scope(path);
    x = relu(convolutions_[i].forward(ctx, x));
    ctx.observe(path, x);
    x = max_pool(x, {2, 2});
  }
  x = reshape(x, {x.size(0), -1});
  for (size_t i = 0; i < dense_.size(); ++i) {
    const std::string path = fmt::format("dense.{}", i);
    const Scope scope(path);
    x = dense_[i].forward(ctx, x);
    if (i + 1 < dense_.size()) x = Dropout{config_.dropout}.forward(ctx, relu(x));
    ctx.observe(path, x);
  }
  return x;
}

Tensor Classifier::activations(const Context& ctx, const Tensor& x, const std::string& layer) {
  Tensor found;
  std::vector<std::string> paths;
  Context watched = ctx;
  watched.observer = [&](const std::string& path, const Tensor& output) {
    paths.push_back(path);
    if (path == layer) found = output;
  };
  forward(watched, x);
  if (!found.defined())
    throw_error(fmt::format("the model has no layer '{}'; {}", layer, suggest(layer, paths)));
  return found;
}

}  // namespace cairn
