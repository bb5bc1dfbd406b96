#include "cairn/train/task.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL  // header only: no library to link
#include <xxhash.h>

#include <cstring>

#include "cairn/base/memory.h"
#include "cairn/base/names.h"
#include "cairn/llm/generate.h"
#include "cairn/llm/sampling.h"
#include "cairn/models/classifier.h"
#include "cairn/models/classifier_files.h"
#include "cairn/models/language_model.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/loss.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/text/utf8.h"
#include "cairn/train/data.h"
#include "cairn/train/text_data.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// Sum of the losses of targets that are not -100, and their number.
Loss summed_cross_entropy(const Tensor& logits, const Tensor& targets, double smoothing) {
  CrossEntropyOptions options;
  options.reduction = Reduction::sum;
  options.label_smoothing = smoothing;
  return {cross_entropy(logits, targets, options), sum(cast(not_equal(targets, -100), DType::f32))};
}

// Micro-batches of one step, stacked where there are several.
template <class F>
std::vector<HostArray> micro_batches(const TrainConfig& config, int64_t step, F make) {
  if (config.train.accumulate == 1) return make(step);
  std::vector<HostArray> stacked;
  for (int64_t m = 0; m < config.train.accumulate; ++m) {
    const std::vector<HostArray> part = make(step * config.train.accumulate + m);
    for (size_t i = 0; i < part.size(); ++i) {
      if (m == 0) {
        Shape shape = part[i].shape();
        shape.insert(0, config.train.accumulate);
        stacked.emplace_back(part[i].dtype(), shape);
      }
      std::memcpy(
          static_cast<char*>(stacked[i].mutable_data()) + static_cast<size_t>(m) * part[i].bytes(),
          part[i].data(), part[i].bytes());
    }
  }
  return stacked;
}

// The types of that, given those of one micro-batch.
std::vector<TensorType> stacked_types(const TrainConfig& config, std::vector<TensorType> types) {
  if (config.train.accumulate > 1)
    for (TensorType& type : types) type.shape.insert(0, config.train.accumulate);
  return types;
}

// Throws Error when there is no memory for the arrays of a step: on the host, and uploaded.
// `context`: of text, else nothing.
void check_batch(const TrainConfig& config, double bytes_per_row, std::optional<int64_t> context) {
  constexpr double kCopies = 2;
  const TrainConfig::Train& t = config.train;
  const double rows = static_cast<double>(t.batch) * static_cast<double>(t.accumulate);
  check_memory(
      kCopies * rows * bytes_per_row,
      fmt::format("train.batch = {}, train.accumulate = {}{}: the data of a step", t.batch,
                  t.accumulate, context ? fmt::format(", model.context = {}", *context) : ""),
      context ? "lower train.batch, train.accumulate or model.context"
              : "lower train.batch or train.accumulate");
}

// Evaluation of a module as a function of its fields and a batch: sums of loss, count and right
// answers.
class Evaluator {
 public:
  Evaluator(Module& module,
            std::function<std::vector<Tensor>(Context&, std::span<const Tensor>)> sums)
      : fields_(fields(module)), function_([this, sums](std::span<const Tensor> args) {
          const Bound bound(fields_, args.first(fields_.size()));
          Context ctx;
          return sums(ctx, args.subspan(fields_.size()));
        }) {}
  std::vector<double> operator()(Runtime& runtime, const std::vector<HostArray>& batch) {
    std::vector<Tensor> args;
    for (const Field& f : fields_) args.push_back(*f.tensor);
    for (const HostArray& a : batch) args.emplace_back(a);
    std::vector<double> sums;
    for (const Tensor& t : function_(runtime, std::move(args))) sums.push_back(t.item<double>());
    return sums;
  }

 private:
  std::vector<Field> fields_;
  Function function_;
};

