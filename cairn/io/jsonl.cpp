#include "cairn/io/jsonl.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/io/bytes.h"

namespace cairn::io {
namespace {

using Json = nlohmann::json;

// Keeps the wanted fields of the outermost object; everything else passes without being stored.
class FieldReader final : public nlohmann::json_sax<Json> {
 public:
  explicit FieldReader(const std::vector<std::string>& fields)
      : fields_(fields), values_(fields.size()) {}

  std::vector<std::string> take() {
    std::vector<std::string> result;
    for (size_t i = 0; i < fields_.size(); ++i) {
      if (!values_[i])
        throw_error(
            fmt::format("has no field '{}'; it has: {}", fields_[i], fmt::join(others_, ", ")));
      result.push_back(std::move(*values_[i]));
    }
    return result;
  }

  bool null() override { return other("null"); }
  bool boolean(bool) override { return other("a boolean"); }
  bool number_integer(number_integer_t) override { return other("a number"); }
  bool number_unsigned(number_unsigned_t) override { return other("a number"); }
  bool number_float(number_float_t, const string_t&) override { return other("a number"); }
  bool binary(binary_t&) override { return other("binary data"); }
  bool string(string_t& value) override {
    if (depth_ == 1 && wanted_ >= 0) {
      values_[wanted_] = std::move(value);
      return true;
    }
    return other("text");
  }
  bool start_object(std::size_t) override {
    if (depth_ > 0) other("an object");
    ++depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    other("a list");
    ++depth_;
    return true;
  }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool key(string_t& value) override {
    if (depth_ != 1) return true;
    const auto found = std::find(fields_.begin(), fields_.end(), value);
    wanted_ = found == fields_.end() ? -1 : static_cast<int>(found - fields_.begin());
    if (wanted_ < 0 && others_.size() < kMaxNamed) others_.push_back(value);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    throw_error(fmt::format("is not JSON at byte {} of the line", position));
  }

 private:
  static constexpr size_t kMaxNamed = 20;

  bool other(std::string_view kind) {
    if (depth_ == 0) throw_error(fmt::format("is {}, not a JSON object", kind));
    if (depth_ == 1 && wanted_ >= 0)
      throw_error(fmt::format("has {} in '{}', where text is wanted", kind, fields_[wanted_]));
    return true;
  }

  const std::vector<std::string>& fields_;
  std::vector<std::optional<std::string>> values_;
  std::vector<std::string> others_;
  int64_t depth_ = 0;
  int wanted_ = -1;
};

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

Result<JsonlReader> JsonlReader::open(const std::string& path, std::vector<std::string> fields) {
  auto lines = LineReader::open(path);
  if (!lines) return lines.error();
  return JsonlReader(std::move(lines).value(), std::move(fields));
}

JsonlReader JsonlReader::parse(SharedBytes bytes, const std::string& name,
                               std::vector<std::string> fields) {
  return JsonlReader(LineReader::parse(std::move(bytes), name), std::move(fields));
}

Result<std::optional<std::vector<std::string>>> JsonlReader::next() {
  using Values = std::optional<std::vector<std::string>>;
  for (;;) {
    auto line = lines_.next();
    if (!line) return line.error();
    if (!line.value()) return Values();
    const std::string_view text = *line.value();
    if (is_blank(text)) continue;
    try {
      FieldReader reader(fields_);
      Json::sax_parse(text.begin(), text.end(), &reader);
      return Values(reader.take());
    } catch (const Error& error) {
      return read_error(lines_.name(), fmt::format("line {} {}", lines_.number(), error.what()));
    }
  }
}

}  // namespace cairn::io
