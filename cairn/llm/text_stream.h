// The text of a stream of tokens, as it may be shown: whole characters, up to a stop text, and
// without what could yet become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn {

class TextStream {
 public:
  // `stops` are not empty texts; the first of them to appear ends the text before it.
  explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Takes more bytes; returns what can be shown now. Nothing is taken after a stop text.
  std::string push(std::string_view bytes);
  // What was held back, when nothing more comes: bytes that may be part of a character.
  std::string finish();
  bool stopped() const { return stopped_; }
  // All of it, a stop text and what is behind it left out.
  const std::string& text() const { return text_; }

 private:
  std::string show(size_t until);
  std::vector<std::string> stops_;
  std::string text_;
  size_t shown_ = 0;
  bool stopped_ = false;
};

}  // namespace cairn
