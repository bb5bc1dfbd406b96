#include "apps/cairn/line_editor.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "cairn/plot/terminal.h"

namespace cairn::app {

RawTerminal::RawTerminal() {
  tcgetattr(STDIN_FILENO, &before_);
  set_answering(false);
}

RawTerminal::~RawTerminal() { tcsetattr(STDIN_FILENO, TCSADRAIN, &before_); }

void RawTerminal::set_answering(bool answering) {
  termios raw = before_;
  raw.c_iflag &= static_cast<tcflag_t>(~(ICRNL | INLCR | IXON));
  raw.c_lflag &= static_cast<tcflag_t>(~(ICANON | ECHO | IEXTEN));
  if (!answering) raw.c_lflag &= static_cast<tcflag_t>(~ISIG);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

bool LineEditor::is_possible() {
  const char* type = std::getenv("TERM");
  return type && *type && std::string_view(type) != "dumb";
}

// A signal that ends the program ends the waiting, which is why this polls: reads are restarted.
std::optional<unsigned char> LineEditor::byte(int wait) {
  if (read_.empty()) {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    int ready = 0;
    do {
      if (session_.stop.requested()) return std::nullopt;
      ready = poll(&input, 1, wait);
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0) return std::nullopt;
    char bytes[4096];
    const ssize_t count = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (count <= 0) return std::nullopt;
    read_.assign(bytes, static_cast<size_t>(count));
  }
  const auto first = static_cast<unsigned char>(read_[0]);
  read_.erase(0, 1);
  return first;
}

std::optional<std::string> LineEditor::read(const std::string& prompt) {
  session_.out.write("\033[?2004h");  // pastes come in brackets
  above_ = rows_ = 0;
  std::optional<std::string> line;
  for (;;) {
    // What came at once is drawn at once.
    if (read_.empty()) draw(prompt);
    const auto key = read_key([this](int wait) { return byte(wait); });
    if (!key || (key->kind == KeyKind::end_of_file && text_.text().empty())) break;
    if (!press(*key)) continue;
    draw(prompt);
    line = text_.take();
    break;
  }
  leave();
  session_.out.write("\033[?2004l");
  session_.out.flush();
  return line;
}

// True when the text is done.
bool LineEditor::press(const Key& key) {
  switch (key.kind) {
    case KeyKind::enter:
      if (!text_.text().ends_with('\\') || text_.cursor() != text_.text().size()) return true;
      text_.press({KeyKind::backspace});
      text_.insert("\n");
      return false;
    case KeyKind::newline: text_.insert("\n"); return false;
    case KeyKind::interrupt:
      leave();
      if (text_.text().empty()) session_.out.write("(Ctrl-D ends the chat)\r\n");
      text_.clear();
      return false;
    case KeyKind::end_of_file: text_.press({KeyKind::erase}); return false;
    case KeyKind::clear_screen:
      session_.out.write("\033[H\033[2J");
      above_ = rows_ = 0;
      return false;
    default: text_.press(key); return false;
  }
}

// Draws over what was drawn. Of a text with more rows than the terminal has, those around the
// cursor.
void LineEditor::draw(const std::string& prompt) {
  const Terminal now = detect_terminal(STDOUT_FILENO);
  TextRows all = rows_of(text_, prompt, plot::display_width(prompt), now.width);
  const auto most = static_cast<size_t>(std::max(now.height - 1, 1));
  if (all.rows.size() > most) {
    const size_t first =
        std::min(all.cursor_row - std::min(all.cursor_row, most / 2), all.rows.size() - most);
    all.rows.erase(all.rows.begin(), all.rows.begin() + static_cast<std::ptrdiff_t>(first));
    all.rows.resize(most);
    all.cursor_row -= first;
  }
  std::string out = above_ > 0 ? fmt::format("\033[{}A", above_) : "";
  out += "\r\033[J";
  for (size_t i = 0; i < all.rows.size(); ++i) {
    const bool is_prompt = i == 0 && all.rows[i].starts_with(prompt);
    out += i > 0 ? "\r\n" : "";
    out += is_prompt ? session_.out_terminal.bold(prompt) + all.rows[i].substr(prompt.size())
                     : all.rows[i];
  }
  if (const size_t up = all.rows.size() - 1 - all.cursor_row; up > 0)
    out += fmt::format("\033[{}A", up);
  out += "\r";
  if (all.cursor_column > 0) out += fmt::format("\033[{}C", all.cursor_column);
  above_ = all.cursor_row;
  rows_ = all.rows.size();
  session_.out.write(out);
  session_.out.flush();
}

// To a new line below what is drawn.
void LineEditor::leave() {
  if (rows_ == 0) return;
  if (const size_t down = rows_ - 1 - above_; down > 0)
    session_.out.write(fmt::format("\033[{}B", down));
  session_.out.write("\r\n");
  above_ = rows_ = 0;
}

}  // namespace cairn::app
