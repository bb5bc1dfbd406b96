// cairn eval: what a model says, in numbers: logits, perplexity, accuracy.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/cairn/commands.h"
#include "apps/cairn/ids.h"
#include "apps/cairn/json.h"
#include "apps/cairn/model_files.h"
#include "cairn/base/file.h"
#include "cairn/io/npy.h"
#include "cairn/llm/decoder.h"
#include "cairn/llm/generate.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/loss.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/plan_memory.h"
#include "cairn/train/data.h"
#include "cairn/transforms/precision.h"
#include "cairn/transforms/quantize.h"

namespace cairn::app {
namespace {

// --- logits --------------------------------------------------------------------------------------

struct LogitsOptions {
  std::string model, ids, out;
  bool hidden = false;
};

int run_logits(const LogitsOptions& options, Session& session) {
  const auto runtime = session.make_computing_runtime();
  LanguageModel model = load_model_to_run(options.model, std::nullopt, *runtime, {}, session);
  const std::vector<int32_t> ids = parse_ids(options.ids);
  const TransformerConfig& config = model.transformer->config();
  if (ids.empty()) throw_error("--ids holds no token");
  for (const int32_t id : ids)
    if (id >= config.vocabulary)
      throw_error(
          fmt::format("token {} is not in the model's vocabulary of {}", id, config.vocabulary));
  if (!config.rotary && static_cast<int64_t>(ids.size()) > config.context)
    throw_error(
        fmt::format("{} ids do not fit the model's context of {}", ids.size(), config.context));
  Tensor hidden;
  const Tensor logits =
      full_logits(*runtime, *model.transformer, ids, options.hidden ? &hidden : nullptr,
                  session.precision(), session.activations());
  const HostArray result = (options.hidden ? hidden : logits).host();
  io::write_npy(options.out, result).value();
  const Shape& shape = result.shape();
  const auto numbers = result.span<float>();
  const auto bad =
      std::count_if(numbers.begin(), numbers.end(), [](float x) { return !std::isfinite(x); });
  // Written all the same: which they are is what people then look for.
  if (bad > 0)
    session.warn(
        fmt::format("{} of the {} numbers in '{}' are NaN or infinite: the model's weights "
                    "are damaged, or too large for what they are computed in",
                    bad, numbers.size(), options.out));
  if (session.common.json) {
    print_json(session.out, {{"dtype", "f32"},
                             {"shape", std::vector<int64_t>(shape.begin(), shape.end())},
                             {"out", options.out},
                             {"not_finite", bad}});
  } else {
    session.note(fmt::format("{}{} is in {}", options.hidden ? "hidden states, f32" : "logits, f32",
                             to_string(shape), options.out));
  }
  return 0;
}

// --- perplexity ----------------------------------------------------------------------------------

struct PerplexityOptions {
  std::string model, file;
  std::optional<std::string> against, kv;
  std::optional<int64_t> context, stride;
};

// What runs one model over windows.
struct Scores {
  virtual ~Scores() = default;
  virtual void begin(const HostArray& window) = 0;
  // Of so many tokens from `first` on: the loss of each target (R), log probabilities (R, V).
  // Targets of -100 count nothing.
  virtual std::vector<Tensor> at(int64_t first, const HostArray& targets) = 0;
};

// States are computed of a window at once, and scores of some of its tokens at a time, as those of
// a whole one may take gigabytes.
class WindowScores final : public Scores {
 public:
  WindowScores(Transformer& model, Runtime& runtime, int64_t context, int64_t rows,
               const Session& session)
      : runtime_(runtime), rows_(rows), width_(model.config().width) {
    const auto made = [&](TensorFunction fn) {
      fn = with_precision(std::move(fn), session.precision());
      if (!session.activations().empty())
        fn = with_quantized_activations(with_precision_of_weights(std::move(fn)),
                                        session.activations());
      return compile(std::move(fn));
    };
    states_of_ = made([&model](std::span<const Tensor> args) {
      Context ctx;
      return std::vector<Tensor>{squeeze(model.hidden(ctx, reshape(args[0], {1, -1})), {0})};
    });
    // states (R, C), targets i32 (R) → what at() gives
    scores_of_ = made([&model](std::span<const Tensor> args) {
      Context ctx;
      const Tensor log_probabilities = log_softmax(model.logits(ctx, args[0]));
      return std::vector<Tensor>{
          nll_loss(log_probabilities, args[1], {.reduction = Reduction::none}), log_probabilities};
    });
    const TensorType ids{DType::i32, {context}};
    const auto plan = states_of_.plan(runtime, std::span(&ids, 1), false);
    check_memory(runtime.backend(), *plan, plan->argument_bytes,
                 fmt::format("one pass over a window of {} tokens", context), "lower --context");
  }

