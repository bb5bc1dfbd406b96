// A conversation at work: what is said, settings, /commands, answers as they come. Where lines come
// from is the caller's.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "apps/cairn/session.h"
#include "cairn/llm/chat.h"

namespace cairn::app {

struct ChatSettings {
  GenerationOptions generation;
  bool stats = false;     // figures after each answer
  bool terminal = false;  // for a person: a failed turn is told and the chat goes on
  // The conversation is kept here after each turn, and its keys and values in a file beside it when
  // the chat ends: they have the size of many conversations.
  std::optional<std::string> file = {};
};

class ChatSession {
 public:
  ChatSession(Session& session, Chat& chat, ChatSettings settings)
      : session_(session), chat_(chat), settings_(std::move(settings)) {}

  // A line of the user's: a question, or a command after '/'. False when it ends the chat. Throws
  // Error and UsageError for what went wrong; the conversation is as before then.
  bool take(const std::string& line);
  // Throws Error when the file has no conversation.
  void load(const std::string& path);
  // Goes on with the session's file where there is one: with its conversation and, when they are of
  // this model, with the keys and values beside it.
  void open_file();
  // Keeps those for the next time, when there is something new.
  void close_file() const;
  // Whether the last answer was stopped by Ctrl-C.
  bool interrupted() const { return interrupted_; }

 private:
  struct CommandRow;
  static const CommandRow kCommands[];
  bool command(const std::string& line);
  void ask(const std::string& question);
  void retry();
  void show(const Generated& answer);
  GenerationWatch watch();
  void set(const std::string& assignment);
  void add_file(const std::string& path);
  void save(const std::string& path);
  void help() const;
  void tell(std::string_view text) const;

  Session& session_;
  Chat& chat_;
  ChatSettings settings_;
  std::string attached_;  // files' text that goes before the next question
  bool interrupted_ = false;
  bool answered_ = false;  // since it was opened
};

}  // namespace cairn::app
