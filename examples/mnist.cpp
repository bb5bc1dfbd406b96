// MNIST: a classifier of handwritten digits from IDX files, its accuracy, its mistakes to look at.
//
//   mnist FOLDER [--convnet] [EPOCHS]
//
// FOLDER holds train-images-idx3-ubyte.gz and the other three files. The dense network has 200,000
// parameters and gets over 98 % in ten epochs, the convolutional one over 99 %.
#include <cairn/cairn.h>
#include <cairn/io/idx.h>
#include <cairn/models/classifier_files.h>
#include <cairn/plot/pixels.h>
#include <cairn/train/data.h>
#include <cairn/train/run.h>

#include <cstdio>
#include <string>

#include "examples/options.h"

using namespace cairn;

// The first pictures of the test set that the model in `run` gets wrong.
void show_mistakes(Runtime& runtime, const TrainConfig::Data& data, const std::string& run) {
  constexpr int kLooked = 500, kShown = 3;
  const auto model = load_classifier(run).value();
  auto test = ImageBatches::open(data.validation_images, data.validation_labels).value();
  test.mean = model->config().mean;
  test.deviation = model->config().deviation;
  const auto batch = test.evaluation_batch(0, kLooked);
  Context ctx;
  const auto said = eval(runtime, argmax(model->forward(ctx, Tensor(batch[0])))).to_vector<int>();
  const HostArray pixels = io::read_idx(data.validation_images).value();
  const auto truth = batch[1].span<int>();
  for (size_t i = 0, wrong = 0; i < said.size(); ++i) {
    if (said[i] == truth[i] || truth[i] < 0 || ++wrong > kShown) continue;
    const auto* first = pixels.span<uint8_t>().data() + i * 784;
    const HostArray picture(DType::u8, {28, 28}, pixels.owner(), first);
    std::printf("a %d, taken for a %d\n%s", truth[i], said[i],
                plot::image_to_text(picture, {.width = 28, .height = 14, .color = false}).c_str());
  }
}

int main(int argc, char** argv) try {
  if (argc < 2) throw_error("usage: mnist FOLDER [--convnet] [EPOCHS]");
  const std::string folder = argv[1];
  TrainConfig config;
  config.model.family = "mlp";  // whose hidden layer has 256 units; a convnet's has 128
  for (int i = 2; i < argc; ++i)
    if (std::string(argv[i]) == "--convnet")
      config.model.family = "convnet";
    else
      config.train.epochs = parse_number("EPOCHS", argv[i], 1e-3, 1e6);
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
  show_mistakes(runtime, config.data, options.folder);
  std::printf("%lld parameters, %.1f s; the curves are in %s/report.html\n",
              static_cast<long long>(result.parameters), result.seconds, options.folder.c_str());
} catch (const std::exception& e) {
  std::fprintf(stderr, "mnist: error: %s\n", e.what());
  return 1;
}
