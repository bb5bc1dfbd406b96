#include "cairn/io/npy.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/io/golden_values.h"
#include "tests/io/temporary_folder.h"

namespace cairn::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::pair<const char*, DType> kEvery[] = {
    {"f8", DType::f64}, {"f4", DType::f32}, {"f2", DType::f16}, {"i8", DType::i64},
    {"i4", DType::i32}, {"i2", DType::i16}, {"i1", DType::i8},  {"u1", DType::u8},
    {"u4", DType::u32}, {"bool", DType::b8}};

std::string npy_text(std::string header, std::string_view data) {
  const auto length = static_cast<uint16_t>(header.size());
  return std::string("\x93NUMPY\x01\0", 8) +
         std::string(reinterpret_cast<const char*>(&length), 2) + header + std::string(data);
}

std::string error_of(const std::string& header, std::string_view data = "") {
  const auto array = parse_npy(SharedBytes(npy_text(header, data)), "f");
  return array.ok() ? "no error" : array.error().what();
}

TEST(Npy, ReadsWhatNumPyWrites) {
  for (const auto& [name, dtype] : kEvery) {
    SCOPED_TRACE(name);
    expect_golden(read_npy(golden_file(std::string(name) + ".npy")).value(), dtype, {3, 4, 5});
    if (size_of(dtype) > 1) {
      expect_golden(read_npy(golden_file(std::string(name) + "_big.npy")).value(), dtype,
                    {3, 4, 5});
    }
  }
  expect_golden(read_npy(golden_file("fortran.npy")).value(), DType::f32, {3, 4, 5});
  expect_golden(read_npy(golden_file("fortran_big.npy")).value(), DType::i16, {3, 4, 5});
  expect_golden(read_npy(golden_file("version2.npy")).value(), DType::f32, {3, 4, 5});
  expect_golden(read_npy(golden_file("version3.npy")).value(), DType::f32, {3, 4, 5});
  expect_golden(read_npy(golden_file("scalar.npy")).value(), DType::f64, {});
  expect_golden(read_npy(golden_file("empty.npy")).value(), DType::f32, {0, 3});
}

TEST(Npy, WritesTheBytesThatNumPyWrites) {
  TemporaryFolder folder;
  for (const auto& [name, dtype] : kEvery) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(write_npy(folder / "a", golden_array(dtype, {3, 4, 5})));
    EXPECT_TRUE(read_bytes(folder / "a") == read_bytes(golden_file(std::string(name) + ".npy")));
  }
  ASSERT_TRUE(write_npy(folder / "a", golden_array(DType::f64, {})));
  EXPECT_TRUE(read_bytes(folder / "a") == read_bytes(golden_file("scalar.npy")));
  ASSERT_TRUE(write_npy(folder / "a", golden_array(DType::f32, {0, 3})));
  EXPECT_TRUE(read_bytes(folder / "a") == read_bytes(golden_file("empty.npy")));
}

TEST(Npy, RoundTripOfEveryRank) {
  TemporaryFolder folder;
  Shape shape;
  for (int rank = 0; rank <= kMaxRank; ++rank) {
    ASSERT_TRUE(write_npy(folder / "a", golden_array(DType::i32, shape)));
    expect_golden(read_npy(folder / "a").value(), DType::i32, shape);
    if (rank < kMaxRank) shape.push_back(rank % 3 + 1);
  }
}

TEST(Npy, FortranOrderOfOddShapes) {
  for (const Shape& shape : {Shape{7}, Shape{1, 6}, Shape{6, 1}, Shape{2, 3, 4, 5}, Shape{3, 0}}) {
    SCOPED_TRACE(to_string(shape));
    const HostArray expected = golden_array(DType::i16, shape);
    // Element (i, j, ...) of the array lies at i + j * shape[0] + ... of the file.
    std::string data(expected.bytes(), '\0');
    const Ints strides = shape.strides();
    for (int64_t k = 0; k < expected.elements(); ++k) {
      int64_t at = 0, step = 1;
      for (int i = 0; i < shape.rank(); ++i) {
        at += k / strides[i] % shape[i] * step;
        step *= shape[i];
      }
      std::memcpy(data.data() + 2 * at, &expected.span<int16_t>()[k], 2);
    }
    std::string sizes;
    for (const int64_t size : shape) sizes += std::to_string(size) + ",";
    const auto array = parse_npy(
        SharedBytes(npy_text("{'descr':'<i2','fortran_order':True,'shape':(" + sizes + ")}", data)),
        "f");
    expect_equal(array.value(), expected);
  }
}

