// Training data: order, windows, document boundaries, and that nothing holds a corpus in memory.
#include "cairn/train/data.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "cairn/text/bpe_tokenizer.h"
#include "cairn/text/train_bpe.h"
#include "cairn/train/task.h"
#include "cairn/train/text_data.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"
#include "tests/train/run_fixture.h"

namespace cairn {
namespace {

using testing::ElementsAre;

TEST(Permuted, VisitsEverythingOncePerEpochInAnOrderOfItsOwn) {
  for (const int64_t n : {1, 2, 3, 5, 64, 1000, 4097}) {
    std::vector<std::vector<int64_t>> orders;
    for (const uint64_t seed : {1, 2})
      for (const int64_t epoch : {0, 1}) {
        std::vector<int64_t>& order = orders.emplace_back();
        for (int64_t i = 0; i < n; ++i) order.push_back(permuted(i, n, seed, epoch));
        EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), static_cast<size_t>(n));
        EXPECT_EQ(*std::max_element(order.begin(), order.end()), n - 1);
      }
    if (n < 64) continue;  // few orders exist
    EXPECT_EQ(std::set<std::vector<int64_t>>(orders.begin(), orders.end()).size(), 4u) << n;
  }
}

class DataTest : public test::RunTest {
 protected:
  TokenFile tokens(const std::vector<std::string>& files, const std::string& separator) {
    std::vector<std::string> paths;
    for (size_t i = 0; i < files.size(); ++i) {
      paths.push_back((root / ("document" + std::to_string(i))).string());
      std::ofstream(paths.back(), std::ios::binary) << files[i];
    }
    const std::string path = (root / "tokens.bin").string();
    EXPECT_TRUE(TokenFile::write(path, paths, separator, *text::make_byte_tokenizer()).ok());
    return TokenFile::open(path).value();
  }
  static std::vector<int32_t> row(const HostArray& a, int64_t row) {
    const auto all = a.span<int32_t>();
    const int64_t n = a.shape()[1];
    return {all.begin() + row * n, all.begin() + (row + 1) * n};
  }
};

TEST_F(DataTest, FilesAndSeparatorsMakeDocuments) {
  const TokenFile file = tokens({"abc--de", "", "f"}, "--");
  ASSERT_EQ(file.size(), 6);
  std::vector<int64_t> documents;
  std::string text;
  for (int64_t i = 0; i < file.size(); ++i) {
    documents.push_back(file.document(i));
    text += static_cast<char>(file[i]);
  }
  EXPECT_EQ(text, "abcdef");
  EXPECT_THAT(documents, ElementsAre(0, 0, 0, 1, 1, 2));
  EXPECT_TRUE(file.has_documents());
  EXPECT_FALSE(tokens({"abc"}, "").has_documents());
}

TEST_F(DataTest, ATargetOfAnotherDocumentIsIgnored) {
  const TokenFile file = tokens({"abc--de", "fgh"}, "--");
  const TextBatches batches(file, 0, file.size(), 4, 0);
  const auto arrays = batches.evaluation_batch(0, 2);
  ASSERT_EQ(arrays.size(), 3u);
  EXPECT_THAT(row(arrays[0], 0), ElementsAre('a', 'b', 'c', 'd'));
  EXPECT_THAT(row(arrays[1], 0), ElementsAre('b', 'c', -100, 'e'));
  EXPECT_THAT(row(arrays[2], 0), ElementsAre(0, 0, 0, 1));
  EXPECT_EQ(batches.evaluation_windows(), 1);
  for (const int32_t target : row(arrays[1], 1)) EXPECT_EQ(target, -100);  // past the last window
}

// Tokens of one document see nothing of the other: their loss has the same bits whatever that is.
TEST_F(DataTest, AttentionStopsAtDocumentBoundaries) {
  auto task = make_task(config(1), root).value();
  Runtime runtime(test::checked({.threads = 1}));
  initialize(runtime, task->module(), 1);
  const auto loss = [&](int32_t other, bool with_segments) {
    std::vector<int32_t> ids(16), targets(16, -100), segments(16);
    for (int i = 0; i < 16; ++i) {
      ids[static_cast<size_t>(i)] = i < 8 ? (other + i) % 7 : i % 5;
      segments[static_cast<size_t>(i)] = i < 8 ? 0 : 1;
      if (i >= 8) targets[static_cast<size_t>(i)] = (i + 1) % 5;
    }
    std::vector<Tensor> batch;
    for (const auto* values : {&ids, &targets, &segments})
      batch.push_back(Tensor::from<int32_t>(*values, {1, 16}));
    if (!with_segments) batch.pop_back();
    Context ctx;
    return eval(runtime, task->loss(ctx, batch).total).item<double>();
  };
  EXPECT_EQ(loss(1, true), loss(3, true));
  EXPECT_NE(loss(1, false), loss(3, false));
}

