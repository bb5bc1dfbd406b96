#include "cairn/text/pipeline_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cairn/text/json_view.h"
#include "cairn/text/merge_table.h"
#include "cairn/text/read_merges.h"
#include "cairn/text/unigram.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

[[noreturn]] void no_token(std::string_view piece) {
  throw_error(fmt::format(
      "[encode] '{}' is not in the vocabulary of this tokenizer, which has no unknown token",
      piece.substr(0, 40)));
}

// The id that a member names by its key; -1 where there is none.
int32_t id_named(JsonView model, const char* name, const TokenKeys& keys) {
  const JsonView value = model.member(name);
  if (value.is_null()) return -1;
  const auto found = keys.find(value.text(name));
  if (found == keys.end())
    throw_error(
        fmt::format("'{}' is '{}', which is not in the vocabulary", name, value.text(name)));
  return found->second;
}

// The ids of a character's bytes, when all of them have one.
bool append_bytes(std::string_view bytes, const TokenKeys& keys, std::vector<int32_t>& ids) {
  const size_t before = ids.size();
  for (const char byte : bytes) {
    const auto found = keys.find(fmt::format("<0x{:02X}>", static_cast<uint8_t>(byte)));
    if (found == keys.end()) {
      ids.resize(before);
      return false;
    }
    ids.push_back(found->second);
  }
  return true;
}

std::string optional_text(JsonView model, const char* key) {
  const JsonView value = model.member(key);
  return value.is_null() ? std::string() : value.text(key);
}

class BpeModel final : public WordModel {
 public:
  BpeModel(JsonView model, const TokenKeys& keys)
      : keys_(keys),
        prefix_(optional_text(model, "continuing_subword_prefix")),
        end_(optional_text(model, "end_of_word_suffix")),
        table_(read_merges(model, keys, prefix_)),
        unknown_(id_named(model, "unk_token", keys)),
        fuse_unknown_(model.flag("fuse_unk", false)),
        byte_fallback_(model.flag("byte_fallback", false)),
        whole_first_(model.flag("ignore_merges", false)) {
    const JsonView dropout = model.member("dropout");
    if (!dropout.is_null() && dropout.real("dropout") != 0)
      unsupported("dropout", dropout.dump(), "models without it");
  }

  void encode(std::string_view piece, std::vector<int32_t>& ids) const override {
    if (whole_first_) {
      if (const auto whole = keys_.find(piece); whole != keys_.end()) {
        ids.push_back(whole->second);
        return;
      }
    }
    std::vector<int32_t> symbols;
    size_t unknown = 0;  // ids of unknown characters that are not written yet
    const auto flush = [&] {
      symbols.insert(symbols.end(), unknown, unknown_);
      unknown = 0;
    };
    for (std::string_view rest = piece; !rest.empty();) {
      const std::string_view character = rest.substr(0, decode_utf8(rest).size);
      rest.remove_prefix(character.size());
      std::string key(character);
      if (character.data() != piece.data()) key.insert(0, prefix_);
      if (rest.empty()) key += end_;
      if (const auto found = keys_.find(key); found != keys_.end()) {
        flush();
        symbols.push_back(found->second);
      } else if (byte_fallback_ && append_bytes(key, keys_, symbols)) {
        continue;
      } else if (unknown_ < 0) {
        no_token(character);
      } else if (unknown == 0 || !fuse_unknown_) {
        ++unknown;
      }
    }
    flush();
    table_.apply(symbols);
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }

 private:
  const TokenKeys& keys_;
  std::string prefix_, end_;
  MergeTable table_;
  int32_t unknown_;
  bool fuse_unknown_, byte_fallback_, whole_first_;
};

class WordPieceModel final : public WordModel {
 public:
  WordPieceModel(JsonView model, const TokenKeys& keys)
      : keys_(keys), unknown_(id_named(model, "unk_token", keys)) {
    const JsonView prefix = model.member("continuing_subword_prefix");
    prefix_ = prefix.is_null() ? "##" : prefix.text("continuing_subword_prefix");
    const JsonView longest = model.member("max_input_chars_per_word");
    if (!longest.is_null()) longest_word_ = longest.integer("max_input_chars_per_word");
    for (const auto& [key, id] : keys) longest_key_ = std::max(longest_key_, key.size());
  }

