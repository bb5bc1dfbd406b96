#include "cairn/io/llama2c.h"

#include <gmock/gmock.h>

#include "tests/io/golden_values.h"
#include "tests/io/temporary_folder.h"

namespace cairn::io {
namespace {

using testing::HasSubstr;

// dim 4, hidden 3, 2 layers, 2 heads, 1 kv head, 5 tokens, sequence 6. Float i of the data is i.
std::string checkpoint(int32_t vocabulary, std::vector<int32_t> header = {4, 3, 2, 2, 1, 5, 6}) {
  header[5] = vocabulary;
  std::string text(reinterpret_cast<const char*>(header.data()), 28);
  const int floats = 5 * 4 + 2 * 4 + 2 * (16 + 8 + 8 + 16) + 2 * 4 + 2 * 3 * 12 + 4 + 2 * 6 * 1 +
                     (vocabulary < 0 ? 20 : 0);
  for (int i = 0; i < floats; ++i) {
    const auto value = static_cast<float>(i);
    text.append(reinterpret_cast<const char*>(&value), 4);
  }
  return text;
}

std::string error_of(std::string text) {
  const auto file = Llama2cFile::parse(SharedBytes(std::move(text)), "f");
  return file.ok() ? "no error" : file.error().what();
}

TEST(Llama2c, TensorsLieInTheOrderOfTheFormat) {
  for (const int32_t vocabulary : {5, -5}) {
    const auto file = Llama2cFile::parse(SharedBytes(checkpoint(vocabulary)), "f").value();
    EXPECT_EQ(file.config().vocab_size, 5);
    EXPECT_EQ(file.config().shared_classifier, vocabulary > 0);
    EXPECT_EQ(file.config().head_size(), 2);
    EXPECT_EQ(file.config().kv_dim(), 2);
    double next = 0;
    for (const NamedArray& tensor : file.tensors()) {
      SCOPED_TRACE(tensor.name);
      if (tensor.name == "wcls") next += 12;  // the rotary tables
      EXPECT_EQ(tensor.array.at(0), next);
      next += static_cast<double>(tensor.array.elements());
      EXPECT_EQ(tensor.array.at(tensor.array.elements() - 1), next - 1);
    }
    EXPECT_EQ(to_string(file.tensor("wk").shape()), "[2,2,4]");
    EXPECT_EQ(to_string(file.tensor("w2").shape()), "[2,4,3]");
    if (vocabulary < 0) {
      EXPECT_EQ(to_string(file.tensor("wcls").shape()), "[5,4]");
    } else {
      EXPECT_THROW(file.tensor("wcls"), Error);
    }
  }
}

TEST(Llama2c, LyingFilesAreErrors) {
  const std::string good = checkpoint(5);
  EXPECT_TRUE(looks_like_llama2c(std::as_bytes(std::span(good.data(), 28)), good.size()));
  EXPECT_FALSE(looks_like_llama2c(std::as_bytes(std::span(good.data(), 28)), good.size() + 4));
  for (size_t size = 0; size < good.size(); ++size)
    ASSERT_NE(error_of(good.substr(0, size)), "no error") << size;
  EXPECT_THAT(error_of(good + "x"), HasSubstr("asks for"));
  EXPECT_THAT(error_of(checkpoint(0)), HasSubstr("vocabulary 0"));
  EXPECT_THAT(error_of(checkpoint(INT32_MIN)), HasSubstr("is not that of"));
  EXPECT_THAT(error_of(checkpoint(5, {-4, 3, 2, 2, 1, 5, 6})), HasSubstr("dim -4"));
  EXPECT_THAT(error_of(checkpoint(5, {4, 3, 2, 3, 1, 5, 6})), HasSubstr("is not that of"));
  EXPECT_THAT(error_of(checkpoint(5, {4, 3, 2, 2, 3, 5, 6})), HasSubstr("is not that of"));
  EXPECT_THAT(error_of(checkpoint(5, {4, 3, 2, 4, 1, 5, 6})), HasSubstr("is not that of"));
  constexpr int32_t kMost = 0x7ffffffe;
  EXPECT_THAT(error_of(checkpoint(5, {kMost, kMost, kMost, 1, 1, 5, 6})), HasSubstr("63 bits"));
  EXPECT_THAT(error_of("24ka" + std::string(300, '\0')), HasSubstr("version 1 or 2"));
}

TEST(Llama2c, Stories260K) {
  CAIRN_REQUIRE_DATA("checkpoints/stories260K/stories260K.bin");
  const auto file =
      Llama2cFile::open(test::data_path("checkpoints/stories260K/stories260K.bin")).value();
  const Llama2cConfig& c = file.config();
  EXPECT_EQ(c.dim, 64);
  EXPECT_EQ(c.hidden_dim, 172);
  EXPECT_EQ(c.n_layers, 5);
  EXPECT_EQ(c.n_heads, 8);
  EXPECT_EQ(c.n_kv_heads, 4);
  EXPECT_EQ(c.vocab_size, 512);
  EXPECT_EQ(c.seq_len, 512);
  EXPECT_TRUE(c.shared_classifier);
  int64_t parameters = 0;
  for (const NamedArray& tensor : file.tensors()) {
    parameters += tensor.array.elements();
    for (const float value : tensor.array.span<float>()) ASSERT_LT(std::abs(value), 100);
  }
  EXPECT_EQ(parameters, 260'032);
}

}  // namespace
}  // namespace cairn::io
