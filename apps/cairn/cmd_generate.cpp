// cairn generate: a language model goes on with a text.
#include <fmt/format.h>

#include <algorithm>

#include "apps/cairn/commands.h"
#include "apps/cairn/ids.h"
#include "apps/cairn/json.h"
#include "apps/cairn/model_files.h"
#include "cairn/base/clock.h"
#include "cairn/llm/generate.h"
#include "cairn/text/utf8.h"

namespace cairn::app {
namespace {

struct Options {
  std::string model;
  std::optional<std::string> prompt, ids, tokenizer;
  int64_t max_tokens = 256;
  SamplingOptions sampling{.temperature = 0.8, .top_k = 40};
  int64_t top_k = 40;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

// The text so far and how much of it may be shown: what could yet become a stop text is held back.
class StopTexts {
 public:
  explicit StopTexts(const std::vector<std::string>& stops) : stops_(stops) {}

  // Takes more text; returns what can be shown now.
  std::string push(std::string_view more) {
    text_ += more;
    for (const std::string& stop : stops_) {
      const size_t from = shown_ >= stop.size() ? shown_ - stop.size() : 0;
      if (const size_t at = text_.find(stop, from);
          at != std::string::npos && (!found_ || at < end_)) {
        found_ = true;
        end_ = at;
      }
    }
    if (found_) text_.resize(std::max(end_, shown_));
    size_t until = text_.size();
    if (!found_)
      for (const std::string& stop : stops_)
        for (size_t length = std::min(stop.size() - 1, text_.size() - shown_); length > 0; --length)
          if (text_.ends_with(std::string_view(stop).substr(0, length)))
            until = std::min(until, text_.size() - length);
    return show(until);
  }
  // The rest, when nothing more comes.
  std::string finish() { return show(text_.size()); }
  bool found() const { return found_; }
  const std::string& text() const { return text_; }

