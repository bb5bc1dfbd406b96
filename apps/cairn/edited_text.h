// A text of one or more lines that is being typed, and what was typed before. No terminal in it.
#pragma once

#include <string>
#include <vector>

#include "apps/cairn/keys.h"

namespace cairn::app {

class EditedText {
 public:
  // Changes the text or the cursor as a key does. Enter, newline and what ends a text are the
  // caller's, up and down only where there is no other line to go to: see move_lines.
  void press(const Key& key);
  void insert(std::string_view text);

  // To another line; false when there is none in that direction.
  bool move_lines(int by);
  // To what was typed before, or after that again; false when there is nothing.
  bool recall(int by);
  // Ends the text: it is returned, remembered, and a new one begins.
  std::string take();
  void clear();

  const std::string& text() const { return text_; }
  size_t cursor() const { return cursor_; }  // in bytes, between two characters
  void remember(const std::string& text);

 private:
  size_t before(size_t at) const;  // the start of the character before, or 0
  size_t after(size_t at) const;
  size_t word_before() const;
  size_t word_after() const;
  size_t line_start() const;
  size_t line_end() const;
  void erase(size_t from, size_t to);
  std::string text_;
  size_t cursor_ = 0;
  std::vector<std::string> history_;
  size_t recalled_ = 0;  // index into history_; its size: the text being typed
  std::string unsent_;   // that text while others are shown
};

// A text as rows of a terminal, each behind a prompt or as much space.
struct TextRows {
  std::vector<std::string> rows;
  size_t cursor_row = 0;
  int cursor_column = 0;
};
TextRows rows_of(const EditedText& text, std::string_view prompt, int prompt_width, int width);

}  // namespace cairn::app
