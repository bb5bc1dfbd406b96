// A line editor for a terminal: several lines, history, bracketed paste, UTF-8.
//
// Our own, as docs/adr/0020-line-editor.md says.
#pragma once

#include <termios.h>

#include <optional>
#include <string>

#include "apps/cairn/edited_text.h"
#include "apps/cairn/session.h"

namespace cairn::app {

// stdin's terminal without its own line editing while this lives: keys come as they are pressed.
// Ctrl-C is a signal while `answering`, else a key.
class RawTerminal {
 public:
  RawTerminal();
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  void set_answering(bool answering);

 private:
  termios before_{};
};

class LineEditor {
 public:
  // Whether the terminal moves its cursor as it is told: not where TERM is "dumb" or missing.
  static bool is_possible();

  explicit LineEditor(Session& session) : session_(session) {}

  // A text that ends with Enter; "\" before Enter goes on in a new line, and so does Alt-Enter.
  // Nothing at its end: Ctrl-D in an empty text, or a signal. Ctrl-C drops the text.
  std::optional<std::string> read(const std::string& prompt);
  void remember(const std::string& text) { text_.remember(text); }

 private:
  std::optional<unsigned char> byte(int wait);
  bool press(const Key& key);
  void draw(const std::string& prompt);
  void leave();
  Session& session_;
  EditedText text_;
  std::string read_;  // bytes that came and are not used
  size_t above_ = 0;  // rows of what is drawn that are above the cursor
  size_t rows_ = 0;   // and in all
};

}  // namespace cairn::app