class LanguageTask : public Task {
 public:
  LanguageTask(const TrainConfig& config, std::unique_ptr<text::Tokenizer> tokenizer,
               TokenFile tokens, std::optional<TokenFile> validation)
      : config_(config),
        tokenizer_(std::move(tokenizer)),
        tokens_(std::move(tokens)),
        validation_tokens_(std::move(validation)),
        model_(std::make_unique<Transformer>(transformer_config())) {
    int64_t end = tokens_.size();
    if (!validation_tokens_)
      end -= static_cast<int64_t>(static_cast<double>(tokens_.size()) * config_.data.validation);
    train_.emplace(tokens_, 0, end, config_.model.context, config_.train.seed);
    if (validation_tokens_) {
      validation_.emplace(*validation_tokens_, 0, validation_tokens_->size(), config_.model.context,
                          0);
    } else if (tokens_.size() - end >= 2) {
      validation_.emplace(tokens_, end, tokens_.size(), config_.model.context, 0);
    }
    evaluator_.emplace(*model_, [this](Context& ctx, std::span<const Tensor> batch) {
      const Loss l = loss_of(ctx, batch, 0);
      return std::vector<Tensor>{l.total, l.count};
    });
  }

  Module& module() override { return *model_; }
  Loss loss(Context& ctx, std::span<const Tensor> batch) override {
    return loss_of(ctx, batch, config_.train.label_smoothing);
  }
  std::vector<HostArray> batch(int64_t step) override {
    return micro_batches(config_, step,
                         [&](int64_t s) { return train_->batch(s, config_.train.batch); });
  }
  std::vector<TensorType> batch_types() const override {
    return stacked_types(config_, train_->batch_types(config_.train.batch));
  }
  int64_t steps_per_epoch() const override {
    return std::max<int64_t>(
        train_->windows_per_epoch() / (config_.train.batch * config_.train.accumulate), 1);
  }
  std::string item_name() const override { return "tokens"; }
  int64_t items_per_step() const override {
    return config_.train.batch * config_.train.accumulate * config_.model.context;
  }

  uint64_t data_hash() const override {
    uint64_t hash = tokens_.hash();
    for (const std::string& token : tokenizer_->vocabulary().tokens)
      hash = XXH3_64bits_withSeed(token.data(), token.size(), hash);
    return hash;
  }
  std::optional<Evaluation> evaluate(Runtime& runtime) override {
    if (!validation_) return std::nullopt;
    double total = 0, count = 0;
    for (int64_t first = 0; first < validation_->evaluation_windows();
         first += config_.train.batch) {
      const auto sums =
          (*evaluator_)(runtime, validation_->evaluation_batch(first, config_.train.batch));
      total += sums[0];
      count += sums[1];
    }
    return Evaluation{total / count, std::nullopt};
  }

  std::string sample(Runtime& runtime) override {
    // Beside the optimizer's state, so without packed weights.
    Generator generator(runtime, *model_, config_.model.context, {.pack_weights = false});
    // Begin as the training text does.
    std::vector<int32_t> ids{tokens_[0]};
    Sampler sampler;
    SamplingOptions options;
    options.temperature = 0.8;
    options.top_k = 50;
    options.seed = config_.train.seed;
    while (static_cast<int64_t>(ids.size()) < std::min<int64_t>(config_.model.context, 200)) {
      generator.feed(std::span(ids).last(1));
      ids.push_back(sampler.sample(generator.logits().host().span<float>(), options, ids));
    }
    return text::replace_invalid_utf8(tokenizer_->decode(ids));
  }

  Status save(const fs::path& folder) override {
    return save_language_model(folder, *model_, tokenizer_.get());
  }

