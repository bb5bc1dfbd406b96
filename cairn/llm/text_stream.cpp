#include "cairn/llm/text_stream.h"

#include <algorithm>

#include "cairn/text/utf8.h"

namespace cairn {

std::string TextStream::push(std::string_view bytes) {
  if (stopped_) return {};
  text_ += bytes;
  // A stop text begins at or behind shown_: its start was held back.
  size_t end = text_.size();
  for (const std::string& stop : stops_)
    if (const size_t at = text_.find(stop, shown_); at < end) {
      stopped_ = true;
      end = at;
    }
  if (stopped_) {
    text_.resize(end);
    return show(end);
  }
  size_t until = text::whole_characters(text_);
  for (const std::string& stop : stops_)
    for (size_t size = std::min(stop.size() - 1, text_.size() - shown_); size > 0; --size)
      if (text_.ends_with(std::string_view(stop).substr(0, size))) {
        until = std::min(until, text_.size() - size);
        break;
      }
  return show(until);
}

std::string TextStream::finish() { return show(text_.size()); }

std::string TextStream::show(size_t until) {
  until = std::max(until, shown_);
  std::string out = text_.substr(shown_, until - shown_);
  shown_ = until;
  return out;
}

}  // namespace cairn
