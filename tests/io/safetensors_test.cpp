#include "cairn/io/safetensors.h"

#include <gmock/gmock.h>

#include "tests/io/golden_values.h"
#include "tests/io/temporary_folder.h"

namespace cairn::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::pair<const char*, DType> kEvery[] = {
    {"F64", DType::f64},   {"F32", DType::f32},        {"F16", DType::f16},
    {"BF16", DType::bf16}, {"F8_E4M3", DType::f8e4m3}, {"F8_E5M2", DType::f8e5m2},
    {"I64", DType::i64},   {"I32", DType::i32},        {"I16", DType::i16},
    {"I8", DType::i8},     {"U8", DType::u8},          {"U32", DType::u32},
    {"BOOL", DType::b8}};

std::string file_text(std::string_view header, std::string_view data, size_t header_size) {
  const uint64_t size = header_size;
  return std::string(reinterpret_cast<const char*>(&size), 8) + std::string(header) +
         std::string(data);
}

Result<SafetensorsFile> parse(std::string_view header, std::string_view data = "") {
  return SafetensorsFile::parse(SharedBytes(file_text(header, data, header.size())), "f");
}

std::string error_of(std::string_view header, std::string_view data = "") {
  const auto file = parse(header, data);
  return file.ok() ? "no error" : file.error().what();
}

TEST(Safetensors, ReadsWhatTheReferenceWrites) {
  const auto file = SafetensorsFile::open(golden_file("every_dtype.safetensors")).value();
  for (const auto& [name, dtype] : kEvery) {
    SCOPED_TRACE(name);
    expect_golden(file.read(std::string("all.") + name).value(), dtype, {3, 4, 5});
  }
  expect_golden(file.read("scalar").value(), DType::f32, {});
  expect_golden(file.read("empty").value(), DType::i32, {0, 3});
  expect_golden(file.read("quoted \"name\"\n\u00e9").value(), DType::u8, {5});
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(file.entries().size(), 16u);
  EXPECT_EQ(file.entries()[0].name, "all.I64");
  EXPECT_EQ(file.find("nothing"), nullptr);
}

TEST(Safetensors, ViewsTheMappedFileInPlace) {
  const auto file = SafetensorsFile::open(golden_file("every_dtype.safetensors")).value();
  const auto first = file.read("all.F32").value();
  const auto second = file.read("all.F32").value();
  EXPECT_EQ(first.data(), second.data());
  EXPECT_EQ(first.owner(), second.owner());
}

TEST(Safetensors, WritesTheBytesThatTheReferenceWrites) {
  TemporaryFolder folder;
  std::vector<NamedArray> tensors;
  tensors.push_back({"quoted \"name\"\n\u00e9", golden_array(DType::u8, {5})});
  tensors.push_back({"scalar", golden_array(DType::f32, {})});
  tensors.push_back({"empty", golden_array(DType::i32, {0, 3})});
  for (const auto& [name, dtype] : kEvery)
    tensors.push_back({std::string("all.") + name, golden_array(dtype, {3, 4, 5})});
  ASSERT_TRUE(write_safetensors(folder / "a", tensors, {{"format", "pt"}}));
  EXPECT_TRUE(read_bytes(folder / "a") == read_bytes(golden_file("every_dtype.safetensors")));
}

TEST(Safetensors, NoTensorsAndMetadataOnly) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_safetensors(folder / "a", std::vector<SafetensorsSource>{}));
  EXPECT_EQ(read_bytes(folder / "a"), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  EXPECT_TRUE(SafetensorsFile::open(folder / "a").value().entries().empty());
  ASSERT_TRUE(write_safetensors(folder / "b", std::vector<SafetensorsSource>{},
                                {{"b", "2"}, {"a", "\x01\\"}}));
  const auto file = SafetensorsFile::open(folder / "b").value();
  EXPECT_EQ(file.metadata().at("a"), "\x01\\");
  EXPECT_EQ(file.metadata().at("b"), "2");
}

TEST(Safetensors, LoadsEachSourceOnceInTheOrderOfTheFile) {
  TemporaryFolder folder;
  std::vector<std::string> loaded;
  const auto source = [&](const char* name, DType dtype) {
    return SafetensorsSource{name, dtype, {2, 3}, [&loaded, name, dtype] {
                               loaded.push_back(name);
                               return golden_array(dtype, {2, 3});
                             }};
  };
  ASSERT_TRUE(write_safetensors(folder / "a", {source("b", DType::f32), source("bytes", DType::u8),
                                               source("a", DType::f32), source("d", DType::f64)}));
  EXPECT_THAT(loaded, ElementsAre("d", "a", "b", "bytes"));
  const auto file = SafetensorsFile::open(folder / "a").value();
  expect_golden(file.read("bytes").value(), DType::u8, {2, 3});
  expect_golden(file.read("d").value(), DType::f64, {2, 3});
}