 private:
  TransformerConfig transformer_config() const {
    const auto& m = config_.model;
    TransformerConfig c;
    c.family = m.family;
    c.vocabulary = tokenizer_->vocabulary_size();
    c.context = m.context;
    c.layers = m.layers ? m.layers : 4;
    c.heads = m.heads;
    c.kv_heads = m.kv_heads ? m.kv_heads : m.heads;
    c.width = m.width;
    if (m.heads < 1 || m.width % m.heads)
      throw_error(
          fmt::format("model.width ({}) must be a multiple of model.heads ({})", m.width, m.heads));
    c.head_width = m.width / m.heads;
    c.dropout = m.dropout;
    c.tied = m.tied;
    if (m.family == "gpt") {
      if (c.kv_heads != c.heads)
        throw_error("model.kv_heads: the gpt family has as many key-value heads as heads");
      c.hidden = m.hidden.empty() ? 4 * m.width : m.hidden[0];
      c.norm = NormKind::layer;
      c.norm_epsilon = m.norm_epsilon > 0 ? m.norm_epsilon : 1e-5;
      c.rotary = std::nullopt;
      c.activation = ActivationKind::gelu_tanh;
      c.gated = false;
      c.qkv_biases = c.output_bias = c.feed_forward_biases = true;
    } else {
      // Two thirds of 4 x width in a multiple of 32, as Llama: as many parameters as an ungated
      // part.
      c.hidden = m.hidden.empty() ? (8 * m.width / 3 + 31) / 32 * 32 : m.hidden[0];
      c.norm_epsilon = m.norm_epsilon > 0 ? m.norm_epsilon : 1e-6;
      c.rotary = Rotary{.theta = m.rope_theta};
    }
    return c;
  }
  Loss loss_of(Context& ctx, std::span<const Tensor> batch, double smoothing) {
    const Tensor h = model_->hidden(ctx, batch[0], nullptr, batch.size() > 2 ? batch[2] : Tensor());
    return summed_cross_entropy(model_->logits(ctx, h), batch[1], smoothing);
  }

  TrainConfig config_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  TokenFile tokens_;
  std::optional<TokenFile> validation_tokens_;
  std::unique_ptr<Transformer> model_;
  std::optional<TextBatches> train_, validation_;
  std::optional<Evaluator> evaluator_;
};

class ImageTask : public Task {
 public:
  ImageTask(const TrainConfig& config, ImageBatches train, std::optional<ImageBatches> validation)
      : config_(config),
        train_(std::move(train)),
        validation_(std::move(validation)),
        model_(classifier_config()),
        evaluator_(model_, [this](Context& ctx, std::span<const Tensor> batch) {
          const Tensor logits = model_.forward(ctx, batch[0]);
          const Loss l = summed_cross_entropy(logits, batch[1], 0);
          return std::vector<Tensor>{l.total, l.count,
                                     sum(cast(equal(argmax(logits), batch[1]), DType::f32))};
        }) {
    if (validation_) {
      validation_->mean = train_.mean;
      validation_->deviation = train_.deviation;
    }
  }
  Module& module() override { return model_; }
  Loss loss(Context& ctx, std::span<const Tensor> batch) override {
    return summed_cross_entropy(model_.forward(ctx, batch[0]), batch[1],
                                config_.train.label_smoothing);
  }
  std::vector<HostArray> batch(int64_t step) override {
    return micro_batches(config_, step, [&](int64_t s) {
      return train_.batch(s, config_.train.batch, config_.train.seed);
    });
  }
  std::vector<TensorType> batch_types() const override {
    return stacked_types(config_, train_.batch_types(config_.train.batch));
  }
  int64_t steps_per_epoch() const override {
    return std::max<int64_t>(train_.size() / (config_.train.batch * config_.train.accumulate), 1);
  }
  std::string item_name() const override { return "samples"; }
  int64_t items_per_step() const override { return config_.train.batch * config_.train.accumulate; }
  uint64_t data_hash() const override { return train_.hash(); }
  std::optional<Evaluation> evaluate(Runtime& runtime) override {
    if (!validation_) return std::nullopt;
    double total = 0, count = 0, right = 0;
    for (int64_t first = 0; first < validation_->size(); first += config_.train.batch) {
      const auto sums =
          evaluator_(runtime, validation_->evaluation_batch(first, config_.train.batch));
      total += sums[0];
      count += sums[1];
      right += sums[2];
    }
    return Evaluation{total / count, right / count};
  }
  std::string sample(Runtime&) override { return {}; }
  Status save(const fs::path& folder) override { return save_classifier(folder, model_); }

