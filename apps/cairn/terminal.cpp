#include "apps/cairn/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "cairn/base/clock.h"
#include "cairn/plot/colors.h"

namespace cairn::app {
namespace {

constexpr double kMovingInterval = 0.1;
constexpr double kPlainInterval = 5;

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// A locale that was chosen and is not UTF-8. None chosen (containers, services) says nothing about
// the terminal, and UTF-8 is what terminals have.
bool is_ascii_locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view value = variable(name);
    if (value.empty()) continue;
    return value.find("UTF-8") == std::string_view::npos &&
           value.find("utf8") == std::string_view::npos &&
           value.find("UTF8") == std::string_view::npos &&
           value.find("utf-8") == std::string_view::npos;
  }
  return false;
}

void write_stderr(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace

plot::TerminalStyle Terminal::style(int max_width, int max_height) const {
  return {.width = std::min(width, max_width),
          .height = std::min(std::max(height - 4, 8), max_height),
          .unicode = unicode,
          .color = color};
}

plot::TerminalStyle Terminal::table_style() const {
  plot::TerminalStyle table = style();
  table.width = is_terminal ? width : 100'000;
  return table;
}

std::string Terminal::bold(std::string_view text) const {
  return plot::painted(text, plot::ansi::kBold, color);
}
std::string Terminal::dim(std::string_view text) const {
  return plot::painted(text, plot::ansi::kDim, color);
}

Terminal detect_terminal(int descriptor) {
  Terminal terminal;
  terminal.unicode = !is_ascii_locale();
  terminal.is_terminal = isatty(descriptor) == 1;
  if (!terminal.is_terminal) return terminal;
  const std::string_view type = variable("TERM");
  terminal.color = std::getenv("NO_COLOR") == nullptr && type != "dumb" && !type.empty();
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    terminal.width = size.ws_col;
    terminal.height = size.ws_row;
  }
  return terminal;
}

void Progress::restart() { last_ = monotonic_seconds(); }

bool Progress::due() const {
  if (quiet_) return false;
  return monotonic_seconds() - last_ >= (terminal_.is_terminal ? kMovingInterval : kPlainInterval);
}

void Progress::show(std::string_view line) {
  if (quiet_) return;
  restart();
  if (!terminal_.is_terminal) {
    write_stderr(std::string(line) + "\n");
    return;
  }
  std::string text(line);
  if (plot::display_width(text) >= terminal_.width)
    text = plot::fit(text, terminal_.width - 1, plot::Align::left, terminal_.unicode);
  write_stderr("\r" + text + "\033[K");
  shown_ = true;
}

void Progress::note(std::string_view line) {
  if (quiet_) return;
  clear();
  write_stderr(std::string(line) + "\n");
}

void Progress::clear() {
  if (shown_) write_stderr("\r\033[K");
  shown_ = false;
}

}  // namespace cairn::app
