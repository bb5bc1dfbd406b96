// encoder.json and vocab.bpe.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

constexpr std::string_view kEndOfText = "<|endoftext|>";

// "left right" a line. A first line that begins with "#version" is no merge; "#" is a token too.
std::vector<std::pair<std::string_view, std::string_view>> read_lines(std::string_view text) {
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const size_t space = line.find(' ');
    if (space == line.npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != line.npos) {
      throw_error(
          fmt::format("line {} of the merges is '{}', expected two tokens with a space between",
                      number, replace_invalid_utf8(line.substr(0, 100))));
    }
    pairs.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return pairs;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> parse_gpt2_files(std::string_view vocabulary,
                                                    std::string_view merges) {
  using Json = nlohmann::json;
  try {
    const Json root = Json::parse(vocabulary);
    if (!root.is_object()) {
      throw_error(fmt::format("the vocabulary must be an object of ids, not {}", root.type_name()));
    }
    BpeDescription description;
    description.splits.push_back({std::string(kGpt2Pattern)});
    TokenKeys keys;
    keys.reserve(root.size());
    TokenList tokens(root.size());
    for (const auto& [key, value] : root.items()) {
      if (!value.is_number_unsigned() || value.get<uint64_t>() > INT32_MAX) {
        throw_error(fmt::format("token '{}' has the id {}, expected a small integer", key,
                                value.dump().substr(0, 40)));
      }
      const auto id = static_cast<int32_t>(value.get<uint64_t>());
      tokens.put(id, bytes_of_key(key), key);
      keys.emplace(key, id);
      if (key == kEndOfText) description.vocabulary.added.push_back({id, key});
    }
    description.vocabulary.tokens = tokens.take();
    description.byte_ids = byte_ids_of(keys);
    description.merges = make_merges(read_lines(merges), keys);
    guess_bos_and_eos(description.vocabulary);
    return make_bpe_tokenizer(std::move(description));
  } catch (const Error& error) {
    return Error(fmt::format("vocabulary and merges: {}", error.what()));
  } catch (const Json::exception& error) {
    return Error(fmt::format("the vocabulary is not valid JSON: {}", error.what()));
  }
}

}  // namespace cairn::text