TEST(Safetensors, MistakesOfTheCallerThrowAndLeaveNoFile) {
  TemporaryFolder folder;
  const HostArray array = golden_array(DType::f32, {2});
  using List = std::vector<NamedArray>;
  EXPECT_THROW((void)write_safetensors(folder / "a", List{{"x", array}, {"x", array}}), Error);
  EXPECT_THROW((void)write_safetensors(folder / "a", List{{"__metadata__", array}}), Error);
  EXPECT_THROW((void)write_safetensors(folder / "a", List{{"\xff", array}}), Error);
  EXPECT_THROW(
      (void)write_safetensors(folder / "a", {{"x", DType::f64, {2}, [&] { return array; }}}),
      Error);
  EXPECT_EQ(folder.files(), 0);
}

TEST(Safetensors, AFullDiskIsAResult) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  const std::vector<NamedArray> tensors = {{"x", golden_array(DType::f32, {1000, 100})}};
  const auto status = write_safetensors("/dev/full", tensors);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what(), HasSubstr("No space left on device"));
}

TEST(Safetensors, ForeignDTypesAreNamedWhenReadNotWhenOpened) {
  const auto file = SafetensorsFile::open(golden_file("foreign_dtypes.safetensors")).value();
  expect_golden(file.read("known").value(), DType::f32, {3, 4, 5});
  EXPECT_THAT(file.read("u16").error().what(), HasSubstr("U16"));
  EXPECT_THAT(file.read("u64").error().what(), HasSubstr("U64"));
  EXPECT_THAT(file.read("none").error().what(), HasSubstr("no tensor 'none'"));
  // A dtype that nobody has yet: its size cannot be checked, the rest of the file can be read.
  const auto later = parse(R"({"x":{"dtype":"F3","shape":[9],"data_offsets":[0,5]},)"
                           R"("y":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}})",
                           "123456");
  EXPECT_THAT(later.value().read("x").error().what(), HasSubstr("F3"));
  EXPECT_EQ(later.value().read("y").value().at(0), '6');
}

TEST(Safetensors, UnalignedTensorsAreCopied) {
  const auto file = parse(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                          R"("x":{"dtype":"I32","shape":[2],"data_offsets":[1,9]}})",
                          std::string_view("\x07\x01\0\0\0\x02\0\0\0", 9));
  const HostArray x = file.value().read("x").value();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(x.data()) % 4, 0u);
  EXPECT_EQ(x.at(0), 1);
  EXPECT_EQ(x.at(1), 2);
}

TEST(Safetensors, ABoolThatIsNeitherIsAnError) {
  const auto file = parse(R"({"x":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})",
                          std::string_view("\0\1\2", 3));
  EXPECT_THAT(file.value().read("x").error().what(), HasSubstr("byte 2"));
}

TEST(Safetensors, UnknownFieldsAreSkippedAsTheReferenceDoes) {
  const auto file =
      parse(R"({"x":{"dtype":"U8","note":{"a":[1,-2,{"b":null}],"c":1.5},"shape":[2],"list":[[]],)"
            R"("flag":true,"data_offsets":[0,2]}})",
            "ab");
  ASSERT_TRUE(file.ok()) << file.error().what();
  EXPECT_EQ(file.value().read("x").value().at(1), 'b');
}

