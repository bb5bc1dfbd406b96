// The tokenizer's metadata of a GGUF file (version 2 or 3), for tests of vocabularies: cairn/text
// stands below what reads the files themselves.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cairn/text/gguf_vocabulary.h"

namespace cairn::text {

class GgufMetadata {
 public:
  explicit GgufMetadata(std::string_view bytes) : rest_(bytes) {}

  GgufVocabulary read() {
    if (take(4) != "GGUF" || number<uint32_t>() < 2) throw std::runtime_error("no GGUF file");
    number<uint64_t>();  // tensors
    for (auto count = number<uint64_t>(); count > 0; --count) {
      const std::string key = text();
      value(key, number<uint32_t>());
    }
    return std::move(out_);
  }

 private:
  static constexpr uint32_t kFloat = 6, kBool = 7, kString = 8, kArray = 9;

  std::string_view take(uint64_t size) {
    if (size > rest_.size()) throw std::runtime_error("the GGUF file is cut");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  template <class T>
  T number() {
    T value;
    take(sizeof(T)).copy(reinterpret_cast<char*>(&value), sizeof(T));
    return value;
  }
  std::string text() { return std::string(take(number<uint64_t>())); }

  void value(const std::string& key, uint32_t type) {
    static constexpr uint64_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    const std::string name = key.starts_with("tokenizer.ggml.") ? key.substr(15) : "";
    if (type == kArray) {
      const auto items = number<uint32_t>();
      for (auto count = number<uint64_t>(); count > 0; --count) {
        if (items == kString) {
          std::string item = text();
          if (name == "tokens")
            out_.tokens.push_back(std::move(item));
          else if (name == "merges")
            out_.merges.push_back(std::move(item));
        } else if (name == "scores") {
          out_.scores.push_back(number<float>());
        } else if (name == "token_type") {
          out_.token_types.push_back(number<int32_t>());
        } else {
          take(kSizes[items]);
        }
      }
    } else if (type == kString) {
      std::string item = text();
      if (name == "model")
        out_.model = std::move(item);
      else if (name == "pre")
        out_.pre = std::move(item);
    } else if (type == kBool) {
      const bool flag = number<uint8_t>() != 0;
      if (name == "add_bos_token") out_.add_bos = flag;
      if (name == "add_eos_token") out_.add_eos = flag;
      if (name == "add_space_prefix") out_.add_space_prefix = flag;
    } else if (name.ends_with("_token_id")) {
      const auto id = static_cast<int32_t>(number<uint32_t>());
      if (name == "bos_token_id") out_.bos_id = id;
      if (name == "eos_token_id") out_.eos_id = id;
      if (name == "unknown_token_id") out_.unknown_id = id;
      if (name == "cls_token_id") out_.cls_id = id;
      if (name == "seperator_token_id") out_.separator_id = id;  // the key's own spelling
    } else {
      take(kSizes[type]);
    }
  }

  std::string_view rest_;
  GgufVocabulary out_;
};

inline GgufVocabulary read_gguf_vocabulary(std::string_view bytes) {
  return GgufMetadata(bytes).read();
}

}  // namespace cairn::text
