// Checks that tags are balanced and attributes quoted: what XML asks of an SVG and what keeps an
// HTML page from swallowing its rest.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::test {

// "" when `text` is well formed, else what is wrong and where. HTML's void elements (meta, img)
// need no end.
inline std::string markup_problem(std::string_view text) {
  std::vector<std::string> open;
  const auto problem = [&](const std::string& what, size_t at) {
    return what + " at " + std::to_string(at) + ": " + std::string(text.substr(at, 60));
  };
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '&') {
      const size_t end = text.find(';', i);
      constexpr std::array<std::string_view, 5> kEntities = {"amp", "lt", "gt", "quot", "#39"};
      bool known = false;
      for (std::string_view e : kEntities) known = known || text.substr(i + 1, end - i - 1) == e;
      if (!known) return problem("bare &", i);
      i = end + 1;
      continue;
    }
    if (text[i] == '>') return problem("bare >", i);
    if (text[i] != '<') {
      ++i;
      continue;
    }
    const size_t start = i;
    if (text.substr(i).starts_with("<!")) {
      i = text.find('>', i) + 1;
      continue;
    }
    bool quoted = false;
    size_t end = i + 1;
    for (; end < text.size() && (quoted || text[end] != '>'); ++end) {
      if (text[end] == '"') quoted = !quoted;
      if (text[end] == '<') return problem("< inside a tag", end);
    }
    if (end == text.size()) return problem("tag without an end", start);
    const std::string_view tag = text.substr(start + 1, end - start - 1);
    const std::string name(tag.substr(0, tag.find_first_of(" /", 1)));
    if (tag.starts_with("/")) {
      if (open.empty() || "/" + open.back() != tag) return problem("unexpected end tag", start);
      open.pop_back();
    } else if (!tag.ends_with("/") && name != "meta" && name != "img") {
      open.push_back(name);
    }
    i = end + 1;
    if (name == "style") {  // its content is text up to the end tag
      i = text.find("</style>", i);
      if (i == std::string_view::npos) return problem("style without an end", start);
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> has no end";
}

}  // namespace cairn::test