TEST(Npy, HeadersInOtherWords) {
  const auto reads = [](const std::string& header) {
    return parse_npy(SharedBytes(npy_text(header, "12345678")), "f").ok();
  };
  EXPECT_TRUE(reads("{\"shape\": (2L,), \"descr\": \"<f4\", \"fortran_order\": False}"));
  EXPECT_TRUE(reads("{'shape':(2,1,1),'fortran_order':True,'descr':'=i4',}   \n"));
  EXPECT_TRUE(reads("{'shape':(2),'fortran_order':True,'descr':'i4'}"));
}

TEST(Npy, TypesThatCairnLacksAreNamed) {
  const auto error = [](const char* name) {
    return std::string(read_npy(golden_file(name)).error().what());
  };
  EXPECT_THAT(error("u2.npy"), HasSubstr("'<u2'"));
  EXPECT_THAT(error("c8_big.npy"), HasSubstr("'>c8'"));
  EXPECT_THAT(error("strings.npy"), HasSubstr("'<U2'"));
  EXPECT_THAT(error_of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"),
              HasSubstr("array of records"));
  EXPECT_THAT(error_of("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
              HasSubstr("'|O'"));
  TemporaryFolder folder;
  for (const DType dtype : {DType::bf16, DType::f8e4m3, DType::f8e5m2}) {
    try {
      (void)write_npy(folder / "a", golden_array(dtype, {2}));
      FAIL() << name(dtype);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("cast the array to f32"));
    }
  }
  EXPECT_EQ(folder.files(), 0);
}

TEST(Npy, LyingFilesAreErrors) {
  const auto header = [](std::string_view shape) {
    return "{'descr': '<f4', 'fortran_order': False, 'shape': " + std::string(shape) + "}";
  };
  EXPECT_THAT(error_of(header("(2,)"), "1234"), HasSubstr("takes 8 bytes and 4 are there"));
  EXPECT_THAT(error_of(header("(1,)"), "12345"), HasSubstr("takes 4 bytes and 5 are there"));
  EXPECT_THAT(error_of(header("(-1,)"), "1234"), HasSubstr("no size from 0"));
  EXPECT_THAT(error_of(header("(9223372036854775808,)"), "1234"), HasSubstr("no size from 0"));
  EXPECT_THAT(error_of(header("(4611686018427387904,4)")), HasSubstr("63 bits"));
  EXPECT_THAT(error_of(header("(0,4611686018427387904,4)")), HasSubstr("63 bits"));
  EXPECT_THAT(error_of(header("(1,1,1,1,1,1,1,1,1,1,1,1,1)"), "1234"), HasSubstr("13 dimensions"));
  EXPECT_THAT(error_of(header("(1,)") + "x", "1234"), HasSubstr("more after"));
  EXPECT_THAT(error_of(header("(1")), HasSubstr("no ')'"));
  EXPECT_THAT(error_of("{'descr': '<f4'}"), HasSubstr("not all of"));
  EXPECT_THAT(error_of("{'descr': '<f4', 'descr': '<f4'}"), HasSubstr("'descr' twice"));
  EXPECT_THAT(error_of("{'other': 1}"), HasSubstr("unknown key 'other'"));
  EXPECT_THAT(error_of("{'descr': '<f4"), HasSubstr("text without end"));
  EXPECT_THAT(error_of("{'descr': '', 'fortran_order': False, 'shape': ()}", "1"),
              HasSubstr("its type ''"));
  EXPECT_THAT(error_of("{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", "\x01\x02"),
              HasSubstr("neither 0 nor 1"));
  std::string other = npy_text(header("(1,)"), "1234");
  other[6] = 4;
  EXPECT_THAT(parse_npy(SharedBytes(other), "f").error().what(), HasSubstr("version 4.0"));
  EXPECT_THAT(parse_npy(SharedBytes("text"), "f").error().what(), HasSubstr("like a .npy file"));
  const std::string whole = read_bytes(golden_file("f8.npy"));
  for (size_t size = 0; size < whole.size(); ++size)
    ASSERT_FALSE(parse_npy(SharedBytes(whole.substr(0, size)), "f").ok()) << size;
}