  void encode(std::string_view word, std::vector<int32_t>& ids) const override {
    const size_t start = ids.size();
    const auto characters = std::count_if(
        word.begin(), word.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
    bool known = characters <= longest_word_;
    std::string key;
    for (std::string_view rest = word; known && !rest.empty();) {
      key.assign(rest.size() == word.size() ? "" : prefix_);
      const size_t before = key.size();
      key += rest.substr(0, longest_key_);
      auto found = keys_.find(key);
      while (found == keys_.end() && key.size() > before + 1) {
        key.pop_back();
        found = keys_.find(key);
      }
      known = found != keys_.end() && key.size() > before;
      if (!known) break;
      ids.push_back(found->second);
      rest.remove_prefix(key.size() - before);
    }
    if (known) return;
    ids.resize(start);
    if (unknown_ < 0) no_token(word);
    ids.push_back(unknown_);
  }

 private:
  const TokenKeys& keys_;
  int32_t unknown_;
  std::string prefix_;
  int64_t longest_word_ = 100;  // characters; longer ones are unknown
  size_t longest_key_ = 0;
};

class WordLevelModel final : public WordModel {
 public:
  WordLevelModel(JsonView model, const TokenKeys& keys)
      : keys_(keys), unknown_(id_named(model, "unk_token", keys)) {}

  void encode(std::string_view word, std::vector<int32_t>& ids) const override {
    const auto found = keys_.find(word);
    if (found == keys_.end() && unknown_ < 0) no_token(word);
    ids.push_back(found == keys_.end() ? unknown_ : found->second);
  }

 private:
  const TokenKeys& keys_;
  int32_t unknown_;
};

class UnigramModel final : public WordModel {
 public:
  UnigramModel(JsonView model, const TokenKeys& keys)
      : keys_(keys), byte_fallback_(model.flag("byte_fallback", false)), unigram_(make(model)) {
    const JsonView unknown = model.member("unk_id");
    if (unknown.is_null()) return;
    const int64_t id = unknown.integer("unk_id");
    if (id < 0 || id >= static_cast<int64_t>(model.list("vocab").size()))
      throw_error(fmt::format("'unk_id' is {}, which is not in the vocabulary", id));
    unknown_ = static_cast<int32_t>(id);
  }

  void encode(std::string_view piece, std::vector<int32_t>& ids) const override {
    for (const Unigram::Part& part : unigram_.cut(piece)) {
      const std::string_view text = piece.substr(part.begin, part.end - part.begin);
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else if (!byte_fallback_ || !append_bytes(text, keys_, ids)) {
        if (unknown_ < 0) no_token(text);
        ids.push_back(unknown_);
      }
    }
  }

 private:
  // Ten below the lowest score.
  static Unigram make(JsonView model) {
    constexpr double kUnknown = 10;
    std::vector<Unigram::Token> tokens;
    double lowest = 0;
    for (const JsonView entry : model.list("vocab")) {
      const auto pair = entry.items("vocab[]");
      const double score = pair[1].real("vocab[][1]");
      lowest = tokens.empty() ? score : std::min(lowest, score);
      tokens.push_back({pair[0].text("vocab[][0]"), static_cast<int32_t>(tokens.size()), score});
    }
    return Unigram(tokens, lowest - kUnknown, false);
  }

  const TokenKeys& keys_;
  bool byte_fallback_;
  int32_t unknown_ = -1;
  Unigram unigram_;
};

// Files of 2020 do not name the type.
std::string type_of_model(JsonView model) {
  const JsonView type = model.member("type");
  if (!type.is_null()) return type.text("model.type");
  if (!model.member("merges").is_null()) return "BPE";
  if (model.member("vocab").is_array()) return "Unigram";
  return model.member("max_input_chars_per_word").is_null() ? "WordLevel" : "WordPiece";
}

}  // namespace

std::unique_ptr<WordModel> read_word_model(JsonView model, const TokenKeys& keys) {
  const std::string type = type_of_model(model);
  if (type == "BPE") return std::make_unique<BpeModel>(model, keys);
  if (type == "WordPiece") return std::make_unique<WordPieceModel>(model, keys);
  if (type == "WordLevel") return std::make_unique<WordLevelModel>(model, keys);
  if (type == "Unigram") return std::make_unique<UnigramModel>(model, keys);
  unsupported("model", type, "BPE, WordPiece, WordLevel and Unigram");
}

void each_token(JsonView model,
                const std::function<void(const std::string& key, int64_t id)>& put) {
  const JsonView vocabulary = model.member("vocab");
  if (!vocabulary.is_array()) {
    vocabulary.each_member(
        "vocab", [&](const std::string& key, JsonView value) { put(key, value.integer(key)); });
    return;
  }
  int64_t id = 0;
  for (const JsonView entry : vocabulary.items("vocab")) {
    if (!entry.is_array() || entry.size() != 2)
      throw_error(fmt::format("'vocab' entry {} must be a token and its score", id));
    put(entry.items("vocab[]")[0].text("vocab[][0]"), id++);
  }
}

}  // namespace cairn::text
