// Uses a tokenizer that a reader made of foreign bytes in every way that a program would.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "cairn/base/error.h"
#include "cairn/text/tokenizer.h"
#include "cairn/text/tokenizer_formats.h"

namespace cairn::fuzz {

inline std::string_view view(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// What `call` gives; nothing when it refuses the input with an Error, which it may.
template <class Call>
auto unless_refused(Call call) -> std::optional<decltype(call())> {
  try {
    return call();
  } catch (const InternalError&) {
    throw;
  } catch (const Error&) {
    return std::nullopt;
  }
}

// What was encoded must decode, and what was written must read back as the same tokenizer.
inline void touch(const text::Tokenizer& tokenizer) {
  using namespace text;
  constexpr EncodeOptions kAll{.add_special = true, .parse_special = true};
  const std::string texts[] = {"aab", "ab <s>a'b 12 \n\xC3\xA9\xE4\xB8\x96",
                               std::string("a\xFF"
                                           "b \0\xE2\x82 c",
                                           9)};
  const auto encode = [&](const Tokenizer& with, const std::string& text) {
    return unless_refused([&] { return with.encode(text, kAll); });
  };
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    (void)tokenizer.decode(std::span(&id, 1));
  }
  const auto json = unless_refused([&] { return tokenizer.to_json(); });
  std::unique_ptr<Tokenizer> again;
  if (json) {
    again = parse_tokenizer_json(*json).value();
    CAIRN_ASSERT(again->to_json() == *json);
  }
  for (const std::string& text : texts) {
    const auto ids = encode(tokenizer, text);
    if (!ids) continue;
    (void)tokenizer.decode(*ids);
    CAIRN_ASSERT(!again || encode(*again, text) == ids);
  }
}

}  // namespace cairn::fuzz
