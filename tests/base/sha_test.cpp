// SHA-256 and SHA-1 against the examples of FIPS 180-4, in any cuts.
#include "cairn/base/sha.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn {
namespace {

template <class Hash>
std::string hash(const std::string& text, size_t part) {
  Hash hash;
  for (size_t at = 0; at < text.size(); at += part)
    hash.update(std::as_bytes(std::span(text).subspan(at, std::min(part, text.size() - at))));
  return hash.finish();
}

TEST(Sha, ExamplesOfTheStandard) {
  const std::string two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  for (const size_t part : {1ul, 7ul, 64ul, 1ul << 20}) {
    EXPECT_EQ(hash<Sha256>("", part),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hash<Sha256>("abc", part),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hash<Sha256>(two_blocks, part),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(hash<Sha256>(std::string(1'000'000, 'a'), part),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    EXPECT_EQ(hash<Sha1>("", part), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    EXPECT_EQ(hash<Sha1>("abc", part), "a9993e364706816aba3e25717850c26c9cd0d89d");
    EXPECT_EQ(hash<Sha1>(two_blocks, part), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    EXPECT_EQ(hash<Sha1>(std::string(1'000'000, 'a'), part),
              "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  }
}

}  // namespace
}  // namespace cairn
