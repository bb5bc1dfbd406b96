// Keys of a terminal, from the bytes that it sends (xterm's sequences, which all terminals of today
// send; bracketed paste).
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace cairn::app {

enum class KeyKind {
  text,     // a character that was typed, or what was pasted
  enter,    //
  newline,  // Alt-Enter, Shift-Enter where the terminal tells it from Enter
  backspace,
  erase,  // Delete
  left,
  right,
  up,
  down,
  home,
  end,
  word_left,
  word_right,
  kill_to_end,    // Ctrl-K
  kill_to_start,  // Ctrl-U
  kill_word,      // Ctrl-W, Alt-Backspace
  clear_screen,   // Ctrl-L
  interrupt,      // Ctrl-C
  end_of_file,    // Ctrl-D
  other,          // what means nothing here
};

struct Key {
  KeyKind kind = KeyKind::other;
  std::string text = {};
};

// The next byte; nothing when none comes within so many milliseconds (-1: wait), or none ever will.
using ByteSource = std::function<std::optional<unsigned char>(int wait)>;

// Nothing when there are no bytes any more.
std::optional<Key> read_key(const ByteSource& next);

}  // namespace cairn::app
