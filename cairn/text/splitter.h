// Pre-tokenization: cutting text into the pieces inside which a tokenizer merges.
//
// Rules are regular expressions as tokenizer.json has them, run by PCRE2 with its JIT. Where the
// two disagree, they are read as Hugging Face reads them (Oniguruma, Ruby syntax): \s and \S are
// Unicode's White_Space (PCRE2's own would add U+180E), \w has marks and all letters, ^
// and $ match at each line.
//
// Text that is not UTF-8 is cut as if each invalid unit (utf8.h) were U+FFFD; the pieces keep the
// original bytes. So nothing is lost, and the cuts are those of Python's errors="replace".
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/base/error.h"

namespace cairn::text {

// GPT-2's: contractions, letters, numbers, other symbols (each with one space before it), spaces.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct SplitRule {
  enum class Keep {
    everything,     // matches and what lies between them are pieces ("Isolated")
    matches,        // what lies between is dropped ("Removed", inverted)
    gaps,           // the matches are dropped ("Removed")
    runs,           // matches without anything between are one piece ("Contiguous")
    with_previous,  // a match ends the piece before it ("MergedWithPrevious")
    with_next,      // a match begins the piece after it ("MergedWithNext")
  };
  std::string pattern;
  bool literal = false;  // the pattern is plain text
  Keep keep = Keep::everything;
  bool inverted = false;  // of the last two: what lies between matches is joined to them

  bool operator==(const SplitRule&) const = default;
};

class Splitter {
 public:
  // Each rule cuts the pieces of the one before it; no rule leaves the text whole. An Error names
  // the pattern that does not compile.
  static Result<Splitter> make(std::vector<SplitRule> rules);

  Splitter(Splitter&&) noexcept;
  Splitter& operator=(Splitter&&) noexcept;
  ~Splitter();

  const std::vector<SplitRule>& rules() const { return rules_; }

  // Calls `piece` with each non-empty piece in order, views into `text`. Safe from many threads.
  // Throws Error when a pattern backtracks beyond PCRE2's limits.
  void split(std::string_view text, const std::function<void(std::string_view)>& piece) const;
  // The text, which is UTF-8, with `content` for each match of the one rule.
  std::string replace(std::string_view text, std::string_view content) const;

 private:
  struct Regex;
  class Run;
  Splitter();
  std::vector<SplitRule> rules_;
  std::vector<Regex> regexes_;  // one per rule
};

}  // namespace cairn::text
