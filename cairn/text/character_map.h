// SentencePiece's precompiled_charsmap: what characters become before a text is cut (nmt_nfkc).
//
// The bytes are u32 size of the trie, the trie, and strings that end with NUL. The trie is a
// double array (Darts): a unit of 32 bits says which byte leads to it, whether a key ends there and
// where its children lie.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::text {

class CharacterMap {
 public:
  CharacterMap() = default;  // maps nothing
  // Throws Error when the sizes contradict each other.
  explicit CharacterMap(std::string_view bytes);

  bool empty() const { return units_.empty(); }

  struct Match {
    size_t size = 0;  // bytes of the text; 0 when there is no key
    std::string_view replacement;
  };
  // The longest key at the front of `text`, as SentencePiece looks, and the shortest.
  Match longest(std::string_view text) const;
  Match shortest(std::string_view text) const;

  // As Hugging Face's Precompiled has it: clusters of up to 5 bytes by the shortest key at their
  // front, which then stands for the whole; others by their characters.
  std::string map_clusters(std::string_view text) const;

 private:
  // Calls `found` with size and place of the replacement for each key at the front, shorter first,
  // until it returns false.
  template <class Found>
  void walk(std::string_view text, Found found) const;
  std::string_view replacement(uint32_t at) const;

  std::vector<uint32_t> units_;
  std::string strings_;
};

}  // namespace cairn::text
