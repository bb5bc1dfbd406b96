#include "apps/cairn/keys.h"

#include <algorithm>
#include <string_view>

#include "cairn/text/utf8.h"

namespace cairn::app {
namespace {

constexpr unsigned char kEscape = 0x1B;
// A terminal sends a sequence at once; a person who presses Escape sends nothing behind it.
constexpr int kSequenceWait = 50;

struct Named {
  std::string_view sequence;  // behind "\033[" or "\033O"
  KeyKind kind;
};
constexpr Named kSequences[] = {
    {"A", KeyKind::up},           {"B", KeyKind::down},           {"C", KeyKind::right},
    {"D", KeyKind::left},         {"H", KeyKind::home},           {"F", KeyKind::end},
    {"1~", KeyKind::home},        {"7~", KeyKind::home},          {"4~", KeyKind::end},
    {"8~", KeyKind::end},         {"3~", KeyKind::erase},         {"1;5C", KeyKind::word_right},
    {"1;5D", KeyKind::word_left}, {"1;3C", KeyKind::word_right},  {"1;3D", KeyKind::word_left},
    {"13;2u", KeyKind::newline},  {"27;2;13~", KeyKind::newline},
};

// What was pasted, up to the sequence that ends it; ends of lines as '\n'.
std::string read_paste(const ByteSource& next) {
  constexpr std::string_view kEnd = "\033[201~";
  std::string text;
  while (!text.ends_with(kEnd)) {
    const auto byte = next(-1);
    if (!byte) return text;
    text += static_cast<char>(*byte);
  }
  text.erase(text.size() - kEnd.size());
  std::string lines;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    lines += text[i] == '\r' ? '\n' : text[i];
  }
  return text::replace_invalid_utf8(lines);
}

Key read_sequence(const ByteSource& next) {
  std::string sequence;
  while (sequence.size() < 16) {
    const auto byte = next(kSequenceWait);
    if (!byte) return {};
    sequence += static_cast<char>(*byte);
    if (*byte >= 0x40 && *byte <= 0x7E) break;  // the final byte
  }
  if (sequence == "200~") return {KeyKind::text, read_paste(next)};
  const auto found = std::ranges::find(kSequences, sequence, &Named::sequence);
  return {found == std::end(kSequences) ? KeyKind::other : found->kind};
}

Key read_escape(const ByteSource& next) {
  const auto byte = next(kSequenceWait);
  if (!byte) return {};
  switch (*byte) {
    case '[':
    case 'O': return read_sequence(next);
    case '\r':
    case '\n': return {KeyKind::newline};
    case 'b': return {KeyKind::word_left};
    case 'f': return {KeyKind::word_right};
    case 0x7F: return {KeyKind::kill_word};
    default: return {};
  }
}

// The rest of a character whose first byte is there.
Key read_character(unsigned char first, const ByteSource& next) {
  std::string text(1, static_cast<char>(first));
  while (text::decode_utf8(text).truncated) {
    const auto byte = next(kSequenceWait);
    if (!byte) break;
    text += static_cast<char>(*byte);
  }
  return {KeyKind::text, text::replace_invalid_utf8(text)};
}

}  // namespace

std::optional<Key> read_key(const ByteSource& next) {
  const auto byte = next(-1);
  if (!byte) return std::nullopt;
  const auto control = [](char letter) { return static_cast<unsigned char>(letter - '@'); };
  switch (*byte) {
    case kEscape: return read_escape(next);
    case '\r':
    case '\n': return Key{KeyKind::enter};
    case '\t': return Key{KeyKind::text, "\t"};
    case 0x7F:
    case control('H'): return Key{KeyKind::backspace};
    case control('A'): return Key{KeyKind::home};
    case control('B'): return Key{KeyKind::left};
    case control('C'): return Key{KeyKind::interrupt};
    case control('D'): return Key{KeyKind::end_of_file};
    case control('E'): return Key{KeyKind::end};
    case control('F'): return Key{KeyKind::right};
    case control('K'): return Key{KeyKind::kill_to_end};
    case control('L'): return Key{KeyKind::clear_screen};
    case control('N'): return Key{KeyKind::down};
    case control('P'): return Key{KeyKind::up};
    case control('U'): return Key{KeyKind::kill_to_start};
    case control('W'): return Key{KeyKind::kill_word};
    default: return *byte < 0x20 ? Key{} : read_character(*byte, next);
  }
}

}  // namespace cairn::app
