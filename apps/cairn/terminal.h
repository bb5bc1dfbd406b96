// What a stream of the program may show, and lines that move.
#pragma once

#include <string>
#include <string_view>

#include "cairn/plot/terminal.h"

namespace cairn::app {

// What is at the other end of stdout or stderr. Colour, Unicode and the width come from the
// terminal and the usual variables (NO_COLOR, TERM, LC_ALL, LC_CTYPE, LANG), which this file alone
// reads.
struct Terminal {
  bool is_terminal = false;
  bool color = false;
  bool unicode = true;
  int width = 100;
  int height = 30;

  // For a picture that takes at most `width` x `height` cells of it.
  plot::TerminalStyle style(int max_width = 100, int max_height = 20) const;
  // For a table: as wide as the terminal; in a file or pipe nothing is cut.
  plot::TerminalStyle table_style() const;
  std::string bold(std::string_view text) const;
  std::string dim(std::string_view text) const;
};

Terminal detect_terminal(int descriptor);

// One line on stderr that says how far a command is. On a terminal it moves, at most ten times a
// second; elsewhere it is a plain line every five seconds. Nothing with --quiet.
class Progress {
 public:
  Progress(const Terminal& terminal, bool quiet) : terminal_(terminal), quiet_(quiet) { restart(); }
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Calls `line` for its text when it is time to show one.
  template <class F>
  void update(F&& line) {
    if (due()) show(line());
  }
  bool due() const;
  // Shows it now. Longer than the terminal is wide, it is cut.
  void show(std::string_view line);
  // A line that stays; the moving one comes after it again.
  void note(std::string_view line);
  // Takes the moving line away.
  void clear();

 private:
  void restart();
  const Terminal& terminal_;
  bool quiet_;
  bool shown_ = false;
  double last_ = 0;
};

}  // namespace cairn::app
