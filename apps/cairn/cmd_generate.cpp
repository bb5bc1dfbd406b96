// cairn generate: a language model goes on with a text, or with several at once.
#include <fmt/format.h>

#include <algorithm>

#include "apps/cairn/commands.h"
#include "apps/cairn/ids.h"
#include "apps/cairn/json.h"
#include "apps/cairn/model_files.h"
#include "apps/cairn/sampling_options.h"
#include "cairn/base/clock.h"
#include "cairn/io/jsonl.h"
#include "cairn/llm/generation.h"
#include "cairn/text/utf8.h"

namespace cairn::app {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> prompts;
  std::optional<std::string> prompts_file, ids, tokenizer;
  int64_t max_tokens = 256, keep = 0;
  std::optional<int64_t> context;
  std::optional<std::string> kv;
  SamplingFlags sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false, context_shift = false;
};

// A text and its tokens; text is null where ids were given.
struct Prompt {
  std::optional<std::string> text;
  std::vector<int32_t> ids;
};

// A prompt a line; of a .jsonl file the lines' "prompt".
std::vector<std::string> read_prompts(const std::string& path) {
  std::vector<std::string> prompts;
  if (path.ends_with(".jsonl") || path.ends_with(".jsonl.gz")) {
    auto reader = io::JsonlReader::open(path, {"prompt"}).value();
    while (const auto fields = reader.next().value()) prompts.push_back((*fields)[0]);
  } else {
    auto reader = io::LineReader::open(path).value();
    while (const auto line = reader.next().value())
      if (!line->empty()) prompts.emplace_back(*line);
  }
  if (prompts.empty()) throw_error(fmt::format("there is no prompt in '{}'", path));
  return prompts;
}

std::vector<Prompt> prompts_of(const Options& options, const LanguageModel& model) {
  if (options.ids) return {{std::nullopt, parse_ids(*options.ids)}};
  if (!model.tokenizer)
    throw_error(
        fmt::format("there is no tokenizer beside '{}', so it takes no --prompt; name one with "
                    "--tokenizer, or give --ids",
                    options.model));
  std::vector<Prompt> prompts;
  for (const std::string& text :
       options.prompts_file ? read_prompts(*options.prompts_file) : options.prompts)
    prompts.push_back({text, model.tokenizer->encode(text, {.add_special = true})});
  return prompts;
}

// Throws UsageError for what is wrong whatever the model.
void check(const Options& options, const Session& session) {
  if (options.kv) kv_type(*options.kv);
  check_sampling_flags(options.sampling, session);
  const int given = static_cast<int>(!options.prompts.empty()) +
                    static_cast<int>(options.prompts_file.has_value()) +
                    static_cast<int>(options.ids.has_value());
  if (given != 1)
    throw UsageError("cairn generate needs one of --prompt and --ids: what to go on from");
  if (std::ranges::any_of(options.stop, &std::string::empty))
    throw UsageError("--stop takes a text that is not empty");
}

// Tokens that the cache has room for: no more than the longest text can need.
int64_t context_of(const Options& options, const std::vector<Prompt>& prompts,
                   const LanguageModel& model, const Session& session) {
  const int64_t trained = model.transformer->config().context;
  const int64_t context = options.context.value_or(trained);
  if (context > trained)
    session.note(fmt::format("a context of {} tokens is beyond the {} that the model is made for",
                             context, trained));
  size_t longest = 0;
  for (const Prompt& prompt : prompts) longest = std::max(longest, prompt.ids.size());
  const auto size = static_cast<int64_t>(longest);
  if (size >= context) return context;
  return size + std::min(context - size, options.max_tokens);
}

Json result_json(const Generated& result, const Prompt& prompt, const LanguageModel& model) {
  return {{"text", model.tokenizer ? Json(text::replace_invalid_utf8(result.text)) : Json(nullptr)},
          {"ids", result.ids},
          {"prompt_ids", prompt.ids},
          {"stop_reason", name(result.reason)},
          {"prompt_tokens_per_s", result.prompt_tokens_per_second()},
          {"tokens_per_s", result.tokens_per_second()}};
}

// One text shows itself as it comes; on a terminal its prompt stands before it.
std::vector<Generated> run_one(TextGenerator& generator, const GenerationRequest& request,
                               const Prompt& prompt, const LanguageModel& model,
                               GenerationWatch watch, Session& session) {
  if (!session.common.json) {
    if (session.out_terminal.is_terminal && prompt.text)
      session.out.write(session.out_terminal.dim(*prompt.text));
    if (model.tokenizer)
      watch.text = [&](size_t, std::string_view piece) {
        session.out.write(piece);
        session.out.flush();
      };
    else
      watch.token = [&, first = true](size_t, int32_t id) mutable {
        session.out.write(fmt::format("{}{}", first ? "" : ",", id));
        session.out.flush();
        first = false;
      };
  }
  auto results = generator.run(std::span(&request, 1), watch);
  if (!session.common.json && (session.out_terminal.is_terminal || !model.tokenizer))
    session.out.write("\n");
  return results;
}

