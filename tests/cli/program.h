// Runs the program as people and scripts do: as a process, with its output caught.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace cairn::test {

struct Ran {
  int status = -1;  // exit status; 128 + the signal where one ended it
  std::string out, err;
  int64_t max_resident_bytes = 0;

  // stdout as the one JSON object that --json promises.
  nlohmann::json json() const;
};

struct RunOptions {
  std::string folder = ".";                // to run in
  std::vector<std::string> environment{};  // "NAME=value", beside the test's own
  std::string stdout_path{};               // in place of catching it
  bool terminal = false;                   // stdout and stderr are a terminal; both are in `out`
  // On a terminal: as soon as there is the first text behind where the one before was found, the
  // second is typed. stdin is the terminal then.
  std::vector<std::pair<std::string, std::string>> typed{};
  double interrupt_after = 0;  // seconds until `signal`; 0: never
  std::string interrupt_on{};  // or as soon as stdout or stderr has this text
  int signal = 2;              // SIGINT
};

// `cairn ARGUMENTS`. Ends it after two minutes with status 128 + SIGKILL.
Ran cairn(const std::vector<std::string>& arguments, const RunOptions& options = {});
// A line for /bin/sh, with the program in its PATH.
Ran shell(const std::string& line, const RunOptions& options = {});

// A folder of its own, removed at the end, with small files of every kind:
//   x.npy w.npy lr.npy       f32 [4,2] [2,8] [], small numbers
//   step.graph               y = matmul(x, w), u = w * lr
//   weights.safetensors      w f32 [2,3], h bf16 [4], n i64 []
//   model.gguf               matrices of a llama of 8 layers by name, rows of 256 and of 96
//   tokenizer.json           bytes and <|endoftext|>;  story.txt  some text
//   train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz (and t10k-...)   6 pictures of 1 x 3
//   classifier/              an mlp that says which pixel is brightest
//   llama/                   a random Llama of 1 layer on the bytes of tokenizer.json
//   picture.png table.csv lines.jsonl  shakespeare.toml
class CliTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  Ran run(const std::vector<std::string>& arguments) const {
    return cairn(arguments, {.folder = folder_});
  }
  void write(const std::string& name, std::string_view bytes) const;
  std::string read(const std::string& name) const;

 private:
  std::string folder_;
};

// Passes when the program ended with `status`, said `what` on stderr and nothing on stdout.
testing::AssertionResult fails(const Ran& ran, int status, const std::string& what);

}  // namespace cairn::test
