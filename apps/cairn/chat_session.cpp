#include "apps/cairn/chat_session.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "apps/cairn/json.h"
#include "apps/cairn/sampling_options.h"
#include "cairn/base/file.h"
#include "cairn/base/names.h"
#include "cairn/text/utf8.h"

namespace cairn::app {
namespace {

constexpr uint64_t kLargestFile = uint64_t{16} << 20;  // bytes; a context holds less

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\n");
  if (first == text.npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\n") - first + 1));
}

// The file beside a session's that has its keys and values.
std::string cache_of(const std::string& file) { return file + ".cache"; }

bool is_there(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// What a model wrote, as a terminal may have it: control characters would move its cursor, or more.
std::string for_terminal(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const text::Utf8Character character = text::decode_utf8(text);
    const char32_t c = character.code_point;
    const bool is_control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
    if (is_control)
      text::append_utf8(shown, 0xFFFD);
    else
      shown += text.substr(0, character.size);
    text.remove_prefix(character.size);
  }
  return shown;
}

std::string required(const std::string& argument, const char* what) {
  if (argument.empty()) throw UsageError(fmt::format("{} is missing", what));
  return argument;
}

}  // namespace

struct ChatSession::CommandRow {
  std::string_view name, argument, help;
  // Takes what stands behind the name; false ends the chat.
  std::function<bool(ChatSession&, const std::string&)> run;
};

const ChatSession::CommandRow ChatSession::kCommands[] = {
    {"/help", "", "this list", [](ChatSession& s, const std::string&) { return s.help(), true; }},
    {"/system", "[TEXT]", "what the model is told before all else; without TEXT, nothing",
     [](ChatSession& s, const std::string& text) { return s.chat_.set_system(text), true; }},
    {"/retry", "", "another answer to the last question",
     [](ChatSession& s, const std::string&) { return s.retry(), true; }},
    {"/undo", "", "take the last question and its answer back",
     [](ChatSession& s, const std::string&) {
       s.tell(s.chat_.undo() ? "taken back" : "there is nothing to take back");
       return true;
     }},
    {"/reset", "", "forget what was said; the system's text stays",
     [](ChatSession& s, const std::string&) { return s.chat_.reset(), s.tell("forgotten"), true; }},
    {"/file", "PATH", "a file's text goes before the next question",
     [](ChatSession& s, const std::string& path) { return s.add_file(path), true; }},
    {"/save", "FILE", "the conversation as JSON",
     [](ChatSession& s, const std::string& path) {
       s.save(required(path, "/save FILE: the file"));
       s.tell("saved");
       return true;
     }},
    {"/load", "FILE", "go on with a conversation that was saved",
     [](ChatSession& s, const std::string& path) {
       s.load(required(path, "/load FILE: the file"));
       s.tell(fmt::format("{} messages", s.chat_.messages().size()));
       return true;
     }},
    {"/set", "NAME=VALUE", "temperature, top-k, max-tokens, seed, ...; without it, what is set",
     [](ChatSession& s, const std::string& assignment) { return s.set(assignment), true; }},
    {"/stats", "", "figures after each answer, or no more",
     [](ChatSession& s, const std::string&) {
       s.settings_.stats = !s.settings_.stats;
       s.tell(s.settings_.stats ? "figures after each answer" : "no figures");
       return true;
     }},
    {"/exit", "", "end the chat, as Ctrl-D does",
     [](ChatSession&, const std::string&) { return false; }},
};

void ChatSession::tell(std::string_view text) const {
  session_.out.flush();
  const std::string line = session_.err_terminal.dim(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void ChatSession::help() const {
  std::string text;
  for (const CommandRow& row : kCommands)
    text += fmt::format("{:<18} {}\n", fmt::format("{} {}", row.name, row.argument), row.help);
  text += "A line that ends with \\ goes on, as after Alt-Enter. Ctrl-C stops an answer.";
  tell(text);
}

bool ChatSession::take(const std::string& line) {
  const std::string text = trimmed(line);
  interrupted_ = false;
  if (text.empty()) return true;
  if (text[0] == '/') return command(text);
  ask(text);
  return true;
}

bool ChatSession::command(const std::string& line) {
  const size_t end = std::min(line.find_first_of(" \n"), line.size());
  const std::string name = line.substr(0, end);
  if (name == "/quit") return false;
  std::vector<std::string> known;
  for (const CommandRow& row : kCommands) {
    known.emplace_back(row.name);
    if (row.name == name) return row.run(*this, trimmed(line.substr(end)));
  }
  throw UsageError(fmt::format("there is no command {}; {}", name, suggest(name, known)));
}

GenerationWatch ChatSession::watch() {
  GenerationWatch watch;
  watch.stop = [this] { return session_.stop.requested(); };
  if (!session_.common.json)
    watch.text = [this](size_t, std::string_view piece) {
      session_.out.write(settings_.terminal ? for_terminal(piece) : std::string(piece));
      session_.out.flush();
    };
  return watch;
}

void ChatSession::ask(const std::string& question) {
  const Generated answer = chat_.say(attached_ + question, settings_.generation, watch());
  attached_.clear();
  show(answer);
}

void ChatSession::retry() {
  ++settings_.generation.sampling.seed;
  const auto answer = chat_.retry(settings_.generation, watch());
  if (!answer) return tell("there is no question yet");
  show(*answer);
}

void ChatSession::show(const Generated& answer) {
  interrupted_ = answer.reason == StopReason::interrupted;
  answered_ = true;
  if (session_.common.json) {
    print_json(session_.out, {{"text", text::replace_invalid_utf8(answer.text)},
                              {"ids", answer.ids},
                              {"stop_reason", name(answer.reason)},
                              {"prompt_tokens", answer.prompt_tokens},
                              {"reused_tokens", answer.reused_tokens},
                              {"prompt_tokens_per_s", answer.prompt_tokens_per_second()},
                              {"tokens_per_s", answer.tokens_per_second()}});
  } else {
    session_.out.write("\n");
    session_.out.flush();
  }
  if (answer.reason == StopReason::context)
    session_.note(
        "(the context is full; /reset or /undo makes room, and with --context-shift the "
        "oldest turns make it by themselves)");
  if (answer.reason == StopReason::length) session_.note("(the answer reached max-tokens)");
  if (interrupted_ && settings_.terminal) tell("(stopped)");
  if (settings_.stats)
    tell(fmt::format("{}; prompt of {} tokens, {} of them kept, {} tokens/s",
                     length_and_rate(answer), answer.prompt_tokens, answer.reused_tokens,
                     plot::human_count(answer.prompt_tokens_per_second())));
  if (settings_.file) save(*settings_.file);
}

void ChatSession::set(const std::string& assignment) {
  GenerationOptions& g = settings_.generation;
  SamplingOptions& s = g.sampling;
  if (assignment.empty())
    return tell(fmt::format(
        "temperature={} top-k={} typical-p={} top-p={} min-p={} repeat-penalty={} "
        "repeat-last-n={} frequency-penalty={} presence-penalty={} max-tokens={} seed={}",
        s.temperature, s.top_k, s.typical_p, s.top_p, s.min_p, s.repeat_penalty, s.repeat_last_n,
        s.frequency_penalty, s.presence_penalty, g.max_tokens, s.seed));
  const size_t equals = assignment.find('=');
  if (equals == assignment.npos)
    throw UsageError(fmt::format("/set takes NAME=VALUE, not '{}'", assignment));
  set_generation(g, trimmed(assignment.substr(0, equals)), trimmed(assignment.substr(equals + 1)));
}

void ChatSession::add_file(const std::string& path) {
  const std::string text = read_file(required(path, "/file PATH: the file"), kLargestFile).value();
  if (!text::is_valid_utf8(text))
    throw_error(fmt::format("'{}' is no UTF-8 text, so it cannot be asked about", path));
  attached_ += text;
  if (!text.ends_with('\n')) attached_ += '\n';
  tell(fmt::format("{} goes before the next question", plot::human_bytes(text.size())));
}

void ChatSession::save(const std::string& path) {
  write_file_atomically(path, conversation_json(chat_.messages())).value();
}

void ChatSession::load(const std::string& path) {
  const auto messages = parse_conversation(read_file(path, kLargestFile).value());
  if (!messages)
    throw_error(
        fmt::format("'{}' is no conversation of cairn chat: {}", path, messages.error().what()));
  chat_.set_messages(messages.value());
}

void ChatSession::open_file() {
  if (!settings_.file || !is_there(*settings_.file)) return;
  load(*settings_.file);
  const std::string cache = cache_of(*settings_.file);
  if (!is_there(cache)) return;
  try {
    chat_.load_cache(cache);
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    session_.note(
        fmt::format("{}; nothing is lost: the conversation is read from its start, and the "
                    "file is written anew at the end",
                    error.what()));
  }
}

void ChatSession::close_file() const {
  if (settings_.file && answered_) chat_.save_cache(cache_of(*settings_.file));
}

}  // namespace cairn::app
