// The notes' XOR program: a model, a loss, an optimizer, the loop and inference.
//
//   xor [--loss mse|bce] [--hidden N] [--epochs N] [--seed N]
//
// mse: ReLU between the layers, as the notes print the model; bce: a sigmoid hidden layer and
// binary cross-entropy, whose curve is the one the notes print. Most seeds of a 2-2-1 network stay
// in a flat corner; the default seeds (2 for mse, 7 for bce) are among those that do not.
#include <cairn/cairn.h>

#include <cstdio>
#include <string>

using namespace cairn;

struct XorNet : Module {
  Linear fc1, fc2;
  bool bce;
  XorNet(int hidden, bool bce_) : fc1(2, hidden), fc2(hidden, 1), bce(bce_) {}
  void visit(Visitor& v) override {
    v.module("fc1", fc1);
    v.module("fc2", fc2);
  }
  Tensor forward(Context& ctx, const Tensor& x) {
    const Tensor h = fc1.forward(ctx, x);
    return fc2.forward(ctx, bce ? sigmoid(h) : relu(h));
  }
};

int main(int argc, char** argv) try {
  bool bce = false;
  int hidden = 2, epochs = 10000, seed = -1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--loss")
      bce = std::string(argv[i + 1]) == "bce";
    else if (option == "--hidden")
      hidden = std::stoi(argv[i + 1]);
    else if (option == "--epochs")
      epochs = std::stoi(argv[i + 1]);
    else if (option == "--seed")
      seed = std::stoi(argv[i + 1]);
    else
      throw_error("unknown option " + option + "; see the head of examples/xor.cpp");
  }
  if (seed < 0) seed = bce ? 7 : 2;

  const Tensor X = Tensor::from<float>({0, 0, 0, 1, 1, 0, 1, 1}, {4, 2});
  const Tensor y = Tensor::from<float>({0, 1, 1, 0}, {4, 1});

  Runtime runtime({.threads = 1});
  XorNet model(hidden, bce);
  initialize(runtime, model, static_cast<uint64_t>(seed));
  const auto loss = mean_loss([&](Context& ctx, std::span<const Tensor> batch) {
    const Tensor output = model.forward(ctx, batch[0]);
    return bce ? bce_with_logits(output, batch[1]) : mse_loss(output, batch[1]);
  });
  TrainStep training(runtime, model, loss, make_optimizer({.name = "sgd", .learning_rate = 0.1}));

  const Tensor batch[] = {X, y};
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const double value = training.step(batch, 0.1, epoch + 1).loss;
    if (epoch % 1000 == 0) std::printf("Epoch %d, Loss: %.9g\n", epoch, value);
  }

  Context inference;
  Tensor output = model.forward(inference, X);
  if (bce) output = sigmoid(output);
  std::printf("Test output:\n");
  for (const float row : eval(runtime, output).to_vector<float>())
    std::printf("[%.9g]\n", static_cast<double>(row));
} catch (const Error& e) {
  std::fprintf(stderr, "xor: error: %s\n", e.what());
  return 1;
}
