#include "apps/cairn/ids.h"

#include <fmt/format.h>

#include <charconv>

#include "apps/cairn/json.h"
#include "cairn/models/language_model.h"

namespace cairn::app {
namespace {

std::vector<int32_t> read_ids_file(const std::string& path) {
  constexpr uint64_t kLargest = uint64_t{64} << 20;
  const Json list = read_json(path, kLargest);
  if (!list.is_array())
    throw_error(fmt::format("'{}' holds no JSON list of token ids like [1, 2, 3]", path));
  std::vector<int32_t> ids;
  for (const Json& item : list) {
    if (!item.is_number_integer() || item < 0 || item > INT32_MAX)
      throw_error(
          fmt::format("'{}': element {} is {}, not a token id", path, ids.size(), item.dump()));
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

}  // namespace

std::vector<int32_t> parse_ids(const std::string& argument) {
  if (argument.starts_with('@')) return read_ids_file(argument.substr(1));
  std::vector<int32_t> ids;
  const char* at = argument.data();
  const char* end = at + argument.size();
  while (at != end) {
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0 || (stop != end && (*stop != ',' || stop + 1 == end)))
      throw UsageError(
          fmt::format("--ids takes numbers with commas between (1,2,3), or @FILE with a JSON list; "
                      "'{}' is neither",
                      argument));
    ids.push_back(id);
    at = stop == end ? end : stop + 1;
  }
  return ids;
}

std::string ids_text(std::span<const int32_t> ids) {
  return fmt::format("{}", fmt::join(ids, ","));
}

std::unique_ptr<text::Tokenizer> tokenizer_of_model(const std::string& model) {
  return load_model_tokenizer(model).value();
}

std::unique_ptr<text::Tokenizer> tokenizer_of_file(const std::string& path) {
  return text::load_tokenizer(path).value();
}

}  // namespace cairn::app
