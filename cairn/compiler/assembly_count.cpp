#include "cairn/compiler/assembly_count.h"

#include <algorithm>
#include <bitset>
#include <cctype>

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

}  // namespace

AssemblyCount count_assembly(std::string_view text) {
  Counter counter;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    counter.line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return counter.result();
}

}  // namespace cairn
