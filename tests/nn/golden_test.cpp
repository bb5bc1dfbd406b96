// Modules against PyTorch's: results, gradients and running state (tests/golden/nn; made by
// tools/goldens/make_modules.py).
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "cairn/io/safetensors.h"
#include "cairn/nn/attention.h"
#include "cairn/nn/convolution.h"
#include "cairn/nn/feed_forward.h"
#include "cairn/nn/norms.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/vjp.h"
#include "tests/nn/modules.h"
#include "tests/support/test_data.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;

struct Made {
  std::shared_ptr<Module> module;
  Forward forward;
};

template <class M, class... Args>
Made made(Args&&... args) {
  const auto m = std::make_shared<M>(std::forward<Args>(args)...);
  return {m, [m](Context& ctx, const Tensor& x) { return m->forward(ctx, x); }};
}

int64_t size(const Json& o, const char* key, int64_t otherwise = 1) {
  return o.value(key, otherwise);
}

ConvolutionOptions convolution_options(const Json& o) {
  ConvolutionOptions c;
  c.stride = {size(o, "stride")};
  c.padding = {size(o, "padding", 0)};
  c.dilation = {size(o, "dilation")};
  c.groups = size(o, "groups");
  if (o.contains("output_padding")) c.output_padding = {size(o, "output_padding")};
  return c;
}

Activation activation(const std::string& name) {
  if (name == "gelu") return [](Operand x) { return gelu(x); };
  if (name == "gelu_tanh") return [](Operand x) { return gelu(x, true); };
  if (name == "tanh") return [](Operand x) { return tanh(x); };
  return relu;
}

Made make(const std::string& module, const Json& o) {
  const bool bias = o.value("bias", true);
  const double epsilon = o.value("epsilon", 0.0);
  if (module == "linear") return made<Linear>(size(o, "in"), size(o, "out"), bias);
  if (module == "embedding") return made<Embedding>(size(o, "rows"), size(o, "width"));
  if (module == "layer_norm") return made<LayerNorm>(size(o, "width"), epsilon, bias);
  if (module == "rms_norm") return made<RmsNorm>(size(o, "width"), epsilon);
  if (module == "group_norm")
    return made<GroupNorm>(size(o, "groups"), size(o, "channels"), epsilon);
  if (module == "batch_norm") return made<BatchNorm>(size(o, "channels"), epsilon);
  if (module == "conv" || module == "conv_transpose") {
    const int64_t in = size(o, "in"), out = size(o, "out"), kernel = size(o, "kernel");
    const ConvolutionOptions options = convolution_options(o);
    const bool flat = size(o, "spatial") == 1;
    if (module == "conv")
      return flat ? made<Conv1d>(in, out, kernel, options) : made<Conv2d>(in, out, kernel, options);
    return flat ? made<ConvTranspose1d>(in, out, kernel, options)
                : made<ConvTranspose2d>(in, out, kernel, options);
  }
  if (module == "mlp")
    return made<Mlp>(size(o, "in"), size(o, "hidden"), size(o, "out"),
                     activation(o["activation"].get<std::string>()));
  if (module == "swiglu") return made<GatedMlp>(size(o, "width"), size(o, "hidden"));
  if (module == "attention") {
    AttentionConfig config{
        .width = size(o, "width"), .heads = size(o, "heads"), .kv_heads = size(o, "kv_heads")};
    config.head_width = o.contains("theta") ? 4 : 0;
    config.biases = bias;
    if (o.contains("theta"))
      config.rotary = Rotary{o["theta"].get<double>(), o["interleaved"].get<bool>()};
    const auto m = std::make_shared<Attention>(config);
    const bool causal = o["causal"];
    return {m, [m, causal](Context& ctx, const Tensor& x) {
              return m->forward(ctx, x, {.causal = causal});
            }};
  }
  throw std::runtime_error("no such module: " + module);
}

class ModuleGolden : public testing::Test {
 protected:
  std::vector<double> read(const Json& name) const {
    const HostArray array = file.read(name.get<std::string>()).value();
    std::vector<double> list;
    for (int64_t i = 0; i < array.elements(); ++i) list.push_back(array.at(i));
    return list;
  }
  io::SafetensorsFile file =
      io::SafetensorsFile::open(golden_path("nn/modules.safetensors").string()).value();
};

TEST_F(ModuleGolden, ResultsGradientsAndState) {
  // A path through two products, a softmax and a norm is about 60 operations long, sums have up to
  // 60 terms, and inputs of a few units amplify a rounding error by no more than ten.
  constexpr double kEpsilons = 4096;
  std::ifstream text(golden_path("nn/modules.json"));
  const Json description = Json::parse(text);
  std::set<std::string> modules;
  for (const Json& c : description["cases"]) {
    const auto name = c["name"].get<std::string>();
    SCOPED_TRACE(name);
    modules.insert(c["module"].get<std::string>());
    const Made m = make(c["module"], c["options"]);
    std::vector<Tensor> wrt;
    std::vector<std::string> paths;
    size_t states = 0;
    for (const Field& field : fields(*m.module)) {
      const bool is_state = field.kind == FieldKind::state;
      const Json& stored = c[is_state ? "state" : "parameters"];
      ASSERT_TRUE(stored.contains(field.path)) << field.path;
      const HostArray array = file.read(stored[field.path].get<std::string>()).value();
      ASSERT_EQ(array.shape(), field.tensor->shape()) << field.path;
      *field.tensor = Tensor(array);
      states += is_state;
      if (is_state) continue;
      wrt.push_back(*field.tensor);
      paths.push_back(field.path);
    }
    EXPECT_EQ(paths.size(), c["parameters"].size());
    EXPECT_EQ(states, c["state"].size());

    const Tensor x(file.read(c["inputs"]["x"].get<std::string>()).value());
    if (c["gradients"].contains("x")) {
      wrt.push_back(x);
      paths.emplace_back("x");
    }
    Context ctx;
    ctx.training = c["options"].value("training", false);
    const Tensor y = m.forward(ctx, x);
    const Tensor cotangent(file.read(c["cotangent"].get<std::string>()).value());
    ASSERT_EQ(y.shape(), cotangent.shape());
    expect_near(value(y), read(c["output"]), kEpsilons, "y");
    const auto g = values(gradients(sum(y * cotangent), wrt));
    for (size_t i = 0; i < paths.size(); ++i)
      expect_near(g[i], read(c["gradients"][paths[i]]), kEpsilons, "gradient of " + paths[i]);

    EXPECT_EQ(ctx.updates.size(), ctx.training ? states : 0);
    std::map<const Tensor*, Tensor> updated(ctx.updates.begin(), ctx.updates.end());
    for (const Field& field : fields(*m.module, FieldKind::state))
      expect_near(value(updated.contains(field.tensor) ? updated[field.tensor] : *field.tensor),
                  read(c["state_after"][field.path]), kEpsilons, field.path);
  }
  EXPECT_EQ(modules, (std::set<std::string>{"linear", "embedding", "layer_norm", "rms_norm",
                                            "group_norm", "batch_norm", "conv", "conv_transpose",
                                            "mlp", "swiglu", "attention"}));
}

}  // namespace
}  // namespace cairn::test
