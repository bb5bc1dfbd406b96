// The notes' XOR program: model, loss, optimizer, loop, inference.
//   xor [--loss mse|bce] [--hidden N] [--epochs N] [--seed N] [--loop]
// mse has ReLU between the layers, bce a sigmoid. Most seeds of a 2-2-1 network stay in a flat
// corner; the default ones (2, for bce 7) do not. --loop: all epochs in one call.
#include <cairn/cairn.h>

#include <cstdio>
#include <map>

#include "examples/options.h"

using namespace cairn;

struct XorNet : Module {
  Linear fc1, fc2;
  bool bce;
  XorNet(int hidden, bool with_bce) : fc1(2, hidden), fc2(hidden, 1), bce(with_bce) {}
  void visit(Visitor& v) override { v.module("fc1", fc1), v.module("fc2", fc2); }
  Tensor forward(Context& ctx, const Tensor& x) {
    const Tensor h = fc1.forward(ctx, x);
    return fc2.forward(ctx, bce ? sigmoid(h) : relu(h));
  }
  Tensor loss(Context& ctx, const Tensor& x, const Tensor& y) {
    return bce ? bce_with_logits(forward(ctx, x), y) : mse_loss(forward(ctx, x), y);
  }
};

int main(int argc, char** argv) {
  std::map<std::string, std::string> options{
      {"--loss", "mse"}, {"--hidden", "2"}, {"--epochs", "10000"}, {"--seed", ""}, {"--loop", ""}};
  for (int i = 1; i < argc; ++i) {
    const bool takes_value = argv[i] != std::string("--loop");
    if (!options.count(argv[i]) || i + takes_value >= argc)
      return std::fprintf(stderr, "error: '%s' is no option or has no value\n", argv[i]), 2;
    options[argv[i]] = takes_value ? argv[i + 1] : "yes";
    i += takes_value;
  }
  const bool bce = options["--loss"] == "bce";
  if (!bce && options["--loss"] != "mse") return std::fputs("error: --loss: mse|bce\n", stderr), 2;
  const std::string seed = options["--seed"].empty() ? (bce ? "7" : "2") : options["--seed"];
  const int epochs = parse_number("--epochs", options["--epochs"], 1, 10'000'000);
  const Tensor X = Tensor::from<float>({0, 0, 0, 1, 1, 0, 1, 1}, {4, 2});
  const Tensor y = Tensor::from<float>({0, 1, 1, 0}, {4, 1});
  Runtime runtime({.threads = 1});
  XorNet model(parse_number("--hidden", options["--hidden"], 1, 1'000'000), bce);
  initialize(runtime, model, parse_number<uint64_t>("--seed", seed, 0, UINT64_MAX));
  std::vector<double> losses;
  if (options["--loop"].empty()) {
    const auto loss = mean_loss([&](Context& ctx, auto) { return model.loss(ctx, X, y); });
    TrainStep training(runtime, model, loss, make_optimizer({.name = "sgd"}));
    for (int epoch = 1; epoch <= epochs; ++epoch)
      losses.push_back(training.step({}, 0.1, epoch).loss);
  } else {
    // The whole training as one graph: parameters are carried, losses stacked.
    const auto parameters = fields(model);
    std::vector<Tensor> start;
    for (const Field& f : parameters) start.push_back(*f.tensor);
    const auto body = [&](const Tensor&, std::span<const Tensor> p, auto) -> Step {
      const Bound bound(parameters, p);
      Context ctx;
      const Tensor value = model.loss(ctx, X, y);
      std::vector<Tensor> next = gradients(value, p);
      for (size_t i = 0; i < p.size(); ++i) next[i] = p[i] - next[i] * 0.1;
      return {next, {value}};
    };
    Step all = loop(epochs, start, {}, body, {.max = epochs});
    all.carried.push_back(all.stacked[0]);
    const auto values = eval(runtime, all.carried);
    for (size_t i = 0; i < parameters.size(); ++i) *parameters[i].tensor = values[i];
    for (const float loss : values.back().to_vector<float>()) losses.push_back(loss);
  }
  for (size_t epoch = 0; epoch < losses.size(); epoch += 1000)
    std::printf("Epoch %zu, Loss: %.9g\n", epoch, losses[epoch]);
  Context inference;
  const Tensor output = model.forward(inference, X);
  std::puts("Test output:");
  for (const float row : eval(runtime, bce ? sigmoid(output) : output).to_vector<float>())
    std::printf("[%.9g]\n", row);
}
