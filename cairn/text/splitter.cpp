#include "cairn/text/splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <utility>

#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

constexpr size_t kMaximumPattern = 1 << 16;  // bytes; the longest published one has about 500
constexpr uint32_t kHeapLimit = 1 << 19;     // KiB for the interpreter's backtracking, 512 MiB

struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

std::string pcre2_message(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

PCRE2_SPTR subject(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// What \w matches, as a part of a class: of the numbers that are no digits those of Latin-1, of the
// symbols the letters in circles and squares.
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}\x{24B6}-\x{24E9})"
    R"(\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";

// \s, \S, \w and \W as in the file's head. \W inside of a class stays PCRE2's.
std::string translate(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c != '\\' || i + 1 == pattern.size()) {
      // "]" right behind "[" or "[^" is a member.
      const bool first = in_class && (out.ends_with('[') || out.ends_with("[^"));
      if (c == '[') in_class = true;
      if (c == ']' && !first) in_class = false;
      out += c;
      continue;
    }
    const char next = pattern[++i];
    if (next == 's') {
      out += "\\p{White_Space}";
    } else if (next == 'S') {
      out += "\\P{White_Space}";
    } else if (next == 'w') {
      out += in_class ? std::string(kWord) : fmt::format("[{}]", kWord);
    } else if (next == 'W' && !in_class) {
      out += fmt::format("[^{}]", kWord);
    } else {
      out += '\\';
      out += next;
    }
  }
  return out;
}

}  // namespace

struct Splitter::Regex {
  Owned<pcre2_code> code;
};

Splitter::Splitter() = default;
Splitter::Splitter(Splitter&&) noexcept = default;
Splitter& Splitter::operator=(Splitter&&) noexcept = default;
Splitter::~Splitter() = default;

