#include "apps/cairn/edited_text.h"

#include <algorithm>

#include "cairn/plot/terminal.h"
#include "cairn/text/utf8.h"

namespace cairn::app {
namespace {

// Bytes of the character at the front: a code point and the marks on it, which take no column.
size_t character_size(std::string_view text) {
  size_t size = text::decode_utf8(text).size;
  while (size < text.size()) {
    const size_t more = text::decode_utf8(text.substr(size)).size;
    if (text[size] == '\n' || static_cast<unsigned char>(text[size]) < 0x80 ||
        plot::display_width(text.substr(size, more)) != 0)
      break;
    size += more;
  }
  return size;
}

// What a terminal shows of one character: control characters would move its cursor.
std::string shown(std::string_view character) {
  if (character == "\t") return "    ";
  const char32_t c = text::decode_utf8(character).code_point;
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return "?";
  return std::string(character);
}

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t'; }

}  // namespace

size_t EditedText::before(size_t at) const {
  size_t start = 0;
  for (size_t i = 0; i < at; i += character_size(std::string_view(text_).substr(i))) start = i;
  return start;
}

size_t EditedText::after(size_t at) const {
  return at == text_.size() ? at : at + character_size(std::string_view(text_).substr(at));
}

size_t EditedText::word_before() const {
  size_t at = cursor_;
  while (at > 0 && is_space(text_[at - 1])) --at;
  while (at > 0 && !is_space(text_[at - 1])) --at;
  return at;
}

size_t EditedText::word_after() const {
  size_t at = cursor_;
  while (at < text_.size() && is_space(text_[at])) ++at;
  while (at < text_.size() && !is_space(text_[at])) ++at;
  return at;
}

size_t EditedText::line_start() const {
  return cursor_ == 0 ? 0 : text_.rfind('\n', cursor_ - 1) + 1;  // npos + 1 is 0
}
size_t EditedText::line_end() const { return std::min(text_.find('\n', cursor_), text_.size()); }

void EditedText::erase(size_t from, size_t to) {
  text_.erase(from, to - from);
  cursor_ = from;
}

void EditedText::insert(std::string_view text) {
  text_.insert(cursor_, text);
  cursor_ += text.size();
}

void EditedText::press(const Key& key) {
  switch (key.kind) {
    case KeyKind::text: return insert(key.text);
    case KeyKind::backspace: return erase(before(cursor_), cursor_);
    case KeyKind::erase: return erase(cursor_, after(cursor_));
    case KeyKind::left: cursor_ = before(cursor_); return;
    case KeyKind::right: cursor_ = after(cursor_); return;
    case KeyKind::home: cursor_ = line_start(); return;
    case KeyKind::end: cursor_ = line_end(); return;
    case KeyKind::word_left: cursor_ = word_before(); return;
    case KeyKind::word_right: cursor_ = word_after(); return;
    case KeyKind::kill_to_end: return erase(cursor_, line_end());
    case KeyKind::kill_to_start: return erase(line_start(), cursor_);
    case KeyKind::kill_word: return erase(word_before(), cursor_);
    case KeyKind::up:
      if (!move_lines(-1)) recall(-1);
      return;
    case KeyKind::down:
      if (!move_lines(1)) recall(1);
      return;
    default: return;
  }
}

bool EditedText::move_lines(int by) {
  const size_t start = line_start();
  size_t to = 0;
  if (by < 0) {
    if (start == 0) return false;
    const size_t column = cursor_ - start;
    const size_t above = start == 1 ? 0 : text_.rfind('\n', start - 2) + 1;
    to = std::min(above + column, start - 1);
  } else {
    const size_t end = line_end();
    if (end == text_.size()) return false;
    to = std::min(end + 1 + (cursor_ - start), std::min(text_.find('\n', end + 1), text_.size()));
  }
  // Bytes are not columns: go back to where a character begins.
  while (to > 0 && to < text_.size() && (text_[to] & 0xC0) == 0x80) --to;
  cursor_ = to;
  return true;
}

bool EditedText::recall(int by) {
  if (by < 0 ? recalled_ == 0 : recalled_ == history_.size()) return false;
  if (recalled_ == history_.size()) unsent_ = text_;
  recalled_ += static_cast<size_t>(by);
  text_ = recalled_ == history_.size() ? unsent_ : history_[recalled_];
  cursor_ = text_.size();
  return true;
}

std::string EditedText::take() {
  std::string taken = std::move(text_);
  remember(taken);
  clear();
  return taken;
}

void EditedText::clear() {
  text_.clear();
  unsent_.clear();
  cursor_ = 0;
  recalled_ = history_.size();
}

void EditedText::remember(const std::string& text) {
  if (!text.empty() && (history_.empty() || history_.back() != text)) history_.push_back(text);
  recalled_ = history_.size();
}

TextRows rows_of(const EditedText& edited, std::string_view prompt, int prompt_width, int width) {
  const std::string space(static_cast<size_t>(prompt_width), ' ');
  const std::string_view text = edited.text();
  const int most = std::max(width - 1, prompt_width + 4);
  TextRows out{{std::string(prompt)}};
  int column = prompt_width;
  const auto new_row = [&] {
    out.rows.push_back(space);
    column = prompt_width;
  };
  for (size_t i = 0;;) {
    if (i == edited.cursor()) {
      out.cursor_row = out.rows.size() - 1;
      out.cursor_column = column;
    }
    if (i == text.size()) break;
    if (text[i] == '\n') {
      new_row();
      ++i;
      continue;
    }
    const size_t size = character_size(text.substr(i));
    const std::string character = shown(text.substr(i, size));
    const int columns = plot::display_width(character);
    if (column + columns > most) {
      new_row();
      if (i == edited.cursor()) {
        out.cursor_row = out.rows.size() - 1;
        out.cursor_column = column;
      }
    }
    out.rows.back() += character;
    column += columns;
    i += size;
  }
  return out;
}

}  // namespace cairn::app
