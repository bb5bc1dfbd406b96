// What a program outside of the tree does with an installed cairn: takes a gradient, builds a model
// with a kernel of its own and trains it. Run by the tests against a temporary installation.
#include <cairn/cairn.h>
#include <cairn/tile/builder.h>
#include <cairn/tile/custom_kernel.h>

#include <cstdio>

using namespace cairn;

// max(x, 0), as a kernel with the fallback's derivative.
TensorFunction own_relu() {
  auto kernel = std::make_shared<CustomKernel>();
  kernel->make = [](const CustomTypes&) {
    return tile::build("own_relu", [](tile::Builder& k) {
      const tile::Buffer x = k.input("x", DType::f32), y = k.output("y", DType::f32);
      const tile::Tile n = k.size("n");
      k.grid([&] { return std::vector<tile::Tile>{ceil_div(n, 64)}; });
      const tile::Tile i = k.program_id(0) * 64 + k.arange(64);
      k.store(y, i, maximum(k.load(x, i, i < n), 0), i < n);
    });
  };
  kernel->scalars = [](const CustomTypes& types) {
    return std::vector<Number>{types.outputs[0].shape.elements()};
  };
  return custom({.name = "own_relu",
                 .fallback = [](auto x) { return std::vector<Tensor>{maximum(x[0], 0)}; },
                 .kernel = kernel});
}

struct Net : Module {
  Linear fc1{2, 8}, fc2{8, 1};
  void visit(Visitor& v) override {
    v.module("fc1", fc1);
    v.module("fc2", fc2);
  }
  Tensor forward(Context& ctx, const Tensor& x) {
    return fc2.forward(ctx, own_relu()(std::vector{fc1.forward(ctx, x)})[0]);
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