Result<Splitter> Splitter::make(std::vector<SplitRule> rules) {
  Splitter splitter;
  for (const SplitRule& rule : rules) {
    const std::string shown = rule.pattern.substr(0, 200);
    if (rule.pattern.size() > kMaximumPattern) {
      return Error(fmt::format("the split pattern '{}...' has {} bytes, more than {}", shown,
                               rule.pattern.size(), kMaximumPattern));
    }
    Owned<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    const uint32_t options =
        PCRE2_UTF |
        (rule.literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
    const std::string pattern = rule.literal ? rule.pattern : translate(rule.pattern);
    int error = 0;
    size_t offset = 0;
    Owned<pcre2_code> code(
        pcre2_compile(subject(pattern), pattern.size(), options, &error, &offset, context.get()));
    if (!code) {
      return Error(
          fmt::format("the split pattern '{}' does not compile: {}", shown, pcre2_message(error)));
    }
    // Without a JIT (an architecture that PCRE2 has none for) pcre2_match interprets.
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
    splitter.regexes_.push_back({std::move(code)});
  }
  splitter.rules_ = std::move(rules);
  return splitter;
}

// One call of split: the match state of each rule, and how pieces find back to the caller's bytes.
class Splitter::Run {
 public:
  Run(const Splitter& splitter, const std::function<void(std::string_view)>& sink)
      : splitter_(splitter), sink_(sink), context_(pcre2_match_context_create(nullptr)) {
    pcre2_set_heap_limit(context_.get(), kHeapLimit);
    for (const Regex& regex : splitter.regexes_) {
      matches_.emplace_back(pcre2_match_data_create_from_pattern(regex.code.get(), nullptr));
    }
  }

  void split(std::string_view text) {
    if (is_valid_utf8(text)) {
      cut(text, 0);
      return;
    }
    original_ = text;
    stand_in_.clear();
    for (std::string_view rest = text; !rest.empty();) {
      const size_t valid = valid_utf8_prefix(rest);
      stand_in_.append(rest.substr(0, valid));
      rest.remove_prefix(valid);
      if (rest.empty()) break;
      rest.remove_prefix(decode_utf8(rest).size);
      append_utf8(stand_in_, kReplacementCharacter);
      resume_.push_back({stand_in_.size(), text.size() - rest.size()});
    }
    cut(stand_in_, 0);
  }

  std::string replace(std::string_view text, std::string_view content) {
    std::string out;
    size_t done = 0, begin = 0, end = 0;
    for (; find(text, done, 0, begin, end); done = end)
      out.append(text.substr(done, begin - done)).append(content);
    return out.append(text.substr(done));
  }

 private:
  // Positions after a replacement, in the stand-in and in the original.
  struct Resume {
    size_t stand_in, original;
  };

  void cut(std::string_view text, size_t rule) {
    if (text.empty()) return;
    if (rule == splitter_.rules_.size()) {
      emit(text);
      return;
    }
    const auto keep = splitter_.rules_[rule].keep;
    if (keep > SplitRule::Keep::gaps) {
      for (const std::string_view piece : joined(text, rule)) cut(piece, rule + 1);
      return;
    }
    size_t done = 0, begin = 0, end = 0;
    while (find(text, done, rule, begin, end)) {
      if (keep != SplitRule::Keep::matches) cut(text.substr(done, begin - done), rule + 1);
      if (keep != SplitRule::Keep::gaps) cut(text.substr(begin, end - begin), rule + 1);
      done = end;
    }
    if (keep != SplitRule::Keep::matches) cut(text.substr(done), rule + 1);
  }

  // The pieces of the behaviours that join matches and gaps.
  std::vector<std::string_view> joined(std::string_view text, size_t rule) {
    const SplitRule& how = splitter_.rules_[rule];
    struct Part {
      size_t begin, end;
      bool match;
    };
    std::vector<Part> parts;
    size_t done = 0, begin = 0, end = 0;
    while (find(text, done, rule, begin, end)) {
      if (done < begin) parts.push_back({done, begin, how.inverted});
      parts.push_back({begin, end, !how.inverted});
      done = end;
    }
    if (done < text.size()) parts.push_back({done, text.size(), how.inverted});
    const auto joins = [&](size_t at) {  // whether parts[at] is one with the part before it
      if (at == 0) return false;
      const bool before = parts[at - 1].match, is = parts[at].match;
      switch (how.keep) {
        case SplitRule::Keep::runs: return before == is;
        case SplitRule::Keep::with_previous: return is && !before;
        default: return before && !is;
      }
    };
    std::vector<std::string_view> pieces;
    for (size_t i = 0; i < parts.size();) {
      size_t last = i + 1;
      while (last < parts.size() && joins(last)) ++last;
      pieces.push_back(text.substr(parts[i].begin, parts[last - 1].end - parts[i].begin));
      i = last;
    }
    return pieces;
  }

  // The first non-empty match at or after `start`.
  bool find(std::string_view text, size_t start, size_t rule, size_t& begin, size_t& end) {
    const pcre2_code* code = splitter_.regexes_[rule].code.get();
    pcre2_match_data* data = matches_[rule].get();
    const auto match = [&](uint32_t options) {
      return pcre2_match(code, subject(text), text.size(), start,
                         options | PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, data, context_.get());
    };
    int found = match(0);
    // The JIT backtracks on 32 KiB of machine stack, the interpreter on the heap.
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(PCRE2_NO_JIT);
    if (found == PCRE2_ERROR_NOMATCH) return false;
    if (found < 0) {
      throw_error(fmt::format(
          "the split pattern '{}' failed at byte {} of a text of {} bytes: {}; it backtracks too "
          "much for this text",
          splitter_.rules_[rule].pattern.substr(0, 200), start, text.size(), pcre2_message(found)));
    }
    const size_t* range = pcre2_get_ovector_pointer(data);
    begin = range[0];
    end = range[1];
    // \K can put the start of a match after its end.
    if (begin < start || end <= begin) {
      throw_error(fmt::format("the split pattern '{}' gives a match that runs backwards",
                              splitter_.rules_[rule].pattern.substr(0, 200)));
    }
    return true;
  }

  void emit(std::string_view piece) {
    if (original_.empty()) {
      sink_(piece);
      return;
    }
    const size_t begin = static_cast<size_t>(piece.data() - stand_in_.data());
    const size_t from = original_position(begin);
    const size_t to = original_position(begin + piece.size());
    sink_(original_.substr(from, to - from));
  }

  // Pieces come in order, so the last replacement before a position is found by walking on.
  size_t original_position(size_t position) {
    while (at_ < resume_.size() && resume_[at_].stand_in <= position) ++at_;
    if (at_ == 0) return position;
    return resume_[at_ - 1].original + (position - resume_[at_ - 1].stand_in);
  }

  const Splitter& splitter_;
  const std::function<void(std::string_view)>& sink_;
  Owned<pcre2_match_context> context_;
  std::vector<Owned<pcre2_match_data>> matches_;
  std::string_view original_;  // empty when the text is valid and no stand-in is needed
  std::string stand_in_;
  std::vector<Resume> resume_;
  size_t at_ = 0;
};

void Splitter::split(std::string_view text,
                     const std::function<void(std::string_view)>& piece) const {
  if (rules_.empty()) {
    if (!text.empty()) piece(text);
    return;
  }
  Run(*this, piece).split(text);
}

std::string Splitter::replace(std::string_view text, std::string_view content) const {
  CAIRN_ASSERT(rules_.size() == 1 && is_valid_utf8(text));
  return Run(*this, [](std::string_view) {}).replace(text, content);
}

}  // namespace cairn::text