TEST(Safetensors, LyingFilesAreErrors) {
  const auto entry = [](std::string_view rest) {
    return "{\"x\":{\"dtype\":\"F32\"," + std::string(rest) + "}}";
  };
  EXPECT_THAT(error_of(""), HasSubstr("not JSON"));
  EXPECT_THAT(error_of("{"), HasSubstr("not JSON"));
  EXPECT_THAT(error_of("{} x"), HasSubstr("not JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("a list, not a JSON object"));
  EXPECT_THAT(error_of("{\"x\":3}"), HasSubstr("not a tensor"));
  EXPECT_THAT(error_of("{\"x\":{}}"), HasSubstr("has no 'dtype'"));
  EXPECT_THAT(error_of("{\"__metadata__\":{\"a\":1}}"), HasSubstr("not text"));
  EXPECT_THAT(error_of("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}"), HasSubstr("'a' twice"));
  EXPECT_THAT(error_of("{}", "x"), HasSubstr("its tensors end at byte 0"));
  EXPECT_THAT(error_of(entry("\"shape\":[1]")), HasSubstr("has no 'data_offsets'"));
  EXPECT_THAT(error_of(entry("\"shape\":[1],\"shape\":[1]")), HasSubstr("'shape' twice"));
  EXPECT_THAT(error_of(entry("\"shape\":[-1],\"data_offsets\":[0,4]"), "1234"),
              HasSubstr("a negative number"));
  EXPECT_THAT(error_of(entry("\"shape\":[1.5],\"data_offsets\":[0,4]"), "1234"),
              HasSubstr("a fraction"));
  EXPECT_THAT(error_of(entry("\"shape\":[[1]],\"data_offsets\":[0,4]"), "1234"),
              HasSubstr("a list in its shape"));
  EXPECT_THAT(error_of(entry("\"shape\":[1],\"data_offsets\":[0]"), "1234"),
              HasSubstr("fewer than two"));
  EXPECT_THAT(error_of(entry("\"shape\":[1],\"data_offsets\":[0,4,8]"), "1234"),
              HasSubstr("more than two"));
  EXPECT_THAT(error_of(entry("\"shape\":[2],\"data_offsets\":[0,4]"), "1234"),
              HasSubstr("not its shape (2) times F32"));
  EXPECT_THAT(error_of(entry("\"shape\":[1],\"data_offsets\":[4,0]"), "1234"),
              HasSubstr("lies at bytes 4 to 0"));
  EXPECT_THAT(error_of(entry("\"shape\":[1],\"data_offsets\":[4,8]"), "12345678"),
              HasSubstr("no hole or overlap"));
  EXPECT_THAT(error_of(entry("\"shape\":[2],\"data_offsets\":[0,8]"), "1234"),
              HasSubstr("the data, which has 4"));
  EXPECT_THAT(error_of(entry("\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]")),
              HasSubstr("not its shape"));
  EXPECT_THAT(error_of(entry("\"shape\":[9223372036854775808],\"data_offsets\":[0,0]")),
              HasSubstr("63 bits"));
  const std::string x = R"("x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_THAT(error_of("{" + x + "," + x + "}", "1"), HasSubstr("tensor 'x' twice"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                       R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                       "123"),
              HasSubstr("no hole or overlap"));
  // Deep nesting neither overflows a stack nor takes memory.
  EXPECT_THAT(error_of("{\"x\":" + std::string(1'000'000, '[')), HasSubstr("not a tensor"));
  EXPECT_THAT(error_of("{\"x\":{\"y\":" + std::string(1'000'000, '[')), HasSubstr("not JSON"));
}

TEST(Safetensors, ZeroSizesThatOverflowAreErrorsWhenRead) {
  const auto file =
      parse(R"({"x":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})");
  EXPECT_THAT(file.value().read("x").error().what(), HasSubstr("63 bits"));
  const auto deep = parse(
      R"({"x":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", "x");
  EXPECT_THAT(deep.value().read("x").error().what(), HasSubstr("13 dimensions"));
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string whole = read_bytes(golden_file("every_dtype.safetensors"));
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto file = SafetensorsFile::parse(SharedBytes(whole.substr(0, size)), "cut");
    ASSERT_FALSE(file.ok()) << size;
    ASSERT_THAT(file.error().what(), HasSubstr("cannot read 'cut': "));
  }
  EXPECT_THAT(SafetensorsFile::parse(SharedBytes(std::string(20, '\xff')), "x").error().what(),
              HasSubstr("is it a safetensors file?"));
}

TEST(Safetensors, TheMnistCheckpointOpens) {
  CAIRN_REQUIRE_DATA("checkpoints/mnist-burn/mnist.safetensors");
  const auto file =
      SafetensorsFile::open(test::data_path("checkpoints/mnist-burn/mnist.safetensors")).value();
  int64_t elements = 0;
  for (const SafetensorsEntry& entry : file.entries())
    elements += file.read(entry).value().elements();
  // Two linear layers, 11616 x 32 and 32 x 10, hold most of it.
  EXPECT_GT(elements, 11616 * 32 + 32 * 10);
}

}  // namespace
}  // namespace cairn::io
