// MNIST: a classifier of handwritten digits from its IDX files, its accuracy, and its mistakes to
// look at.
//
//   mnist FOLDER [--convnet] [EPOCHS]
//
// FOLDER holds train-images-idx3-ubyte.gz and the other three files. The dense network has 200,000
// parameters and gets over 98 % in ten epochs, the convolutional one over 99 %.
#include <cairn/cairn.h>
#include <cairn/train/run.h>

#include <cstdio>
#include <string>

using namespace cairn;

int main(int argc, char** argv) try {
  if (argc < 2) throw_error("usage: mnist FOLDER [--convnet] [EPOCHS]");
  const std::string folder = argv[1];
  TrainConfig config;
  config.model.family = "mlp";
  config.model.hidden = {256};
  for (int i = 2; i < argc; ++i) {
    if (std::string(argv[i]) == "--convnet") {
      config.model.family = "convnet";
      config.model.hidden = {128};
    } else {
      config.train.epochs = std::stod(argv[i]);
    }
  }
  if (config.train.epochs == 0) config.train.epochs = config.model.family == "mlp" ? 10 : 2;
  config.data.images = folder + "/train-images-idx3-ubyte.gz";
  config.data.labels = folder + "/train-labels-idx1-ubyte.gz";
  config.data.validation_images = folder + "/t10k-images-idx3-ubyte.gz";
  config.data.validation_labels = folder + "/t10k-labels-idx1-ubyte.gz";
  config.train.batch = 128;
  config.train.weight_decay = 0.01;
  config.train.log_every = 100;
  config.train.evaluate_every = 469;  // about an epoch

  Runtime runtime;
  RunOptions options;
  options.folder = "mnist-" + config.model.family;
  options.fresh = true;
  options.on_metrics = [](const Metrics& m, int64_t total) {
    if (m.step == 0) return;
    std::printf("step %lld of %lld, loss %.4f", static_cast<long long>(m.step),
                static_cast<long long>(total), m.loss);
    if (m.validation_accuracy) std::printf(", accuracy %.2f %%", *m.validation_accuracy * 100);
    std::printf(", %.0f images/s\n", m.items_per_second);
  };
  const RunResult result = run_training(runtime, config, options).value();
  std::printf("%lld parameters, %.1f s; the curves are in %s/report.html\n",
              static_cast<long long>(result.parameters), result.seconds, options.folder.c_str());
} catch (const std::exception& e) {
  std::fprintf(stderr, "mnist: error: %s\n", e.what());
  return 1;
}
