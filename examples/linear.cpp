// Linear models: sums, products and compositions of linear functions; a line fitted to points and a
// plane in two variables, found by gradient descent, drawn.
#include <cairn/cairn.h>
#include <cairn/plot/chart.h>
#include <cairn/plot/heatmap.h>

#include <cstdio>

using namespace cairn;

// y = x w + b with w [n, 1].
struct LinearModel : Module {
  Linear layer;
  explicit LinearModel(int64_t n) : layer(n, 1) {}
  void visit(Visitor& v) override { v.module("layer", layer); }
};

// Fits (x, y) by 500 steps of gradient descent on the squared error; returns the last loss.
double fit(Runtime& runtime, LinearModel& model, const Tensor& x, const Tensor& y) {
  initialize(runtime, model, 1);
  const auto loss = mean_loss([&](Context& ctx, std::span<const Tensor> batch) {
    return mse_loss(model.layer.forward(ctx, batch[0]), batch[1]);
  });
  TrainStep training(runtime, model, loss, make_optimizer({.name = "sgd"}));
  const Tensor batch[] = {x, y};
  double value = 0;
  for (int step = 1; step <= 500; ++step) value = training.step(batch, 0.1, step).loss;
  return value;
}

int main() {
  Runtime runtime;

  // The notes' own functions: a sum is a line, a product a parabola, a composition a line.
  const auto f = [](double x) { return 3 * x - 1; };
  const auto g = [](double x) { return x + 2; };
  const plot::Range range{-3, 3};
  plot::Chart functions{.title = "f(x) = 3x - 1, g(x) = x + 2", .x_label = "x", .y_label = "y"};
  functions.series = {plot::function_series(
                          "f + g", [&](double x) { return f(x) + g(x); }, range),
                      plot::function_series(
                          "f g", [&](double x) { return f(x) * g(x); }, range),
                      plot::function_series("f(g(x))", [&](double x) { return f(g(x)); }, range)};
  std::printf("%s\n", plot::to_text(functions, {}).c_str());

  // One variable: y = 2x + 3 with noise.
  const Tensor key = random_key(7);
  const Tensor x = eval(runtime, uniform(key, {100, 1}, DType::f32, -2, 2));
  const Tensor y = eval(runtime, x * 2.0 + 3.0 + normal(fold_in(key, 1), {100, 1}) * 0.3);
  LinearModel line(1);
  const double line_loss = fit(runtime, line, x, y);
  const double m = line.layer.weight.item<double>(), b = line.layer.bias.item<double>();
  std::printf(
      "points of y = 2x + 3 with noise; fitted: y = %.3f x + %.3f, mean squared error %.4f\n", m, b,
      line_loss);
  plot::Chart chart{.title = "The fitted line", .x_label = "x", .y_label = "y"};
  const auto xs = x.to_vector<float>(), ys = y.to_vector<float>();
  plot::Series points{.label = "points", .kind = plot::Series::Kind::scatter};
  points.xs.assign(xs.begin(), xs.end());
  points.ys.assign(ys.begin(), ys.end());
  chart.series = {points,
                  plot::function_series("fit", [&](double t) { return m * t + b; }, {-2, 2})};
  std::printf("%s\n", plot::to_text(chart, {}).c_str());

  // Several variables: the plane z = 2 x1 - 3 x2 + 1.
  const Tensor u = eval(runtime, uniform(fold_in(key, 2), {200, 2}, DType::f32, -1, 1));
  const Tensor z = eval(runtime, matmul(u, Tensor::from<float>({2, -3}, {2, 1})) + 1.0);
  LinearModel plane(2);
  const double plane_loss = fit(runtime, plane, u, z);
  const auto w = plane.layer.weight.to_vector<float>();
  const double c = plane.layer.bias.item<double>();
  std::printf("z = 2 x1 - 3 x2 + 1; fitted: z = %.3f x1 %+.3f x2 %+.3f, mean squared error %.2g\n",
              static_cast<double>(w[0]), static_cast<double>(w[1]), c, plane_loss);
  const auto surface = plot::function_heatmap(
      "The fitted plane", [&](double s, double t) { return w[0] * s + w[1] * t + c; }, {-1, 1},
      {-1, 1});
  std::printf("%s", plot::to_text(surface, {}).c_str());
}
