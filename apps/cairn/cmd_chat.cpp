// cairn chat: a conversation with a language model, on a terminal or over lines.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "apps/cairn/chat_session.h"
#include "apps/cairn/commands.h"
#include "apps/cairn/line_editor.h"
#include "apps/cairn/model_files.h"
#include "apps/cairn/sampling_options.h"

namespace cairn::app {
namespace {

// The cache of a context that nobody asked for takes no more than a laptop has to spare.
constexpr int64_t kUsualContext = 8192;

struct Options {
  std::string model;
  std::optional<std::string> tokenizer, chat_template, system, file;
  std::optional<int64_t> context, max_tokens;
  std::optional<std::string> kv;
  SamplingFlags sampling;
  std::vector<std::string> stop;
  bool context_shift = false, stats = false;
};

text::ModelTemplate template_of(const Options& options) {
  std::error_code ignored;
  try {
    return find_template(options.model, options.chat_template, false);
  } catch (const Error& error) {
    if (options.chat_template || !std::filesystem::exists(options.model, ignored)) throw;
    throw_error(
        fmt::format("{}; a model that was not made for conversations goes on with a text: "
                    "cairn generate",
                    error.what()));
  }
}

// Throws UsageError for what is wrong whatever the model.
void check(const Options& options, const Session& session) {
  if (options.kv) kv_type(*options.kv);
  if (std::ranges::any_of(options.stop, &std::string::empty))
    throw UsageError("--stop takes a text that is not empty");
  check_sampling_flags(options.sampling, session);
}

LanguageModel load(const Options& options, KvType kv, Runtime& runtime, Session& session) {
  LanguageModel model =
      load_model_to_run(options.model, options.tokenizer, runtime,
                        {.tokens = options.context.value_or(kUsualContext), .kv = kv}, session);
  if (!model.left_out.empty())
    session.note(fmt::format("text part only: cairn does not run the model's {}", model.left_out));
  if (!model.tokenizer)
    throw_error(
        fmt::format("there is no tokenizer beside '{}'; name one with --tokenizer", options.model));
  for (const int id : turn_ends(*model.tokenizer))
    if (!model.is_end(id)) model.ends.push_back(id);
  return model;
}

int64_t context_of(const Options& options, const LanguageModel& model, const Session& session) {
  const int64_t trained = model.transformer->config().context;
  const int64_t context = options.context.value_or(std::min(trained, kUsualContext));
  if (context > trained)
    session.note(fmt::format("a context of {} tokens is beyond the {} that the model is made for",
                             context, trained));
  if (!options.context && context < trained)
    session.note(
        fmt::format("a context of {} tokens; the model is made for {}: --context asks for "
                    "more",
                    context, trained));
  return context;
}

// The next line; "\" at its end goes on in another. Nothing at the end.
std::optional<std::string> next_line() {
  std::optional<std::string> text;
  for (std::string line; std::getline(std::cin, line);) {
    text = text.value_or("") + line;
    if (!text->ends_with('\\')) break;
    text->back() = '\n';
  }
  return text;
}

// Lines of a pipe or file.
int chat_over_lines(ChatSession& chat, Session& session) {
  while (const auto line = next_line()) {
    const StopFlag::TakeOver take_over(session.stop);
    const bool more = chat.take(*line);
    if (chat.interrupted() || session.stop.requested()) return session.stop.status();
    if (!more) break;
  }
  return 0;
}

// A person's line: a mistake is told and the chat goes on. False when it ends the chat.
bool take_told(ChatSession& chat, const std::string& line, Session& session) {
  bool more = true;
  try {
    more = chat.take(line);
  } catch (const Error& error) {
    session.out.flush();
    session.complain(error.what());
  } catch (const UsageError& error) {
    session.complain(error.what());
  }
  session.stop.forget_interrupt();
  return more && !session.stop.requested();
}

int chat_on_terminal(ChatSession& chat, const Chat& conversation, Session& session) {
  const StopFlag::TakeOver take_over(session.stop);
  RawTerminal terminal;
  LineEditor editor(session);
  for (const ChatMessage& m : conversation.messages())
    if (m.role == "user") editor.remember(m.content);
  while (const auto line = editor.read("> ")) {
    terminal.set_answering(true);
    const bool more = take_told(chat, *line, session);
    terminal.set_answering(false);
    if (!more) break;
  }
  return session.stop.requested() ? session.stop.status() : 0;
}

// A terminal whose cursor cannot be moved edits its lines itself.
int chat_on_plain_terminal(ChatSession& chat, Session& session) {
  for (;;) {
    session.out.write("> ");
    session.out.flush();
    const auto line = next_line();
    if (!line) break;
    const StopFlag::TakeOver take_over(session.stop);
    if (!take_told(chat, *line, session)) break;
  }
  session.out.write("\n");
  return session.stop.requested() ? session.stop.status() : 0;
}

int run(const Options& options, Session& session) {
  check(options, session);
  const text::ModelTemplate source = template_of(options);
  const KvType kv = kv_type_for(options.kv, options.model, session);
  const auto runtime = session.make_computing_runtime();
  const LanguageModel model = load(options, kv, *runtime, session);
  const ChatFormat format(source, *model.tokenizer);
  TextGenerator generator(*runtime, model,
                          {.context = context_of(options, model, session),
                           .kv = kv,
                           .precision = session.precision(),
                           .activations = session.activations()});
  Chat conversation(generator, format);
  const bool on_terminal =
      isatty(STDIN_FILENO) == 1 && session.out_terminal.is_terminal && !session.common.json;
  ChatSettings settings;
  settings.generation = {.sampling = sampling_of(options.sampling, model, session),
                         .max_tokens = options.max_tokens.value_or(generator.context()),
                         .stop = options.stop,
                         .context_shift = options.context_shift};
  settings.stats = options.stats;
  settings.terminal = on_terminal;
  settings.file = options.file;
  ChatSession chat(session, conversation, settings);
  chat.open_file();
  if (options.system) conversation.set_system(*options.system);
  if (on_terminal)
    session.note(session.err_terminal.dim(
        fmt::format("{}: a context of {} tokens. /help lists commands, Ctrl-D ends.", options.model,
                    generator.context())));
  if (on_terminal && !conversation.messages().empty() && options.file)
    session.note(session.err_terminal.dim(fmt::format(
        "{} has {} messages; /reset forgets them", *options.file, conversation.messages().size())));
  int status = 0;
  if (!on_terminal)
    status = chat_over_lines(chat, session);
  else if (LineEditor::is_possible())
    status = chat_on_terminal(chat, conversation, session);
  else
    status = chat_on_plain_terminal(chat, session);
  chat.close_file();
  return status;
}

}  // namespace

void add_chat(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command = program.command("chat", "Talk with a language model.", kModels);
  command.model(options->model,
                "a Hugging Face folder, a GGUF file, or what cairn train wrote, with a chat "
                "template");
  command.option("--system", "TEXT", options->system,
                 "what the model is told before all else: who it is, how to answer");
  command.option("--context", "N", options->context,
                 "tokens of the conversation at most (default: what the model is made for, at most "
                 "8192)",
                 1);
  command.flag("--context-shift", options->context_shift,
               "when the context is full, leave the oldest turns out instead of ending");
  command.option("--session", "FILE", options->file,
                 "keep the conversation in this file, and its keys and values in FILE.cache; go on "
                 "with what they have");
  command.option("--template", "FILE", options->chat_template,
                 "a Jinja template in place of the model's own");
  command.option("--tokenizer", "PATH", options->tokenizer, "in place of the model's own");
  command.option("--max-tokens", "N", options->max_tokens,
                 "of an answer at most (default: up to its end)");
  command.option("--stop", "TEXT", options->stop,
                 "end an answer before this text; may be given several times");
  add_sampling_options(command, options->sampling);
  command.option(
      "--kv", "TYPE", options->kv,
      "what keys and values are kept in: f32, f16 or q8_0 (default: f16; f32 if the model is)");
  command.flag("--stats", options->stats, "figures after each answer");
  command.example(
      "cairn chat --model MODEL --system \"Answer in one sentence.\"\n"
      "echo \"What is a cairn?\" | cairn chat --model MODEL --temperature 0");
  command.run([options](Session& session) { return run(*options, session); }, Computes::products);
}

}  // namespace cairn::app
