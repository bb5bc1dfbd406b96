// Values as text: Python's str() and repr(), and JSON in and out.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cairn/text/jinja_value.h"
#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text::jinja {
namespace {

// ---- repr

void append_string_repr(std::string& out, std::string_view text) {
  const bool doubled = text.find('\'') != text.npos && text.find('"') == text.npos;
  const char quote = doubled ? '"' : '\'';
  out += quote;
  while (!text.empty()) {
    const Utf8Character character = decode_utf8(text);
    const char32_t c = character.code_point;
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (!is_printable(c)) {
      const auto number = static_cast<uint32_t>(c);
      out += c < 0x100     ? fmt::format("\\x{:02x}", number)
             : c < 0x10000 ? fmt::format("\\u{:04x}", number)
                           : fmt::format("\\U{:08x}", number);
    } else {
      out += text.substr(0, character.size);
    }
    text.remove_prefix(character.size);
  }
  out += quote;
}

void append_repr(std::string& out, const Value& value, Budget& budget) {
  budget.steps();
  if (const std::string* text = value.text()) {
    budget.bytes(text->size());
    append_string_repr(out, *text);
  } else if (const List* list = value.list()) {
    out += list->tuple ? '(' : '[';
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (i > 0) out += ", ";
      append_repr(out, list->items[i], budget);
    }
    if (list->tuple && list->items.size() == 1) out += ',';
    out += list->tuple ? ')' : ']';
  } else if (const Dict* dict = value.dict()) {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : dict->entries) {
      if (!first) out += ", ";
      first = false;
      append_repr(out, key, budget);
      out += ": ";
      append_repr(out, item, budget);
    }
    out += '}';
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else {
    out += to_text(value, budget);
  }
}

// ---- JSON

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  void write(const Value& value, int level) {
    budget_.steps();
    if (value.is_none()) {
      out += "null";
    } else if (value.is_boolean()) {
      out += is_true(value) ? "true" : "false";
    } else if (value.text()) {
      string(*value.text());
    } else if (value.is_number()) {
      out += number(value);
    } else if (const List* list = value.list()) {
      out += '[';
      for (size_t i = 0; i < list->items.size(); ++i) {
        start_item(i, level);
        write(list->items[i], level + 1);
      }
      end_items(list->items.size(), level);
      out += ']';
    } else if (value.dict()) {
      dict(*value.dict(), level);
    } else {
      throw_error(value.is_undefined()
                      ? value.missing()
                      : fmt::format("tojson cannot write {}", value.object()->describe()));
    }
  }

  std::string out;

 private:
  static std::string number(const Value& value) {
    if (!value.is_real()) return std::to_string(*value.integer());
    const double real = *value.real();
    if (std::isnan(real)) return "NaN";
    if (std::isinf(real)) return real < 0 ? "-Infinity" : "Infinity";
    return real_text(real);
  }

  void dict(const Dict& dict, int level) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sorted) {
      std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
        return compare(a->first, b->first, budget_) < 0;
      });
    }
    out += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      start_item(i, level);
      key(entries[i]->first);
      out += style_.key_separator;
      write(entries[i]->second, level + 1);
    }
    end_items(entries.size(), level);
    out += '}';
  }

  void key(const Value& key) {
    if (key.text()) return string(*key.text());
    if (!key.is_none() && !key.is_number())
      throw_error(fmt::format("tojson cannot write a key of type {}", type_name(key)));
    out += '"';
    write(key, 0);
    out += '"';
  }

  void new_line(int level) {
    if (!style_.indent) return;
    budget_.bytes(style_.indent->size() * static_cast<size_t>(level) + 1);
    out += '\n';
    for (int i = 0; i < level; ++i) out += *style_.indent;
  }
  void start_item(size_t index, int level) {
    if (index > 0) out += style_.item_separator;
    new_line(level + 1);
  }
  void end_items(size_t count, int level) {
    if (count > 0) new_line(level);
  }

  void string(std::string_view text) {
    budget_.bytes(text.size());
    out += '"';
    while (!text.empty()) {
      const Utf8Character character = decode_utf8(text);
      const char32_t c = character.code_point;
      constexpr std::string_view kEscaped = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
      const size_t known = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : kEscaped.npos;
      if (known != kEscaped.npos) {
        out += '\\';
        out += kLetters[known];
      } else if (c < 0x20 || (style_.ascii && c > 0x7E)) {
        escape(c);
      } else {
        out += text.substr(0, character.size);
      }
      text.remove_prefix(character.size);
    }
    out += '"';
  }

  void escape(char32_t c) {
    if (c >= 0x10000) {  // UTF-16, as JSON has it
      escape(0xD800 + ((c - 0x10000) >> 10));
      c = 0xDC00 + ((c - 0x10000) & 0x3FF);
    }
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  }

  const JsonStyle& style_;
  Budget& budget_;
};

using Json = nlohmann::ordered_json;

Value convert(const Json& json, Budget& budget) {
  if (json.is_null()) return None();
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX)
    throw_error(fmt::format("the number {} is too large", json.dump()));
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& item : json) items.push_back(convert(item, budget));
    Value list = make_list(std::move(items), budget);
    list.list()->frozen = true;
    return list;
  }
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [key, item] : json.items()) entries.emplace_back(key, convert(item, budget));
  return make_dict(std::move(entries), budget);
}

}  // namespace

std::string to_text(const Value& value, Budget& budget) {
  if (const std::string* text = value.text()) {
    budget.bytes(text->size());
    return *text;
  }
  if (value.is_undefined()) return "";
  if (value.is_none()) return "None";
  if (value.is_boolean()) return is_true(value) ? "True" : "False";
  if (value.is_real()) return real_text(*value.real());
  if (const auto integer = value.integer()) return std::to_string(*integer);
  if (const Object* object = value.object()) return object->describe();
  return to_repr(value, budget);
}

std::string to_repr(const Value& value, Budget& budget) {
  std::string out;
  append_repr(out, value, budget);
  budget.bytes(out.size());
  return out;
}

std::string to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write(value, 0);
  budget.bytes(writer.out.size());
  return std::move(writer.out);
}

Result<Value> value_of_json(std::string_view json) {
  constexpr int kDeepest = 100;  // so that no text exhausts the stack
  bool too_deep = false;
  try {
    const Json parsed = Json::parse(json, [&](int depth, Json::parse_event_t, Json&) {
      too_deep = too_deep || depth > kDeepest;
      return !too_deep;
    });
    if (too_deep) return Error(fmt::format("the JSON nests deeper than {} levels", kDeepest));
    Budget budget{Limits{}};
    return convert(parsed, budget);
  } catch (const Json::exception& error) {
    return Error(fmt::format("no valid JSON: {}", error.what()));
  } catch (const Error& error) {
    return error;
  }
}

}  // namespace cairn::text::jinja
