#include "cairn/text/byte_level_vocabulary.h"

#include <fmt/format.h>

#include "cairn/text/byte_map.h"

namespace cairn::text {

namespace {

std::string with_space_marks(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) byte == ' ' ? out += "\u2581" : out += byte;
  return out;
}

}  // namespace

void TokenList::put(int64_t id, std::string bytes, std::string_view key) {
  if (id < 0 || static_cast<uint64_t>(id) >= limit_) {
    throw_error(fmt::format("token '{}' has id {}; expected 0 to {} for a vocabulary of this size",
                            key, id, limit_ - 1));
  }
  const auto index = static_cast<size_t>(id);
  if (index >= tokens_.size()) {
    tokens_.resize(index + 1);
    taken_.resize(index + 1);
  }
  if (taken_[index]) {
    throw_error(fmt::format("id {} belongs to two tokens, '{}' is the second", id, key));
  }
  taken_[index] = true;
  tokens_[index] = std::move(bytes);
}

std::string bytes_of_key(std::string_view key) {
  return mapped_to_bytes(key).value_or(std::string(key));
}

std::vector<std::string> keys_of(const Vocabulary& vocabulary, const BpeDescription& description) {
  std::vector<std::string> keys(vocabulary.tokens.size());
  for (size_t id = 0; id < keys.size(); ++id) {
    const std::string& bytes = vocabulary.tokens[id];
    if (description.symbols == BpeDescription::Symbols::bytes) {
      keys[id] = bytes_to_mapped(bytes);
    } else if (description.space_marks) {
      keys[id] = with_space_marks(bytes);
    } else {
      keys[id] = bytes;
    }
  }
  if (description.symbols == BpeDescription::Symbols::characters) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const int32_t id = description.byte_ids[byte];
      if (id >= 0) keys[static_cast<size_t>(id)] = fmt::format("<0x{:02X}>", byte);
    }
  }
  for (const AddedToken& token : vocabulary.added) {
    keys[static_cast<size_t>(token.id)] = token.content;
  }
  return keys;
}

std::array<int32_t, 256> byte_ids_of(const TokenKeys& keys) {
  std::array<int32_t, 256> ids = BpeDescription::no_bytes();
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = keys.find(bytes_to_mapped(std::string(1, static_cast<char>(byte))));
    if (found != keys.end()) ids[static_cast<size_t>(byte)] = found->second;
  }
  return ids;
}

std::vector<Merge> make_merges(
    const std::vector<std::pair<std::string_view, std::string_view>>& pairs, const TokenKeys& keys,
    std::string_view prefix) {
  std::vector<Merge> merges;
  merges.reserve(pairs.size());
  std::string joined;
  for (const auto& [left, right] : pairs) {
    const auto id = [&](std::string_view key) {
      const auto found = keys.find(key);
      if (found == keys.end()) {
        throw_error(
            fmt::format("merge {} ('{}' and '{}') needs the token '{}', which is not in "
                        "the vocabulary; the files do not belong together",
                        merges.size(), left, right, key));
      }
      return found->second;
    };
    joined.assign(left).append(right.substr(right.starts_with(prefix) ? prefix.size() : 0));
    merges.push_back({id(left), id(right), id(joined), static_cast<uint32_t>(merges.size())});
  }
  return merges;
}

}  // namespace cairn::text
