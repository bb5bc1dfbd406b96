// cairn train: a run from a configuration file.
#include <fmt/format.h>

#include "apps/cairn/commands.h"
#include "apps/cairn/json.h"
#include "apps/cairn/training.h"

namespace cairn::app {
namespace {

struct Options {
  std::string config, out;
  std::vector<std::string> set;
  bool fresh = false;
};

int run(const Options& options, Session& session) {
  TrainConfig config = read_config(options.config).value();
  for (const std::string& assignment : options.set) set_field(config, assignment).value();
  if (session.common.seed) config.train.seed = *session.common.seed;
  if (session.common.precision)
    set_field(config, "train.precision=" + *session.common.precision).value();
  const auto runtime = session.make_computing_runtime();
  RunOptions run;
  run.folder = options.out;
  run.fresh = options.fresh;
  const RunResult result = train_with_progress(session, *runtime, config, run);
  if (session.common.json) {
    Json last = {{"done", result.finished}, {"step", result.step}, {"seconds", result.seconds}};
    if (result.parameters > 0) last["parameters"] = result.parameters;  // not of a finished run
    if (!result.history.empty()) {
      last["loss"] = result.history.back().loss;
      if (result.history.back().validation_loss)
        last["val_loss"] = *result.history.back().validation_loss;
      if (result.history.back().validation_accuracy)
        last["val_accuracy"] = *result.history.back().validation_accuracy;
    }
    print_json(session.out, last);
  } else if (result.already_done) {
    session.note(
        fmt::format("'{}' holds this run, finished at step {}; nothing to do (--fresh starts over)",
                    options.out, result.step));
  } else if (result.finished) {
    print_summary(session, result, options.out);
  }
  if (!result.finished) throw Interrupted();
  return 0;
}

}  // namespace

void add_train(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command = program.command(
      "train",
      "Train a model as a configuration file says; goes on from the last checkpoint by itself",
      kModels);
  command.positional("CONFIG.toml", options->config, "what to train, on what, for how long");
  command.option("--out", "DIR", options->out,
                 "folder for the model, checkpoints, metrics and report", Need::required);
  command.option("--set", "KEY=VALUE", options->set,
                 "change a key of the file: --set train.steps=100");
  command.flag("--fresh", options->fresh, "empty DIR of what an earlier run wrote first");
  command.example("cairn train shakespeare.toml --out runs/shakespeare --set train.steps=200");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