TEST_F(DataTest, AnEpochVisitsEveryWindowAndABatchDependsOnItsStepAlone) {
  std::string text;
  for (int i = 0; i < 256; ++i) text += static_cast<char>(i);  // each byte tells its position
  const TokenFile file = tokens({text.substr(0, 100)}, "");
  const TextBatches batches(file, 0, file.size(), 8, 5);
  const int64_t windows = batches.windows_per_epoch();
  ASSERT_EQ(windows, 11);
  std::vector<std::set<int32_t>> starts(3);
  for (int64_t step = 0; step < 33; ++step) {
    const auto arrays = batches.batch(step, 1);
    const auto ids = row(arrays[0], 0), targets = row(arrays[1], 0);
    for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(targets[i], ids[i] + 1);
    starts[static_cast<size_t>(step / windows)].insert(ids[0]);
    // As a run that resumes here would make it.
    EXPECT_EQ(row(TextBatches(file, 0, file.size(), 8, 5).batch(step, 1)[0], 0), ids);
  }
  for (const auto& epoch : starts) {
    EXPECT_EQ(epoch.size(), 11u);
    EXPECT_EQ(*epoch.rbegin() - *epoch.begin(), 80);  // side by side
  }
}

// IDX of u8: two zeros, the type 8, the rank, sizes in big endian, bytes.
void write_idx(const std::filesystem::path& file, const std::vector<uint32_t>& sizes,
               const std::string& bytes) {
  std::string out{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes)
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 255);
  std::ofstream(file, std::ios::binary) << out << bytes;
}

TEST_F(DataTest, ImagesAreNormalisedAndEachIsSeenOncePerEpoch) {
  // Image i is four pixels of value 20 i; its label is i.
  std::string pixels, labels;
  for (int i = 0; i < 10; ++i) {
    pixels += std::string(4, static_cast<char>(20 * i));
    labels += static_cast<char>(i);
  }
  const std::string images = (root / "images").string(), names = (root / "labels").string();
  write_idx(images, {10, 2, 2}, pixels);
  write_idx(names, {10}, labels);
  const ImageBatches data = ImageBatches::open(images, names).value();
  EXPECT_EQ(data.size(), 10);
  EXPECT_EQ(data.classes(), 10);
  EXPECT_EQ(data.image_shape(), (Shape{1, 2, 2}));
  EXPECT_NEAR(data.mean, 90.0 / 255, 1e-15);
  EXPECT_NEAR(data.deviation, 20 * std::sqrt(8.25) / 255, 1e-15);  // of 0..9: sqrt(99 / 12)
  for (const int64_t epoch : {0, 1, 2}) {
    std::set<int32_t> seen;
    for (int64_t step = epoch * 5; step < (epoch + 1) * 5; ++step) {
      const auto arrays = data.batch(step, 2, 7);
      for (int64_t row = 0; row < 2; ++row) {
        const auto label = static_cast<int32_t>(arrays[1].at(row));
        seen.insert(label);
        // Three roundings in f32 of numbers below 2.
        for (int64_t i = 0; i < 4; ++i)
          EXPECT_NEAR(arrays[0].at(row * 4 + i), (label - 4.5) / std::sqrt(8.25), 6 * 0x1p-23);
      }
    }
    EXPECT_EQ(seen.size(), 10u);
  }
  const auto rest = data.evaluation_batch(8, 4);
  EXPECT_EQ(rest[1].at(1), 9);
  EXPECT_EQ(rest[1].at(2), -100);
  write_idx(names, {9}, labels.substr(0, 9));
  EXPECT_THAT(ImageBatches::open(images, names).error().what(),
              testing::HasSubstr("expected u8 labels [10]"));
}

std::string mixed_text(size_t size) {
  const std::vector<std::string> pieces = {"the",
                                           "don't",
                                           " ",
                                           "  ",
                                           "\n",
                                           " \n\n",
                                           "1234",
                                           "?!",
                                           "\xC3\xA9t\xC3\xA9",
                                           "\xE4\xB8\x96\xE7\x95\x8C",
                                           ".",
                                           "\t",
                                           "aaaa",
                                           " x",
                                           ",",
                                           "I'll"};
  std::mt19937 random(3);
  std::string text;
  while (text.size() < size) text += pieces[random() % pieces.size()];
  return text;
}

