// A language model from text to text: a tokenizer, a Llama of a few layers, training, a folder that
// transformers can load, and sampling from it.
//
//   language_model TEXT-FILE [STEPS] [FOLDER]
#include <cairn/cairn.h>
#include <cairn/llm/generation.h>
#include <cairn/models/language_model.h>
#include <cairn/train/run.h>

#include <cstdio>
#include <string>

#include "examples/options.h"

using namespace cairn;

int main(int argc, char** argv) try {
  if (argc < 2) throw_error("usage: language_model TEXT-FILE [STEPS] [FOLDER]");
  TrainConfig config;
  config.model.family = "llama";
  config.model.layers = 2;
  config.model.width = 64;
  config.data.text = {argv[1]};
  config.data.tokenizer = "bpe:512";
  config.train.steps = argc > 2 ? parse_number<int64_t>("STEPS", argv[2], 1, 100'000'000) : 300;
  config.train.learning_rate = 3e-3;
  config.train.warmup_steps = 20;
  config.train.clip = 1;
  config.train.evaluate_every = 100;
  config.train.log_every = 20;

  Runtime runtime;
  RunOptions options;
  options.folder = argc > 3 ? argv[3] : "language-model";
  options.fresh = true;
  options.on_metrics = [](const Metrics& m, int64_t total) {
    if (m.step)
      std::printf("step %lld of %lld, loss %.4f\n", static_cast<long long>(m.step),
                  static_cast<long long>(total), m.loss);
  };
  run_training(runtime, config, options).value();

  LanguageModel model = load_language_model(options.folder).value();
  TextGenerator generator(runtime, model, {.context = model.transformer->config().context});
  GenerationOptions generation;
  generation.sampling.temperature = 0.8;
  generation.max_tokens = 200;
  const GenerationRequest request{generator.open(), model.tokenizer->encode("The "), generation};
  const std::vector<Generated> written = generator.run(std::span(&request, 1));
  std::printf("\n%s\n", ("The " + written[0].text).c_str());
} catch (const std::exception& e) {
  std::fprintf(stderr, "language_model: error: %s\n", e.what());
  return 1;
}
