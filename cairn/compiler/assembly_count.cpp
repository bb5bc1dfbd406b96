#include "cairn/compiler/assembly_count.h"

#include <algorithm>
#include <bitset>
#include <cctype>
#include <charconv>
#include <map>
#include <utility>

namespace cairn {
namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

class Counter {
 public:
  void line(std::string_view text) {
    // "\tvaddps\t%zmm0, ..."; labels start in the first column, directives with a point.
    if (text.size() < 2 || text[0] != '\t' || !std::isalpha(static_cast<unsigned char>(text[1])))
      return;
    text.remove_prefix(1);
    // "# 64-byte Spill", "# 32-byte Folded Reload": tiles that are held next to the stack have
    // none.
    const std::string_view comment = text.substr(std::min(text.find('#'), text.size()));
    text = text.substr(0, text.find('#'));
    const std::string_view word = text.substr(0, text.find_first_of("\t "));
    ++count_.instructions;
    const int width = registers(text);
    count_.vector += width > 0;
    count_.widest = std::max(count_.widest, width);
    count_.fused += word.starts_with("vfmadd") || word.starts_with("vfmsub") ||
                    word.starts_with("vfnmadd") || word.starts_with("vfnmsub");
    count_.divisions += word.starts_with("vdiv") || word.starts_with("vsqrt");
    count_.gathers += has(word, "gather") || has(word, "scatter");
    count_.calls += word.starts_with("call");
    if (has(comment, "Spill") || has(comment, "Reload"))
      ++(width ? count_.vector_spills : count_.scalar_spills);
  }
  AssemblyCount result() {
    count_.vector_registers = static_cast<int>(seen_.count());
    return count_;
  }

 private:
  // Notes the vector registers of a line; gives the bits of the widest.
  int registers(std::string_view text) {
    int widest = 0;
    for (size_t at = text.find("mm"); at != std::string_view::npos; at = text.find("mm", at + 2)) {
      if (at < 2 || text[at - 2] != '%') continue;
      const char kind = text[at - 1];
      const int width = kind == 'x' ? 128 : kind == 'y' ? 256 : kind == 'z' ? 512 : 0;
      if (width == 0) continue;
      widest = std::max(widest, width);
      size_t number = 0;
      for (size_t i = at + 2; i < text.size() && std::isdigit(static_cast<unsigned char>(text[i]));
           ++i)
        number = 10 * number + static_cast<size_t>(text[i] - '0');
      if (number < seen_.size()) seen_.set(number);
    }
    return widest;
  }

  AssemblyCount count_;
  std::bitset<32> seen_;
};

// Calls visit(line) for each line of the text.
template <class F>
void for_lines(std::string_view text, const F& visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The next number of a text, which it is taken off; 0 where there is none.
int take_number(std::string_view& text) {
  while (!text.empty() && !std::isdigit(static_cast<unsigned char>(text[0]))) text.remove_prefix(1);
  int number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<size_t>(stop - text.data()));
  return error == std::errc() ? number : 0;
}

}  // namespace

AssemblyCount count_assembly(std::string_view text) {
  Counter counter;
  for_lines(text, [&](std::string_view line) { counter.line(line); });
  return counter.result();
}

std::vector<LineCount> count_lines(std::string_view text) {
  std::map<int, std::string> files;                    // by their number in the text
  std::map<std::pair<std::string, int>, Counter> all;  // by file and line
  Counter* counter = nullptr;
  for_lines(text, [&](std::string_view line) {
    if (line.starts_with("\t.file\t")) {  // \t.file\t2 "folder" "name.cpp"
      const int number = take_number(line);
      const size_t end = line.rfind('"'), begin = line.rfind('"', end - 1);
      if (number > 0 && begin != std::string_view::npos)
        files[number] = line.substr(begin + 1, end - begin - 1);
    } else if (line.starts_with("\t.loc\t")) {  // \t.loc\t2 31 7
      const int file = take_number(line), number = take_number(line);
      counter = number > 0 ? &all[{files[file], number}] : nullptr;
    } else if (counter) {
      counter->line(line);
    }
  });
  std::vector<LineCount> lines;
  for (auto& [where, count] : all)
    if (count.result().instructions > 0)
      lines.push_back({where.first, where.second, count.result()});
  std::ranges::stable_sort(lines, [](const LineCount& a, const LineCount& b) {
    return a.count.instructions > b.count.instructions;
  });
  return lines;
}

}  // namespace cairn
