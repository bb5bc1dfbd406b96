#include "cairn/models/classifier.h"

#include <fmt/format.h>

#include "cairn/base/names.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"

namespace cairn {

Classifier::Classifier(const ClassifierConfig& config) : config_(config) {
  if (config.family != "mlp" && config.family != "convnet") {
    const std::string known[] = {"mlp", "convnet"};
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
      convolutions_.emplace_back(channels, out, 3, 1, 1);
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
  v.modules("convolutions", convolutions_);
  v.modules("dense", dense_);
}

Tensor Classifier::run(Context& ctx, const Tensor& x_in,
                       const std::function<void(const std::string&, const Tensor&)>& visit) {
  Tensor x = x_in;
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    const std::string name = fmt::format("convolutions.{}", i);
    const Scope scope(name);
    x = relu(convolutions_[i].forward(ctx, x));
    visit(name, x);
    x = max_pool(x, {2, 2});
  }
  x = reshape(x, {x.size(0), -1});
  for (size_t i = 0; i < dense_.size(); ++i) {
    const std::string name = fmt::format("dense.{}", i);
    const Scope scope(name);
    x = dense_[i].forward(ctx, x);
    if (i + 1 < dense_.size()) x = Dropout{config_.dropout}.forward(ctx, relu(x));
    visit(name, x);
  }
  return x;
}

Tensor Classifier::forward(Context& ctx, const Tensor& x) {
  return run(ctx, x, [](const std::string&, const Tensor&) {});
}

Tensor Classifier::activations(Context& ctx, const Tensor& x, const std::string& layer) {
  Tensor found;
  std::vector<std::string> names;
  run(ctx, x, [&](const std::string& name, const Tensor& value) {
    names.push_back(name);
    if (name == layer) found = value;
  });
  if (!found.defined())
    throw_error(fmt::format("the model has no layer '{}'; {}", layer, suggest(layer, names)));
  return found;
}

}  // namespace cairn
