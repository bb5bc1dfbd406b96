// A neuron: the weighted sum of its inputs, the cosine that says how well the input matches the
// weights, and the activation functions, drawn.
#include <cairn/cairn.h>
#include <cairn/plot/chart.h>

#include <cstdio>

using namespace cairn;

int main() {
  Runtime runtime;
  const Tensor weights = Tensor::from<float>({0.3f, 0.4f, 0.5f}, {3});
  const struct {
    const char* name;
    Tensor x;
  } inputs[] = {{"the weights themselves", weights},
                {"twice the weights", Tensor::from<float>({0.6f, 0.8f, 1.0f}, {3})},
                {"something like them", Tensor::from<float>({0.5f, 0.3f, 0.4f}, {3})},
                {"something else", Tensor::from<float>({0.9f, -0.6f, 0.1f}, {3})},
                {"the opposite", Tensor::from<float>({-0.3f, -0.4f, -0.5f}, {3})}};
  std::printf("%-24s %12s %8s\n", "input", "weighted sum", "cosine");
  for (const auto& [name, x] : inputs) {
    const Tensor both[] = {sum(weights * x), cosine_similarity(weights, x)};
    const auto values = eval(runtime, both);
    std::printf("%-24s %12.3f %8.3f\n", name, values[0].item<double>(), values[1].item<double>());
  }

  const struct {
    const char* name;
    Tensor (*f)(const Tensor&);
  } activations[] = {{"relu", [](const Tensor& x) { return relu(x); }},
                     {"sigmoid", [](const Tensor& x) { return sigmoid(x); }},
                     {"tanh", [](const Tensor& x) { return tanh(x); }},
                     {"gelu", [](const Tensor& x) { return gelu(x); }},
                     {"silu", [](const Tensor& x) { return silu(x); }},
                     {"softplus", [](const Tensor& x) { return softplus(x); }},
                     {"elu", [](const Tensor& x) { return elu(x); }},
                     {"selu", [](const Tensor& x) { return selu(x); }},
                     {"log_sigmoid", [](const Tensor& x) { return log_sigmoid(x); }},
                     {"leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.1); }},
                     {"mish", [](const Tensor& x) { return mish(x); }},
                     {"hardswish", [](const Tensor& x) { return hardswish(x); }}};
  const Tensor x = eval(runtime, linspace(-4, 4, 161));
  const auto xs = x.to_vector<float>();
  for (const auto& [name, f] : activations) {
    // The value and, by the chain rule, its slope: the gradient of the sum is elementwise.
    const Tensor y = f(x);
    const Tensor outputs[] = {y, gradients(sum(y), std::span(&x, 1))[0]};
    const auto values = eval(runtime, outputs);
    plot::Chart chart{.title = name, .x_label = "weighted sum", .y_label = "output"};
    for (int i = 0; i < 2; ++i) {
      plot::Series series{.label = i ? "slope" : name};
      series.xs.assign(xs.begin(), xs.end());
      for (const float v : values[static_cast<size_t>(i)].to_vector<float>())
        series.ys.push_back(static_cast<double>(v));
      chart.series.push_back(series);
    }
    std::printf("\n%s", plot::to_text(chart, {.width = 72, .height = 12}).c_str());
  }
}
