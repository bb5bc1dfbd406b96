// GPT-2's spelling of bytes as printable characters, which `vocab.bpe`, `encoder.json` and the
// ByteLevel parts of tokenizer.json use: the 188 printable Latin-1 bytes stand for themselves, the
// other 68, in increasing order, for U+0100 to U+0143. So a space is 'Ġ' and a newline 'Ċ'.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::text {

// The 256 bytes in GPT-2's order, which is the order of their ids in its vocabulary: first those
// that stand for themselves, then the others.
std::array<uint8_t, 256> gpt2_byte_order();

std::string bytes_to_mapped(std::string_view bytes);

// Empty when the text contains a character that stands for no byte.
std::optional<std::string> mapped_to_bytes(std::string_view mapped);

}  // namespace cairn::text