TEST(Npz, ReadsWhatNumPyWrites) {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    SCOPED_TRACE(name);
    const auto file = NpzFile::open(golden_file(name)).value();
    EXPECT_THAT(file.names(), ElementsAre("a", "b/c", "flag"));
    expect_golden(file.read("a").value(), DType::f32, {3, 4, 5});
    expect_golden(file.read("b/c").value(), DType::i64, {2, 2});
    expect_golden(file.read("flag").value(), DType::b8, {1000});
    EXPECT_THAT(file.read("d").error().what(), HasSubstr("it has: a, b/c, flag"));
  }
}

TEST(Npz, RoundTripIsDeterministic) {
  TemporaryFolder folder;
  const std::vector<NamedArray> arrays = {{"x", golden_array(DType::f32, {100, 3})},
                                          {"empty", golden_array(DType::u8, {0})},
                                          {"s", golden_array(DType::f64, {})}};
  for (const bool compress : {false, true}) {
    ASSERT_TRUE(write_npz(folder / "a", arrays, compress));
    ASSERT_TRUE(write_npz(folder / "b", arrays, compress));
    EXPECT_TRUE(read_bytes(folder / "a") == read_bytes(folder / "b"));
    const auto file = NpzFile::open(folder / "a").value();
    for (const NamedArray& array : arrays) expect_equal(file.read(array.name).value(), array.array);
  }
  EXPECT_THROW((void)write_npz(folder / "a", std::vector{arrays[0], arrays[0]}), Error);
}

TEST(Npz, ALimitRefusesLargeMembers) {
  const auto file = NpzFile::open(golden_file("deflated.npz"), 500).value();
  EXPECT_TRUE(file.read("a").ok());
  EXPECT_THAT(file.read("flag").error().what(), HasSubstr("more than the 500 allowed"));
}

TEST(Npz, EveryTruncationIsAnError) {
  const std::string whole = read_bytes(golden_file("stored.npz"));
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto file = NpzFile::parse(SharedBytes(whole.substr(0, size)), "cut");
    ASSERT_FALSE(file.ok()) << size;
  }
  EXPECT_THAT(NpzFile::parse(SharedBytes(std::string(100, 'x')), "x").error().what(),
              HasSubstr("no zip directory"));
}

TEST(Npz, EveryFlippedByteIsAnErrorOrHarmless) {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    const std::string whole = read_bytes(golden_file(name));
    int errors = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ 0x41);
      const auto file = NpzFile::parse(SharedBytes(changed), "flipped");
      if (!file.ok()) {
        ++errors;
        continue;
      }
      for (const std::string& array : file.value().names()) {
        const auto value = file.value().read(array);
        // The CRC covers the data: what can still be read is what was written.
        if (!value.ok())
          ++errors;
        else if (array == "a")
          expect_golden(value.value(), DType::f32, {3, 4, 5});
      }
    }
    // Most bytes are data or the header of an array, all under the CRC.
    EXPECT_GT(errors, static_cast<int>(whole.size() / 2));
  }
}

ZipMember first_member(const std::string& bytes) {
  return ZipFile::parse(SharedBytes(bytes), "z").value().members()[0];
}

