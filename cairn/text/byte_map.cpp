#include "cairn/text/byte_map.h"

#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

constexpr bool stands_for_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}
constexpr char32_t kFirstOther = 0x100;
constexpr size_t kOthers = 68;

constexpr std::array<uint8_t, kOthers> other_bytes() {
  std::array<uint8_t, kOthers> others{};
  size_t n = 0;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (!stands_for_itself(byte)) others[n++] = static_cast<uint8_t>(byte);
  }
  return others;
}
constexpr std::array<uint8_t, kOthers> kOtherBytes = other_bytes();

constexpr std::array<uint16_t, 256> characters_of_bytes() {
  std::array<uint16_t, 256> characters{};
  for (uint16_t byte = 0; byte < 256; ++byte) characters[byte] = byte;
  for (uint16_t n = 0; n < kOthers; ++n) characters[kOtherBytes[n]] = kFirstOther + n;
  return characters;
}
constexpr std::array<uint16_t, 256> kCharacters = characters_of_bytes();

}  // namespace

std::array<uint8_t, 256> gpt2_byte_order() {
  std::array<uint8_t, 256> order{};
  size_t n = 0;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (stands_for_itself(byte)) order[n++] = static_cast<uint8_t>(byte);
  }
  for (const uint8_t byte : kOtherBytes) order[n++] = byte;
  return order;
}

std::string bytes_to_mapped(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 2);
  for (const char byte : bytes) append_utf8(out, kCharacters[static_cast<uint8_t>(byte)]);
  return out;
}

std::optional<std::string> mapped_to_bytes(std::string_view mapped) {
  std::string out;
  while (!mapped.empty()) {
    const Utf8Character character = decode_utf8(mapped);
    const char32_t c = character.code_point;
    if (!character.valid) return std::nullopt;
    if (c >= kFirstOther && c < kFirstOther + kOthers) {
      out.push_back(static_cast<char>(kOtherBytes[c - kFirstOther]));
    } else if (c < 256 && stands_for_itself(c)) {
      out.push_back(static_cast<char>(c));
    } else {
      return std::nullopt;
    }
    mapped.remove_prefix(character.size);
  }
  return out;
}

}  // namespace cairn::text