  void begin(const HostArray& window) override {
    states_ = states_of_(runtime_, {Tensor(window)})[0].host();
  }
  std::vector<Tensor> at(int64_t first, const HostArray& targets) override {
    const float* from = states_.span<float>().data() + first * width_;
    const HostArray states(DType::f32, {rows_, width_}, states_.owner(), from);
    return scores_of_(runtime_, {Tensor(states), Tensor(targets)});
  }

 private:
  Runtime& runtime_;
  int64_t rows_, width_;
  Function states_of_, scores_of_;
  HostArray states_;
};

// As a text is written: a token at a time behind a cache of keys and values, which may be narrow.
class CachedScores final : public Scores {
 public:
  CachedScores(Transformer& model, Runtime& runtime, int64_t context, KvType kv,
               const Session& session)
      : runtime_(runtime),
        vocabulary_(model.config().vocabulary),
        decoder_(runtime, model,
                 {.tokens = (context + kKvBlock - 1) / kKvBlock * kKvBlock,
                  .context = context,
                  .kv = kv,
                  .precision = session.precision(),
                  .activations = session.activations()}),
        sequence_(decoder_.open()) {
    scores_of_ = compile([](std::span<const Tensor> args) {
      const Tensor log_probabilities = log_softmax(args[0]);
      return std::vector<Tensor>{
          nll_loss(log_probabilities, args[1], {.reduction = Reduction::none}), log_probabilities};
    });
  }

  void begin(const HostArray& window) override {
    window_ = window;
    decoder_.close(sequence_);
    sequence_ = decoder_.open();
  }
  std::vector<Tensor> at(int64_t first, const HostArray& targets) override {
    const auto ids = window_.span<int32_t>();
    if (decoder_.length(sequence_) > first) decoder_.truncate(sequence_, first);
    while (decoder_.length(sequence_) < first) feed(ids);
    const int64_t rows = targets.elements();
    HostArray scores(DType::f32, {rows, vocabulary_});
    float* to = scores.mutable_span<float>().data();
    for (int64_t row = 0; row < rows; ++row, to += vocabulary_)
      std::copy_n(feed(ids).span<float>().data(), vocabulary_, to);
    return scores_of_(runtime_, {Tensor(scores), Tensor(targets)});
  }

 private:
  // The next token of the window.
  HostArray feed(std::span<const int32_t> ids) {
    const auto next = static_cast<size_t>(decoder_.length(sequence_));
    const Decoder::Part part{sequence_, ids.subspan(next, 1)};
    return decoder_.feed(std::span(&part, 1)).host();
  }