 private:
  std::string show(size_t until) {
    std::string out = text_.substr(shown_, until - shown_);
    shown_ = until;
    return out;
  }
  const std::vector<std::string>& stops_;
  std::string text_;
  size_t shown_ = 0, end_ = 0;
  bool found_ = false;
};

std::vector<int32_t> prompt_ids(const Options& options, const LanguageModel& model) {
  if (options.ids) return parse_ids(*options.ids);
  if (!model.tokenizer)
    throw_error(
        fmt::format("there is no tokenizer beside '{}', so it takes no --prompt; name one with "
                    "--tokenizer, or give --ids",
                    options.model));
  return model.tokenizer->encode(*options.prompt, {.add_special = true});
}

void check(const Options& options) {
  if (options.prompt.has_value() == options.ids.has_value())
    throw UsageError("cairn generate needs one of --prompt and --ids: what to go on from");
  if (!(options.sampling.temperature >= 0))
    throw UsageError("--temperature takes a number of at least 0; 0 takes the most likely token");
  if (!(options.sampling.top_p > 0 && options.sampling.top_p <= 1))
    throw UsageError("--top-p takes a probability above 0 and at most 1");
  if (!(options.sampling.min_p >= 0 && options.sampling.min_p <= 1))
    throw UsageError("--min-p takes a number from 0 to 1");
  if (options.top_k > INT32_MAX) throw UsageError("--top-k is larger than any vocabulary");
  if (std::any_of(options.stop.begin(), options.stop.end(),
                  [](const std::string& s) { return s.empty(); }))
    throw UsageError("--stop takes a text that is not empty");
}

int run(const Options& options, Session& session) {
  check(options);
  const auto runtime = session.make_computing_runtime();
  LanguageModel model = load_language_model_for(options.model, options.tokenizer);
  if (!model.left_out.empty())
    session.note(fmt::format("text part only: cairn does not run the model's {}", model.left_out));
  const std::vector<int32_t> prompt = prompt_ids(options, model);
  const int64_t context = model.transformer->config().context;
  const auto prompt_size = static_cast<int64_t>(prompt.size());
  if (prompt_size > context)
    throw_error(
        fmt::format("the prompt has {} tokens and the model's context {}; use a shorter prompt",
                    prompt_size, context));
  if (prompt.empty())
    throw_error("the prompt has no tokens; give some text, or begin with the model's BOS");
  SamplingOptions sampling = options.sampling;
  sampling.top_k = static_cast<int>(options.top_k);
  sampling.seed = session.common.seed.value_or(0);

  // On a terminal the prompt stands before what follows; into a file only what is new.
  const bool stream = !session.common.json;
  if (stream && session.out_terminal.is_terminal && options.prompt)
    session.out.write(session.out_terminal.dim(*options.prompt));
  const StopFlag::TakeOver take_over(session.stop);
  Generator generator(*runtime, *model.transformer,
                      prompt_size + std::min(context - prompt_size, options.max_tokens),
                      {.precision = session.precision()});
  // Planning is no part of a speed.
  generator.prepare(prompt.size());
  const double start = monotonic_seconds();
  generator.feed(prompt);
  const double prompt_seconds = monotonic_seconds() - start;

  std::vector<int32_t> ids;
  std::vector<int32_t> all = prompt;
  StopTexts text(options.stop);
  std::string reason = "length";
  double first_token = 0;
  while (static_cast<int64_t>(ids.size()) < options.max_tokens) {
    if (session.stop.requested()) {
      reason = "interrupted";
      break;
    }
    const int32_t id = generator.sample(sampling);
    if (model.is_end(id) && !options.ignore_eos) {
      reason = "eos";
      break;
    }
    ids.push_back(id);
    if (model.tokenizer) {
      const std::string piece = text.push(model.tokenizer->decode(std::span(&id, 1), all));
      if (stream) session.out.write(piece);
    } else if (stream) {
      session.out.write(fmt::format("{}{}", ids.size() > 1 ? "," : "", id));
    }
    if (stream) session.out.flush();
    all.push_back(id);
    // Planning the step for one token is no part of its speed.
    if (ids.size() == 2) first_token = monotonic_seconds();
    if (text.found()) {
      reason = "stop";
      break;
    }
    if (static_cast<int64_t>(ids.size()) == options.max_tokens) break;
    if (generator.length() == generator.capacity()) {
      reason = "context";
      break;
    }
    generator.feed(std::span(&id, 1));
  }
  const double seconds = monotonic_seconds() - first_token;
  const double tokens_per_second =
      ids.size() > 2 && seconds > 0 ? static_cast<double>(ids.size() - 2) / seconds : 0;
  const double prompt_per_second =
      prompt_seconds > 0 ? static_cast<double>(prompt_size) / prompt_seconds : 0;

  if (session.common.json) {
    print_json(
        session.out,
        {{"text", model.tokenizer ? Json(text::replace_invalid_utf8(text.text())) : Json(nullptr)},
         {"ids", ids},
         {"prompt_ids", prompt},
         {"stop_reason", reason},
         {"prompt_tokens_per_s", prompt_per_second},
         {"tokens_per_s", tokens_per_second}});
  } else {
    session.out.write(text.finish());
    if (session.out_terminal.is_terminal || !model.tokenizer) session.out.write("\n");
    session.out.flush();
    session.note(session.err_terminal.dim(fmt::format(
        "{} tokens ({}), {} tokens/s; prompt of {} tokens at {} tokens/s", ids.size(), reason,
        plot::human_count(tokens_per_second), prompt_size, plot::human_count(prompt_per_second))));
  }
  return reason == "interrupted" ? session.stop.status() : 0;
}

}  // namespace

void add_generate(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command =
      program.command("generate", "Let a language model go on with a text.", kModels);
  command.model(options->model,
                "a Hugging Face folder, what cairn train wrote, a GGUF file, or a llama2.c .bin");
  command.option("--prompt", "TEXT", options->prompt, "the text to go on from");
  command.option("--ids", "IDS", options->ids,
                 "token ids to go on from, used as given: 1,2,3, or @FILE with a JSON list");
  command.option("--tokenizer", "PATH", options->tokenizer, "in place of the model's own");
  command.option("--max-tokens", "N", options->max_tokens,
                 "at most so many new tokens (default: 256)");
  command.option("--temperature", "T", options->sampling.temperature,
                 "0 takes the most likely token; higher is more varied (default: 0.8)");
  command.option("--top-k", "K", options->top_k,
                 "only of the K most likely; 0: of all (default: 40)");
  command.option("--top-p", "P", options->sampling.top_p,
                 "only of the most likely that together reach this probability (default: 1)");
  command.option("--min-p", "P", options->sampling.min_p,
                 "only of those at least P times as likely as the most likely (default: 0)");
  command.option("--stop", "TEXT", options->stop,
                 "end before this text; may be given several times");
  command.flag("--ignore-eos", options->ignore_eos, "go on after the end of text");
  command.example(
      "cairn generate --model stories260K.bin --prompt \"Once upon a time\" --max-tokens 40 "
      "--temperature 0");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
