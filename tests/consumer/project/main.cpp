// What a program outside of the tree does with an installed cairn: takes a gradient, builds a model
// and trains it. Run by the tests against a temporary installation.
#include <cairn/cairn.h>

#include <cstdio>

using namespace cairn;

struct Net : Module {
  Linear fc1{2, 8}, fc2{8, 1};
  void visit(Visitor& v) override {
    v.module("fc1", fc1);
    v.module("fc2", fc2);
  }
  Tensor forward(Context& ctx, const Tensor& x) {
    return fc2.forward(ctx, relu(fc1.forward(ctx, x)));
  }
};

int main() {
  Runtime runtime;
  const Tensor slope = grad([](Tensor x) { return x * x * x; })(Tensor::from<float>({2}, {}));
  if (eval(runtime, slope).item<float>() != 12)
    return std::puts("the gradient of x^3 at 2 is not 12"), 1;

  const Tensor x = Tensor::from<float>({0, 0, 0, 1, 1, 0, 1, 1}, {4, 2});
  const Tensor y = Tensor::from<float>({0, 1, 1, 0}, {4, 1});
  Net model;
  initialize(runtime, model, 4);
  const auto loss = mean_loss([&](Context& ctx, std::span<const Tensor> batch) {
    return mse_loss(model.forward(ctx, batch[0]), batch[1]);
  });
  TrainStep training(runtime, model, loss, make_optimizer({.name = "adam"}));
  const Tensor batch[] = {x, y};
  double last = 1;
  for (int step = 1; step <= 2000; ++step) last = training.step(batch, 1e-2, step).loss;
  std::printf("cairn, element type %s: loss %.3g after 2000 steps\n",
              std::string(name(x.dtype())).c_str(), last);
  return last < 1e-3 ? 0 : 1;
}