void expect_parts_are_the_whole(const text::Tokenizer& tokenizer, const std::string& text,
                                bool in_parts) {
  const std::vector<int32_t> whole = tokenizer.encode(text);
  for (const size_t part : {50, 333, 4096}) {
    std::vector<int32_t> ids;
    size_t parts = 0;
    encode_in_parts(
        tokenizer, text,
        [&](std::span<const int32_t> some) {
          ids.insert(ids.end(), some.begin(), some.end());
          ++parts;
        },
        part);
    EXPECT_EQ(ids, whole) << part;
    if (in_parts) {
      EXPECT_GE(parts, text.size() / part) << part;
    } else {
      EXPECT_EQ(parts, 1u);
    }
  }
}

TEST(EncodeInParts, GivesTheIdsOfTheWhole) {
  const std::string text = mixed_text(20000);
  const std::string_view view = text;
  expect_parts_are_the_whole(*text::make_byte_tokenizer(), text, true);
  expect_parts_are_the_whole(*text::make_character_tokenizer({&view, 1}), text, true);
  expect_parts_are_the_whole(*text::train_bpe({&view, 1}, 400), text, true);
  // Without white space there is no place to cut.
  expect_parts_are_the_whole(*text::train_bpe({&view, 1}, 400), std::string(9000, 'a'), false);
}

TEST(EncodeInParts, GivesTheIdsOfTheWholeWithGpt2) {
  CAIRN_REQUIRE_DATA("tokenizers/gpt2");
  expect_parts_are_the_whole(*text::load_tokenizer(test::data_path("tokenizers/gpt2")).value(),
                             mixed_text(20000), true);
}

// A tokenizer that puts a space before each text gets the document whole.
TEST(EncodeInParts, LeavesSentencePieceWhole) {
  CAIRN_REQUIRE_DATA("checkpoints/stories260K/tok512.bin");
  expect_parts_are_the_whole(
      *text::load_tokenizer(test::data_path("checkpoints/stories260K/tok512.bin")).value(),
      mixed_text(9000), false);
}

// A text of one document of `bytes`: words that are drawn with falling frequency.
void write_corpus(const std::filesystem::path& file, size_t bytes) {
  std::mt19937 random(11);
  std::vector<std::string> words;
  for (int i = 0; i < 5000; ++i) {
    std::string& word = words.emplace_back(" ");
    for (unsigned n = 2 + random() % 8; n > 0; --n) word += static_cast<char>('a' + random() % 26);
  }
  std::ofstream out(file, std::ios::binary);
  std::string block;
  for (size_t written = 0; written < bytes; written += block.size()) {
    block.clear();
    while (block.size() < 1 << 20) {
      const double u = static_cast<double>(random()) / static_cast<double>(std::mt19937::max());
      block += words[static_cast<size_t>(u * u * u * 4999)];
    }
    out << block;
  }
}

// Preparing the text takes a fraction of its size in memory: a process that may allocate 24 MiB
// more than it has makes a tokenizer and ids of a document of 48 MiB (ids alone would be more than
// that, held as a whole); of 400 MiB with CAIRN_TEST_LONG=1. Files are mapped, which is not
// limited.
TEST_F(DataTest, ACorpusMayBeLargerThanMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr bool kLimited =
      false;  // their shadow memory counts as data; the work is done all the same
#else
  constexpr bool kLimited = true;
#endif
  const char* longer = std::getenv("CAIRN_TEST_LONG");
  const size_t size = (longer && *longer == '1' ? size_t{400} : size_t{48}) << 20;
  write_corpus(root / "corpus.txt", size);
  for (const char* tokenizer : {"bpe:600", "char"}) {
    const pid_t child = fork();
    if (child == 0) {
      std::ifstream status("/proc/self/status");
      uint64_t data_kib = 0;
      for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmData:")) data_kib = std::stoull(line.substr(7));
      const rlim_t limit = (data_kib << 10) + (size_t{24} << 20);
      const rlimit data{limit, limit};
      if (kLimited && (data_kib == 0 || setrlimit(RLIMIT_DATA, &data) != 0)) _exit(3);
      try {
        TrainConfig c = config(1);
        c.data.text = {(root / "corpus.txt").string()};
        c.data.tokenizer = tokenizer;
        auto task = make_task(c, root);
        _exit(task && task.value()->steps_per_epoch() > 1000 ? 0 : 1);
      } catch (const std::bad_alloc&) {
        _exit(2);
      }
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << tokenizer << ": 2 is out of memory";
    if (std::string(tokenizer) == "char") {
      EXPECT_GE(std::filesystem::file_size(root / "tokens.bin"), 2 * size);
    }
  }
}

}  // namespace
}  // namespace cairn