 private:
  ClassifierConfig classifier_config() const {
    ClassifierConfig c;
    c.family = config_.model.family;
    c.image = train_.image_shape();
    c.classes = train_.classes();
    const TrainConfig::Model& m = config_.model;
    c.hidden = m.hidden;
    c.channels = m.channels;
    if (c.family == "resnet") {
      c.layers = m.layers ? m.layers : 20;
      if (c.channels.empty()) c.channels = {16, 32, 64};
    } else {
      if (c.hidden.empty()) c.hidden = {c.family == "mlp" ? 256 : 128};
      if (c.channels.empty()) c.channels = {32, 64};
    }
    c.dropout = m.dropout;
    c.mean = train_.mean;
    c.deviation = train_.deviation;
    return c;
  }
  TrainConfig config_;
  ImageBatches train_;
  std::optional<ImageBatches> validation_;
  Classifier model_;
  Evaluator evaluator_;
};

Result<std::unique_ptr<Task>> make_language_task(const TrainConfig& config,
                                                 const fs::path& folder) {
  if (config.data.text.empty())
    return Error(
        fmt::format("data.text: family '{}' needs text files to train on", config.model.family));
  constexpr double kArrays = 3;  // ids, targets and, of several documents, segments
  check_batch(config, kArrays * sizeof(int32_t) * static_cast<double>(config.model.context),
              config.model.context);
  auto tokenizer = make_tokenizer(config.data);
  if (!tokenizer) return tokenizer.error();
  const auto tokens = [&](const std::vector<std::string>& files,
                          const char* name) -> Result<TokenFile> {
    const std::string path = (folder / name).string();
    if (auto status = TokenFile::write(path, files, config.data.separator, *tokenizer.value());
        !status)
      return status.error();
    return TokenFile::open(path);
  };
  auto train = tokens(config.data.text, "tokens.bin");
  if (!train) return train.error();
  if (train.value().size() < 2)
    return Error(fmt::format("{}: the text is {}", config.data.text[0],
                             train.value().size() == 0
                                 ? "empty"
                                 : "too short: it has 1 token, and training needs at least 2"));
  std::optional<TokenFile> validation;
  if (!config.data.validation_text.empty()) {
    auto read = tokens(config.data.validation_text, "validation_tokens.bin");
    if (!read) return read.error();
    validation = std::move(read).value();
  }
  return std::unique_ptr<Task>(new LanguageTask(config, std::move(tokenizer).value(),
                                                std::move(train).value(), std::move(validation)));
}

Result<std::unique_ptr<Task>> make_image_task(const TrainConfig& config) {
  if (config.data.images.empty() || config.data.labels.empty())
    return Error(
        fmt::format("data.images and data.labels: family '{}' needs both", config.model.family));
  auto train = ImageBatches::open(config.data.images, config.data.labels);
  if (!train) return train.error();
  check_batch(config, sizeof(float) * static_cast<double>(train.value().image_shape().elements()),
              std::nullopt);
  std::optional<ImageBatches> validation;
  if (!config.data.validation_images.empty()) {
    auto read = ImageBatches::open(config.data.validation_images, config.data.validation_labels);
    if (!read) return read.error();
    validation = std::move(read).value();
  }
  return std::unique_ptr<Task>(
      new ImageTask(config, std::move(train).value(), std::move(validation)));
}

}  // namespace

Result<std::unique_ptr<Task>> make_task(const TrainConfig& config, const fs::path& folder) try {
  const std::string& family = config.model.family;
  if (family == "gpt" || family == "llama") return make_language_task(config, folder);
  if (family == "mlp" || family == "convnet" || family == "resnet") return make_image_task(config);
  const std::string known[] = {"gpt", "llama", "mlp", "convnet", "resnet"};
  return Error(fmt::format("model.family '{}' is not known; {}", family, suggest(family, known)));
} catch (const Error& e) {
  return e;
}

}  // namespace cairn
