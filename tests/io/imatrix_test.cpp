#include "cairn/io/imatrix.h"

#include <gmock/gmock.h>

#include <limits>

#include "cairn/io/gguf.h"
#include "tests/io/temporary_folder.h"

namespace cairn::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
std::string bytes_of_number(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// An entry of the older form.
std::string entry(const std::string& name, int32_t calls, const std::vector<float>& values) {
  std::string text = bytes_of_number(static_cast<int32_t>(name.size())) + name +
                     bytes_of_number(calls) + bytes_of_number(static_cast<int32_t>(values.size()));
  for (const float value : values) text += bytes_of_number(value);
  return text;
}

Result<ImportanceMatrix> parse(const std::string& text) {
  return parse_imatrix(SharedBytes(std::string(text)), "f");
}

GgufSource tensor(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
  return {name, find_gguf_type("F32"), std::move(shape), [values = std::move(values)] {
            std::string text;
            for (const float value : values) text += bytes_of_number(value);
            return SharedBytes(std::move(text));
          }};
}

TEST(Imatrix, TheOlderForm) {
  const std::string text = bytes_of_number(2) + entry("blk.0.ffn_up.weight", 2, {2, 0, 5}) +
                           entry("output.weight", 0, {3});
  const auto matrix = parse(text + bytes_of_number(7) + "and more").value();
  EXPECT_EQ(matrix.size(), 2u);
  EXPECT_THAT(matrix.at("blk.0.ffn_up.weight"), ElementsAre(1, 0, 2.5f));
  EXPECT_THAT(matrix.at("output.weight"), ElementsAre(3));
  for (size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(parse(text.substr(0, size)).ok());
}

TEST(Imatrix, Gguf) {
  TemporaryFolder folder;
  ASSERT_TRUE(
      write_gguf(folder / "i", {{"general.type", GgufValue::from_text("imatrix")}},
                 {tensor("a.in_sum2", {1, 2}, {4, 8}), tensor("a.counts", {1, 1}, {4}),
                  tensor("e.in_sum2", {2, 2}, {4, 8, 1, 2}), tensor("e.counts", {2, 1}, {2, 0})}));
  const auto matrix = read_imatrix(folder / "i").value();
  EXPECT_EQ(matrix.size(), 2u);
  EXPECT_THAT(matrix.at("a"), ElementsAre(1, 2));
  EXPECT_THAT(matrix.at("e"), ElementsAre(2, 4, 1, 1)) << "an expert without calls";
}

TEST(Imatrix, WhatIsWrongIsNamed) {
  TemporaryFolder folder;
  const auto error_of = [](const Result<ImportanceMatrix>& matrix) {
    return matrix.ok() ? std::string("no error") : matrix.error().what();
  };
  const auto gguf = [&](const std::vector<GgufSource>& tensors) {
    EXPECT_TRUE(write_gguf(folder / "i", {}, tensors));
    return error_of(read_imatrix(folder / "i"));
  };
  EXPECT_THAT(gguf({}), HasSubstr("no importance matrix"));
  EXPECT_THAT(gguf({tensor("a.in_sum2", {2}, {4, 8})}), HasSubstr("no tensor 'a.counts'"));
  EXPECT_THAT(gguf({tensor("a.in_sum2", {3}, {4, 8, 1}), tensor("a.counts", {2}, {4, 8})}),
              HasSubstr("'a' has 3 sums for 2 counts"));
  EXPECT_THAT(gguf({tensor("a.in_sum2", {1}, {-4}), tensor("a.counts", {1}, {1})}),
              HasSubstr("-4 as importance in 'a'"));
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(error_of(parse(bytes_of_number(1) + entry("a", 1, {infinity}))), HasSubstr("inf"));
  EXPECT_THAT(error_of(parse(bytes_of_number(2) + entry("a", 1, {1}) + entry("a", 1, {1}))),
              HasSubstr("'a' twice"));
  EXPECT_THAT(error_of(parse(bytes_of_number(-1))), HasSubstr("number of entries"));
  EXPECT_THAT(error_of(parse(bytes_of_number(1) + bytes_of_number(INT32_MAX))),
              HasSubstr("name of entry 0"));
  EXPECT_THAT(error_of(parse(bytes_of_number(1) + bytes_of_number(1) + "a" + bytes_of_number(1) +
                             bytes_of_number(INT32_MAX))),
              HasSubstr("values of entry 0"));
  EXPECT_THAT(error_of(read_imatrix(folder / "none")), HasSubstr("No such file"));
}

}  // namespace
}  // namespace cairn::io