  Runtime& runtime_;
  int64_t vocabulary_;
  Decoder decoder_;
  int sequence_;
  Function scores_of_;
  HostArray window_;
};

// Log probabilities (T, V) of the other model and of this one → KL(other || this) and whether both
// prefer the same token, (T) each.
Function comparison() {
  return compile([](std::span<const Tensor> args) {
    const Tensor &other = args[0], &own = args[1];
    return std::vector<Tensor>{sum(exp(other) * (other - own), {1}),
                               cast(equal(argmax(other, 1), argmax(own, 1)), DType::f32)};
  });
}

int run_perplexity(const PerplexityOptions& options, Session& session) {
  const auto runtime = session.make_computing_runtime();
  LanguageModel model = load_model_to_run(options.model, std::nullopt, *runtime, {}, session);
  if (!model.tokenizer)
    throw_error(fmt::format(
        "there is no tokenizer beside '{}', which turning the text into ids needs", options.model));
  std::optional<LanguageModel> other;
  if (options.against)  // as its file has it: --quantize is what it may be there to judge
    other = load_model_to_run(*options.against, std::nullopt, *runtime, {}, session, "");
  const TransformerConfig& config = model.transformer->config();
  if (other && other->transformer->config().vocabulary != config.vocabulary)
    throw_error(
        fmt::format("--against: its vocabulary has {} tokens and the model's {}; only models of "
                    "one vocabulary compare",
                    other->transformer->config().vocabulary, config.vocabulary));
  int64_t longest = config.context;
  if (other) longest = std::min(longest, other->transformer->config().context);
  const int64_t context = options.context.value_or(longest);
  const int64_t stride = options.stride.value_or(context);
  if (context > longest)
    throw_error(fmt::format("--context {} is beyond the model's {}", context, longest));
  if (stride > context)
    throw_error(fmt::format("--stride {} would leave tokens out; it is at most the context, {}",
                            stride, context));

  const std::vector<int32_t> ids =
      model.tokenizer->encode(read_file(options.file).value(), {.add_special = true});
  const auto count = static_cast<int64_t>(ids.size());
  if (count < 2)
    throw_error(fmt::format("'{}' has {} tokens; a perplexity needs two", options.file, count));
  // As many tokens at a time as have 64 MiB of scores.
  const int64_t rows = std::clamp<int64_t>((1 << 24) / config.vocabulary, 1, context);
  std::unique_ptr<Scores> scores, other_scores;
  if (options.kv)
    scores = std::make_unique<CachedScores>(*model.transformer, *runtime, context,
                                            kv_type(*options.kv), session);
  else
    scores = std::make_unique<WindowScores>(*model.transformer, *runtime, context, rows, session);
  if (other)
    other_scores =
        std::make_unique<WindowScores>(*other->transformer, *runtime, context, rows, session);
  Function compare = comparison();

  // Every token but the first is predicted once: windows of `context` tokens advance by `stride`,
  // and each counts the targets that no window before it has. The last window is filled up; what
  // comes after a token does not change its score.
  double loss = 0, kl = 0, agree = 0;
  int64_t counted = 0;
  Progress progress = session.progress();
  for (int64_t begin = 0; counted < count - 1; begin += stride) {
    HostArray window(DType::i32, {context});
    const auto in = window.mutable_span<int32_t>();
    for (int64_t i = 0; i < context; ++i)
      in[static_cast<size_t>(i)] = begin + i < count ? ids[static_cast<size_t>(begin + i)] : 0;
    // Of the window's targets, the first that is new and the last that there is.
    const int64_t first = counted - begin, last = std::min(context, count - 1 - begin);
    const int64_t fresh = last - first;
    scores->begin(window);
    if (other) other_scores->begin(window);
    for (int64_t next = first; next < last; next += rows) {
      // The last tokens of a window begin before those that are due.
      const int64_t from = std::min(next, context - rows), to = std::min(next + rows, last);
      HostArray targets(DType::i32, {rows});
      const auto wanted = targets.mutable_span<int32_t>();
      for (int64_t i = 0; i < rows; ++i) {
        const bool counts = from + i >= next && from + i < to;
        wanted[static_cast<size_t>(i)] =
            counts ? ids[static_cast<size_t>(begin + from + i + 1)] : -100;
      }
      const auto own = scores->at(from, targets);
      const HostArray losses = own[0].host();
      std::optional<HostArray> divergence, same;
      if (other) {
        const auto both = compare(*runtime, {other_scores->at(from, targets)[1], own[1]});
        divergence = both[0].host();
        same = both[1].host();
      }
      for (int64_t i = next - from; i < to - from; ++i) {
        const int64_t token = begin + from + i + 1;
        if (!std::isfinite(losses.at(i)))
          throw_error(
              fmt::format("the model's loss of token {} is {}; its weights or its scores are "
                          "not finite",
                          token, losses.at(i)));
        loss += losses.at(i);
        if (!other) continue;
        if (!std::isfinite(divergence->at(i)))
          throw_error(
              fmt::format("the KL divergence at token {} is {}; the weights of '{}' or its "
                          "scores are not finite",
                          token, divergence->at(i), *options.against));
        kl += divergence->at(i);
        agree += same->at(i);
      }
    }
    counted += fresh;
    progress.update([&] {
      return fmt::format("{} of {} tokens, perplexity {:.4g}", counted, count - 1,
                         std::exp(loss / static_cast<double>(counted)));
    });
  }
  progress.clear();
  const auto tokens = static_cast<double>(counted);
  Json result = {
      {"loss", loss / tokens}, {"perplexity", std::exp(loss / tokens)}, {"tokens", counted}};
  if (other) {
    result["kl"] = kl / tokens;
    result["top1_agreement"] = agree / tokens;
  }
  if (session.common.json) {
    print_json(session.out, result);
    return 0;
  }
  session.out.line(fmt::format("perplexity {:.6g}, loss {:.6g} over {} tokens",
                               std::exp(loss / tokens), loss / tokens, counted));
  if (other)
    session.out.line(
        fmt::format("beside {}: KL divergence {:.4g}, the same first choice in {:.2f} %",
                    *options.against, kl / tokens, 100 * agree / tokens));
  return 0;
}

// --- accuracy ------------------------------------------------------------------------------------

struct AccuracyOptions {
  std::string model, images, labels;
};

int run_accuracy(const AccuracyOptions& options, Session& session) {
  if (!session.common.quantize.empty())
    throw UsageError("--quantize is for language models; a classifier runs as it is");
  const auto runtime = session.make_computing_runtime();
  const auto model = load_classifier(options.model);
  if (!model)
    throw_error(fmt::format("'{}' is no image classifier that cairn train wrote", options.model));
  const ClassifierConfig& config = model->config();
  ImageBatches data = ImageBatches::open(options.images, options.labels).value();
  if (data.image_shape() != config.image)
    throw_error(fmt::format("'{}' holds images of {}; the model takes {} (channels, height, width)",
                            options.images, to_string(data.image_shape()),
                            to_string(config.image)));
  // Pixels as in training, not as these would ask for.
  data.mean = config.mean;
  data.deviation = config.deviation;
  const auto count = [&](std::span<const Tensor> args) {
    Context ctx;
    const Tensor logits = model->forward(ctx, args[0]);
    return std::vector<Tensor>{sum(cast(equal(argmax(logits), args[1]), DType::f32)),
                               all(isfinite(max(logits, {1})))};
  };
  Function count_correct = compile(with_precision(count, session.precision()));
  constexpr int64_t kBatch = 256;
  int64_t correct = 0;
  Progress progress = session.progress();
  for (int64_t first = 0; first < data.size(); first += kBatch) {
    const auto arrays = data.evaluation_batch(first, kBatch);
    const auto counted = count_correct(*runtime, {Tensor(arrays[0]), Tensor(arrays[1])});
    if (!counted[1].item<bool>())
      throw_error(
          fmt::format("the model's scores of an image among {} to {} are not finite; its "
                      "weights are damaged",
                      first, std::min(first + kBatch, data.size()) - 1));
    correct += counted[0].item<int64_t>();
    progress.update([&] {
      return fmt::format("{} of {} images, {} right", std::min(first + kBatch, data.size()),
                         data.size(), correct);
    });
  }
  progress.clear();
  const double accuracy = static_cast<double>(correct) / static_cast<double>(data.size());
  if (session.common.json) {
    print_json(session.out, {{"correct", correct}, {"total", data.size()}, {"accuracy", accuracy}});
  } else {
    session.out.line(fmt::format("{} of {} right: {:.2f} %", correct, data.size(), 100 * accuracy));
  }
  return 0;
}

}  // namespace

void add_eval(const Command& program) {
  const Command group =
      program.group("eval", "Measure a model: logits, perplexity, accuracy.", kModels);
  group.example("cairn eval perplexity --model stories260K.bin --file story.txt");

  const auto logits = std::make_shared<LogitsOptions>();
  const Command logits_command =
      group.command("logits", "Scores of the next token after each of these tokens, as .npy.");
  logits_command.model(logits->model, "a language model");
  logits_command.option("--ids", "IDS", logits->ids, "token ids: 1,2,3, or @FILE with a JSON list",
                        Need::required);
  logits_command.option("--out", "FILE.npy", logits->out, "f32 (tokens, vocabulary)",
                        Need::required);
  logits_command.flag("--hidden", logits->hidden,
                      "write the states after the final norm, (tokens, width), instead");
  logits_command.example(
      "cairn eval logits --model stories260K.bin --ids 1,40,70 --out logits.npy");
  logits_command.run([logits](Session& session) { return run_logits(*logits, session); },
                     Computes::products);

  const auto perplexity = std::make_shared<PerplexityOptions>();
  const Command perplexity_command =
      group.command("perplexity", "How well a language model predicts a text.");
  perplexity_command.model(perplexity->model, "a language model");
  perplexity_command.option("--file", "TEXT", perplexity->file, "the text", Need::required);
  perplexity_command.option("--context", "N", perplexity->context,
                            "tokens of a window (default: the model's context)", 1);
  perplexity_command.option(
      "--stride", "N", perplexity->stride,
      "how far the next window is (default: the context); less gives each token more to go on", 1);
  perplexity_command.option(
      "--against", "PATH", perplexity->against,
      "also compare with this model: KL divergence, share of equal first choices");
  perplexity_command.option(
      "--kv", "TYPE", perplexity->kv,
      "predict a token at a time behind a cache of f32, f16 or q8_0 (the model of --against: not)");
  perplexity_command.example("cairn eval perplexity --model stories260K.bin --file story.txt");
  perplexity_command.run(
      [perplexity](Session& session) { return run_perplexity(*perplexity, session); },
      Computes::products);

  const auto accuracy = std::make_shared<AccuracyOptions>();
  const Command accuracy_command =
      group.command("accuracy", "How many pictures an image classifier gets right.");
  accuracy_command.model(accuracy->model, "what cairn train wrote for an mlp, convnet or resnet");
  accuracy_command.option("--images", "FILE", accuracy->images, "IDX pictures, also .gz",
                          Need::required);
  accuracy_command.option("--labels", "FILE", accuracy->labels, "IDX labels, also .gz",
                          Need::required);
  accuracy_command.example(
      "cairn eval accuracy --model classifier --images t10k-images-idx3-ubyte.gz --labels "
      "t10k-labels-idx1-ubyte.gz");
  accuracy_command.run([accuracy](Session& session) { return run_accuracy(*accuracy, session); },
                       Computes::products);
}

}  // namespace cairn::app