TEST(Zip, BombsAndLiesAreErrorsBeforeMemoryIsTaken) {
  TemporaryFolder folder;
  const std::string zeros(10'000, '\0');
  ASSERT_TRUE(write_file_atomically(folder / "a", [&](FileWriter& writer) -> Status {
    ZipWriter zip(writer);
    const std::span<const std::byte> piece = std::as_bytes(std::span(zeros.data(), zeros.size()));
    zip.add("zeros", {&piece, 1}, true);
    zip.finish();
    return Nothing{};
  }));
  const std::string bytes = read_bytes(folder / "a");
  const auto zip = ZipFile::parse(SharedBytes(bytes), "z").value();
  EXPECT_EQ(zip.read(*zip.find("zeros")).value().text(), zeros);
  const auto error_with = [&](auto change) {
    ZipMember member = first_member(bytes);
    change(member);
    const auto result = zip.read(member);
    return std::string(result.ok() ? "no error" : result.error().what());
  };
  EXPECT_THAT(error_with([](ZipMember& m) { m.size = uint64_t{1} << 60; }),
              HasSubstr("cannot have 1152921504606846976 bytes"));
  EXPECT_THAT(error_with([](ZipMember& m) { m.size = 9'999; }),
              HasSubstr("does not inflate to the 9999 bytes"));
  EXPECT_THAT(error_with([](ZipMember& m) { m.size = 10'001; }), HasSubstr("does not inflate"));
  EXPECT_THAT(error_with([](ZipMember& m) { m.crc ^= 1; }), HasSubstr("CRC-32"));
  EXPECT_THAT(error_with([](ZipMember& m) { m.flags |= 1; }), HasSubstr("encrypted"));
  EXPECT_THAT(error_with([](ZipMember& m) { m.method = 12; }), HasSubstr("method 12"));
  EXPECT_THAT(error_with([](ZipMember& m) { m.method = 0; }), HasSubstr("two different sizes"));
  EXPECT_THAT(error_with([](ZipMember& m) { m.offset = 7; }), HasSubstr("not where"));
  EXPECT_THAT(error_with([](ZipMember& m) { m.offset = uint64_t{1} << 63; }),
              HasSubstr("beyond its end"));
  EXPECT_THAT(error_with([](ZipMember& m) { m.compressed_size = UINT64_MAX; }),
              HasSubstr("ends in its member's data"));
}

TEST(Zip, AComment) {
  std::string bytes = read_bytes(golden_file("stored.npz"));
  bytes[bytes.size() - 2] = 5;
  bytes += "PK\5\6!";
  EXPECT_EQ(ZipFile::parse(SharedBytes(bytes), "z").value().members().size(), 3u);
}

// An archive beyond 4 GiB without writing it: a hole in a sparse file stands for the first member.
TEST(Zip, Zip64Offsets) {
  TemporaryFolder folder;
  const uint64_t hole = (uint64_t{1} << 32) + 5;
  ZipMember large{.name = "large", .crc = 0, .compressed_size = hole, .size = hole};
  const std::string large_header = zip_local_header(large);
  ZipMember small{.name = "small",
                  .crc = 0x3610a686,  // of "hello"
                  .compressed_size = 5,
                  .size = 5,
                  .offset = large_header.size() + hole};
  const std::string tail = zip_local_header(small) + "hello";
  const uint64_t directory = small.offset + tail.size();
  const std::vector<ZipMember> members = {large, small};
  const std::string end = tail + zip_directory(members, directory);
  const int fd = ::open((folder / "big").c_str(), O_CREAT | O_WRONLY, 0600);
  ASSERT_EQ(::pwrite(fd, large_header.data(), large_header.size(), 0),
            static_cast<ssize_t>(large_header.size()));
  ASSERT_EQ(::pwrite(fd, end.data(), end.size(), static_cast<off_t>(small.offset)),
            static_cast<ssize_t>(end.size()));
  ::close(fd);
  const auto zip = ZipFile::parse(map_file(folder / "big").value(), "big").value();
  ASSERT_EQ(zip.members().size(), 2u);
  EXPECT_EQ(zip.find("large")->size, hole);
  EXPECT_EQ(zip.find("small")->offset, small.offset);
  EXPECT_EQ(zip.read(*zip.find("small")).value().text(), "hello");
}

TEST(Zip, MoreMembersThan16Bits) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_file_atomically(folder / "many", [](FileWriter& writer) -> Status {
    ZipWriter zip(writer);
    for (int i = 0; i < 70'000; ++i) zip.add(std::to_string(i), {}, false);
    zip.finish();
    return Nothing{};
  }));
  const auto zip = ZipFile::parse(map_file(folder / "many").value(), "many").value();
  ASSERT_EQ(zip.members().size(), 70'000u);
  EXPECT_EQ(zip.members().back().name, "69999");
}

TEST(Zip, APyTorchFileOpens) {
  CAIRN_REQUIRE_DATA("checkpoints/mnist-burn/mnist.pt");
  const auto path = test::data_path("checkpoints/mnist-burn/mnist.pt");
  const auto zip = ZipFile::parse(map_file(path).value(), "mnist.pt").value();
  for (const ZipMember& member : zip.members()) EXPECT_TRUE(zip.read(member).ok()) << member.name;
  EXPECT_GT(zip.members().size(), 3u);
}

}  // namespace
}  // namespace cairn::io