// Several are shown when all are there, each behind its prompt.
std::vector<Generated> run_several(TextGenerator& generator,
                                   const std::vector<GenerationRequest>& requests,
                                   const std::vector<Prompt>& prompts, GenerationWatch watch,
                                   Session& session) {
  Progress progress = session.progress();
  size_t made = 0;
  watch.token = [&](size_t, int32_t) {
    ++made;
    progress.update([&] { return fmt::format("{} tokens of {} texts", made, prompts.size()); });
  };
  auto results = generator.run(requests, watch);
  progress.clear();
  if (session.common.json) return results;
  for (size_t i = 0; i < results.size(); ++i) {
    if (i > 0) session.out.write("\n");
    session.out.line(session.out_terminal.dim(*prompts[i].text) + results[i].text);
  }
  return results;
}

void note_speed(const std::vector<Generated>& results, const TextGenerator& generator,
                double seconds, const Session& session) {
  const auto dim = [&](const std::string& text) { session.note(session.err_terminal.dim(text)); };
  const Generated& first = results[0];
  if (results.size() == 1) {
    dim(fmt::format("{}; prompt of {} tokens at {} tokens/s", length_and_rate(first),
                    first.prompt_tokens, plot::human_count(first.prompt_tokens_per_second())));
  } else {
    size_t tokens = 0;
    for (const Generated& result : results) tokens += result.ids.size();
    dim(fmt::format("{} tokens of {} texts in {} s", tokens, results.size(),
                    plot::human_count(seconds)));
  }
  if (std::ranges::any_of(results,
                          [](const Generated& r) { return r.reason == StopReason::context; }))
    session.note(fmt::format(
        "the context of {} tokens is full; --context-shift forgets the older half and goes on",
        generator.context()));
}

int run(const Options& options, Session& session) {
  check(options, session);
  const KvType kv = kv_type_for(options.kv, options.model, session);
  const auto runtime = session.make_computing_runtime();
  const LanguageModel model = load_model_to_run(
      options.model, options.tokenizer, *runtime,
      {.tokens = std::max<int64_t>(options.context.value_or(options.max_tokens), 1), .kv = kv},
      session);
  if (!model.left_out.empty())
    session.note(fmt::format("text part only: cairn does not run the model's {}", model.left_out));
  const std::vector<Prompt> prompts = prompts_of(options, model);
  const GenerationOptions generation{.sampling = sampling_of(options.sampling, model, session),
                                     .max_tokens = options.max_tokens,
                                     .stop = options.stop,
                                     .ignore_eos = options.ignore_eos,
                                     .context_shift = options.context_shift,
                                     .keep = options.keep};
  TextGenerator generator(*runtime, model,
                          {.context = context_of(options, prompts, model, session),
                           .texts = static_cast<int>(prompts.size()),
                           .kv = kv,
                           .precision = session.precision(),
                           .activations = session.activations()});
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts)
    requests.push_back({generator.open(), prompt.ids, generation});

  const StopFlag::TakeOver take_over(session.stop);
  const GenerationWatch watch{.stop = [&] { return session.stop.requested(); }};
  const double start = monotonic_seconds();
  const std::vector<Generated> results =
      prompts.size() == 1 ? run_one(generator, requests[0], prompts[0], model, watch, session)
                          : run_several(generator, requests, prompts, watch, session);
  if (session.common.json)
    for (size_t i = 0; i < results.size(); ++i)
      print_json(session.out, result_json(results[i], prompts[i], model));
  session.out.flush();
  if (!session.common.json) note_speed(results, generator, monotonic_seconds() - start, session);
  return session.stop.requested() ? session.stop.status() : 0;
}

}  // namespace

void add_generate(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command =
      program.command("generate", "Let a language model go on with a text.", kModels);
  command.model(options->model,
                "a Hugging Face folder, what cairn train wrote, a GGUF file, or a llama2.c .bin");
  command.option("--prompt", "TEXT", options->prompts,
                 "the text to go on from; several are written at once");
  command.option("--prompts", "FILE", options->prompts_file,
                 "a prompt a line, or of a .jsonl file the lines' \"prompt\"");
  command.option("--ids", "IDS", options->ids,
                 "token ids to go on from, used as given: 1,2,3, or @FILE with a JSON list");
  command.option("--tokenizer", "PATH", options->tokenizer, "in place of the model's own");
  command.option("--max-tokens", "N", options->max_tokens,
                 "at most so many new tokens (default: 256)");
  add_sampling_options(command, options->sampling);
  command.option("--stop", "TEXT", options->stop,
                 "end before this text; may be given several times");
  command.flag("--ignore-eos", options->ignore_eos, "go on after the end of text");
  command.option(
      "--kv", "TYPE", options->kv,
      "what keys and values are kept in: f32, f16 or q8_0 (default: f16; f32 if the model is)");
  command.option("--context", "N", options->context,
                 "tokens of prompt and text at most (default: what the model is made for)", 1);
  command.flag("--context-shift", options->context_shift,
               "when the context is full, forget the older half of it and go on");
  command.option("--keep", "N", options->keep,
                 "the first N tokens are never forgotten, at most half of the context (default: "
                 "what the tokenizer puts before every text)");
  command.example(
      "cairn generate --model stories260K.bin --prompt \"Once upon a time\" --max-tokens 40 "
      "--temperature 0");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
