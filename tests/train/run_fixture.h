// A folder with a small text, and runs in it. The model is tiny, so that a run takes a fraction of
// a second.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "cairn/base/file.h"
#include "cairn/train/run.h"
#include "tests/support/checked_runtime.h"

namespace cairn::test {

namespace fs = std::filesystem;

class RunTest : public testing::Test {
 protected:
  RunTest() {
    root =
        fs::temp_directory_path() / ("cairn-run-" + std::to_string(getpid()) + "-" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root);
    fs::create_directories(root);
    std::ofstream out(root / "text.txt");
    std::mt19937 random(1);
    for (int i = 0; i < 4000; ++i)
      out << static_cast<char>('a' + random() % 3 * (i % 5 + 1)) << (i % 11 == 0 ? " " : "");
  }
  void TearDown() override { fs::remove_all(root); }

  TrainConfig config(int64_t steps) const {
    TrainConfig c = parse_config(R"(
[model]
family = "gpt"
layers = 1
heads = 2
width = 16
context = 16
dropout = 0.1
[data]
tokenizer = "char"
[train]
batch = 4
learning_rate = 1e-2
warmup_steps = 5
clip = 1.0
checkpoint_every = 7
evaluate_every = 10
log_every = 3
)")
                        .value();
    c.data.text = {(root / "text.txt").string()};
    c.train.steps = steps;
    return c;
  }
  static std::string bytes(const fs::path& file) { return read_file(file.string()).value(); }
  RunResult train(const TrainConfig& c, const std::string& folder, int threads = 1,
                  std::function<bool()> interrupted = nullptr) const {
    Runtime runtime(test::checked({.threads = threads}));
    RunOptions options;
    options.folder = root / folder;
    options.interrupted = std::move(interrupted);
    return run_training(runtime, c, options).value();
  }
  std::string failure(const TrainConfig& c, const std::string& folder) const {
    Runtime runtime(test::checked({.threads = 1}));
    RunOptions options;
    options.folder = root / folder;
    const auto result = run_training(runtime, c, options);
    return result ? "" : result.error().what();
  }

  fs::path root;
};

}  // namespace cairn::test
