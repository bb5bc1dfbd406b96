// cairn demo: trains a small Llama on text for some minutes, saves it, loads it and writes text
// with it.
#include <fmt/format.h>

#include <algorithm>

#include "apps/cairn/commands.h"
#include "apps/cairn/json.h"
#include "apps/cairn/training.h"
#include "cairn/base/philox.h"
#include "cairn/models/generate.h"
#include "cairn/models/language_model.h"
#include "cairn/text/utf8.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> files;
  double minutes = 5;
  std::optional<int64_t> steps;
  std::string out = "cairn-demo";
};

// The sources and documents of the clone that this program was built in or, installed, share/cairn.
std::vector<std::string> own_text() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path prefix = program.parent_path().parent_path();
  std::vector<std::string> files;
  const auto collect = [&](const fs::path& folder, std::initializer_list<const char*> extensions) {
    for (auto it = fs::recursive_directory_iterator(folder, error);
         it != fs::recursive_directory_iterator(); it.increment(error))
      for (const char* extension : extensions)
        if (it->path().extension() == extension) files.push_back(it->path().string());
  };
  const fs::path clone = prefix.parent_path().parent_path();  // of build/release/bin/cairn
  if (fs::exists(clone / "cairn" / "cairn.h", error)) {
    for (const char* folder : {"cairn", "apps", "examples", "docs"})
      collect(clone / folder, {".h", ".cpp", ".md", ".def"});
    for (const char* file : {"README.md", "ARCHITECTURE.md"})
      if (fs::exists(clone / file, error)) files.push_back((clone / file).string());
  } else {
    collect(prefix / "share" / "cairn", {".txt"});
  }
  if (files.empty())
    throw_error(
        "there is no text beside this program to train on; give one or more text files: cairn demo "
        "book.txt");
  // In an order that has nothing to do with names, so that the part kept back for validation is a
  // sample of all; the same on every machine.
  const auto place = [](const std::string& f) {
    return fold_in(PhiloxKey{}, fs::path(f).filename().string());
  };
  std::sort(files.begin(), files.end(), [&](const std::string& a, const std::string& b) {
    return std::pair(place(a), a) < std::pair(place(b), b);
  });
  return files;
}

// About a million parameters: learns to spell and to form lines in five minutes of two cores.
TrainConfig demo_config(const std::vector<std::string>& files, uint64_t seed) {
  TrainConfig c;
  c.model.family = "llama";
  c.model.layers = 4;
  c.model.heads = 4;
  c.model.kv_heads = 2;
  c.model.width = 128;
  c.model.context = 128;
  c.data.text = files;
  c.data.tokenizer = "bpe:1024";
  c.data.validation = 0.02;
  c.train.batch = 8;
  c.train.learning_rate = 3e-3;
  c.train.min_learning_rate = 3e-4;
  c.train.weight_decay = 0.1;
  c.train.betas = {0.9, 0.95};
  c.train.clip = 1;
  c.train.seed = seed;
  return c;
}

int run(const Options& options, Session& session) {
  if (options.minutes <= 0) throw UsageError("--minutes must be above 0");
  const auto runtime = session.make_runtime();
  const std::vector<std::string> files = options.files.empty() ? own_text() : options.files;
  TrainConfig config = demo_config(files, session.common.seed.value_or(1337));
  const fs::path folder = options.out;
  session.note(
      options.files.empty()
          ? fmt::format("Training a small Llama on cairn's own text ({} files)", files.size())
          : fmt::format("Training a small Llama on {} file{}", files.size(),
                        files.size() == 1 ? "" : "s"));
  if (options.steps) {
    config.train.steps = *options.steps;
  } else {
    // A tenth of the time goes to evaluation and slower moments of the machine.
    config.train.steps = steps_for(*runtime, config, folder, options.minutes * 60 * 0.9).value();
  }
  config.train.warmup_steps = std::clamp<int64_t>(config.train.steps / 20, 1, 100);
  config.train.evaluate_every = std::max<int64_t>(config.train.steps / 8, 1);
  config.train.checkpoint_every = std::max<int64_t>(config.train.steps / 4, 1);
  config.train.log_every = std::clamp<int64_t>(config.train.steps / 200, 1, 10);
  session.note(options.steps ? fmt::format("{} steps", config.train.steps)
                             : fmt::format("{} steps, about {}", config.train.steps,
                                           plot::human_duration(options.minutes * 60)));
  RunOptions run;
  run.folder = folder;
  run.fresh = true;
  const RunResult result = train_with_progress(session, *runtime, config, run);
  if (!result.finished) throw Interrupted();
  if (!session.common.json) print_summary(session, result, folder);

  // What people will do with it: load the folder and write.
  LanguageModel model = load_language_model(folder).value();
  const std::string prompt = "// ";
  std::vector<int32_t> ids = model.tokenizer->encode(prompt);
  const size_t prompt_size = ids.size();
  Generator generator(*runtime, *model.transformer, model.transformer->config().context);
  generator.feed(ids);
  SamplingOptions sampling;
  sampling.temperature = 0.8;
  sampling.top_k = 40;
  sampling.seed = session.common.seed.value_or(1337);
  while (generator.length() < generator.capacity()) {
    ids.push_back(generator.sample(sampling));
    generator.feed(std::span(ids).last(1));
    session.stop.check();
  }
  const std::string text = text::replace_invalid_utf8(model.tokenizer->decode(ids));
  if (session.common.json) {
    print_json(
        session.out,
        {{"done", true},
         {"step", result.step},
         {"loss", result.history.back().loss},
         {"text", text},
         {"ids", std::vector<int32_t>(ids.begin() + static_cast<int64_t>(prompt_size), ids.end())},
         {"folder", folder.string()}});
    return 0;
  }
  session.out.line("\n" + session.out_terminal.bold("The model, loaded from the folder, writes:"));
  session.out.line(text);
  session.out.line(session.out_terminal.dim(fmt::format(
      "\nWrite more with:  cairn generate --model {} --prompt 'Tensor ' --temperature 0.8",
      folder.string())));
  session.out.flush();
  return 0;
}

}  // namespace

void add_demo(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command = program.command(
      "demo",
      "Train a small language model for a few minutes, save it, load it and write text with it",
      kModels);
  command.positional("TEXT-FILE", options->files,
                     "text to train on; default: cairn's own sources and documents",
                     Need::optional);
  command.option("--minutes", "M", options->minutes, "how long to train");
  command.option("--steps", "N", options->steps, "train so many steps instead", 1);
  command.option("--out", "DIR", options->out, "folder for the model and its report");
  command.example("cairn demo --minutes 2");
  command.run([options](Session& session) { return run(*options, session); });
}

}  // namespace cairn::app
